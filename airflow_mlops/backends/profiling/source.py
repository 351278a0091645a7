"""Sources: parquet and csv files of one window, read as streams of batches with one schema."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from airflow_mlops.backends.profiling.storage import FORMATS
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mlops.backends.profiling.storage import Storage

SAMPLED_GROUPS = 8
CODED_BYTES = 2.5
"""Bytes a value up to which a text column is surely stored as codes and read as such."""
READ_BUFFER = 1 << 18


class ParquetSource:
    """Parquet files; row groups are the unit of parallel work."""

    def __init__(self, storage: Storage, files: Sequence[str]) -> None:
        self.storage, self.files = storage, list(files)
        self.metadata = [self._open(path).metadata for path in self.files]
        parts = [part.schema.to_arrow_schema() for part in self.metadata]
        for path, part in zip(self.files, parts, strict=True):
            require_unique(part.names, path)
        self.schema = pa.unify_schemas(parts, promote_options="permissive")
        self.groups = [
            (file, group) for file, part in enumerate(self.metadata) for group in range(part.num_row_groups)
        ]

    def count_rows(self) -> int:
        """Return the number of rows, as the files' footers say."""
        return sum(part.num_rows for part in self.metadata)

    def to_table(self, columns: Sequence[str] | None) -> pa.Table:
        """Read all rows."""
        parts = [
            pads.dataset(path, format="parquet", filesystem=self.storage.arrow).replace_schema(self.schema)
            for path in self.files
        ]
        return pads.dataset(parts).to_table(columns=list(columns) if columns else None)

    def first_rows(self, rows: int, columns: Sequence[str]) -> pa.Table:
        """Return the first rows of some row groups, spread evenly over the window."""
        filled = [(f, g) for f, g in self.groups if self.metadata[f].row_group(g).num_rows]
        chosen = filled[:: max(1, -(-len(filled) // SAMPLED_GROUPS))]
        wanted = pa.schema([self.schema.field(name) for name in columns])
        each = max(1, rows // max(1, len(chosen)))
        batches = [next(self._batches(f, g, each, wanted)) for f, g in chosen]
        return _table(batches, wanted)

    def streams(self, batch_rows: int, count: int) -> list[Iterator[pa.RecordBatch]]:
        """Share the row groups out to so many streams, each read by its own thread."""
        shares = [self.groups[i::count] for i in range(min(count, len(self.groups)))]
        return [self._stream(share, batch_rows) for share in shares]

    def _stream(self, groups: list[tuple[int, int]], batch_rows: int) -> Iterator[pa.RecordBatch]:
        for file, group in groups:
            yield from self._batches(file, group, batch_rows, self.schema)

    def _batches(self, file: int, group: int, rows: int, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        path, there = self.files[file], self.metadata[file].schema.to_arrow_schema()
        columns = [name for name in wanted.names if name in there.names]
        reader = self._open(
            path, metadata=self.metadata[file], read_dictionary=self._coded(file, group, wanted)
        )
        left = self.metadata[file].row_group(group).num_rows
        for batch in reader.iter_batches(rows, [group], columns, use_threads=False):
            left -= batch.num_rows
            yield conform(batch, wanted)
        if left:
            msg = f"{PurePosixPath(path).name}: row group {group} lacks {left} rows of those its footer names"
            raise InvalidDataError(msg)

    def _open(self, path: str, **options: Any) -> pq.ParquetFile:
        local = self.storage.is_local
        try:
            source = self.storage.open(path)
            return pq.ParquetFile(
                source, pre_buffer=not local, buffer_size=READ_BUFFER if local else 0, **options
            )
        except (pa.ArrowException, OSError, ValueError) as error:
            msg = f"{PurePosixPath(path).name}: cannot be read: {error}"
            raise InvalidDataError(msg) from error

    def _coded(self, file: int, group: int, wanted: pa.Schema) -> list[str]:
        """Return text columns whose values are stored as codes: counting codes is cheaper than texts."""
        part, names = self.metadata[file].row_group(group), []
        for i in range(part.num_columns):
            column = part.column(i)
            small = column.total_uncompressed_size <= CODED_BYTES * column.num_values
            if small and column.physical_type == "BYTE_ARRAY" and column.path_in_schema in wanted.names:
                names.append(column.path_in_schema)
        return names


class CsvSource:
    """Csv files, parsed by Arrow in blocks; types are those of each file's first block."""

    def __init__(self, storage: Storage, files: Sequence[str]) -> None:
        for path in files:
            require_unique(_csv_header(storage, path), path)
        parts = [pads.dataset(path, format="csv", filesystem=storage.arrow) for path in files]
        self.schema = pa.unify_schemas([part.schema for part in parts], promote_options="permissive")
        self.dataset = pads.dataset([part.replace_schema(self.schema) for part in parts])

    def count_rows(self) -> int:
        """Return the number of rows."""
        return int(self.dataset.count_rows())

    def to_table(self, columns: Sequence[str] | None) -> pa.Table:
        """Read all rows."""
        return self.dataset.to_table(columns=list(columns) if columns else None)

    def first_rows(self, rows: int, columns: Sequence[str]) -> pa.Table:
        """Return the first rows."""
        return self.dataset.head(rows, columns=list(columns))

    def streams(self, batch_rows: int, count: int) -> list[Iterator[pa.RecordBatch]]:
        """Return one stream: Arrow parses blocks in parallel itself."""
        return [
            self.dataset.to_batches(batch_size=batch_rows, batch_readahead=2 * count, fragment_readahead=1)
        ]


def open_source(storage: Storage, files: Sequence[str]) -> ParquetSource | CsvSource:
    """Open files of one format."""
    kind = FORMATS[PurePosixPath(files[0]).suffix]
    return ParquetSource(storage, files) if kind == "parquet" else CsvSource(storage, files)


def conform(batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the wanted columns in their order; codes of texts stay codes."""
    there = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns = [_as(there.get(field.name), field.type, batch.num_rows) for field in wanted]
    return pa.RecordBatch.from_arrays(columns, names=wanted.names)


def _as(values: Any, wanted: pa.DataType, rows: int) -> Any:
    if values is None:
        return pa.nulls(rows, wanted)
    coded = pa.types.is_dictionary(values.type) and values.type.value_type == wanted
    return values if coded or values.type == wanted else pc.cast(values, wanted)


def _table(batches: list[pa.RecordBatch], wanted: pa.Schema) -> pa.Table:
    columns = []
    for i, field in enumerate(wanted):
        chunks = [_decoded(batch.column(i), field.type) for batch in batches]
        columns.append(pa.chunked_array(chunks, field.type))
    return pa.Table.from_arrays(columns, schema=wanted)


def _decoded(values: Any, wanted: pa.DataType) -> Any:
    return values if values.type == wanted else pc.cast(values, wanted)


def require_unique(names: Sequence[str], path: str) -> None:
    """Refuse a file with a column twice.

    :raises InvalidDataError: names file and column.
    """
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        msg = f"{PurePosixPath(path).name}: column {twice[0]!r} stands there more than once"
        raise InvalidDataError(msg)


def _csv_header(storage: Storage, path: str) -> list[str]:
    with (
        storage.files.open(path, "rb") as file,
        io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text,
    ):
        try:
            return next(csv.reader(text), [])
        except (UnicodeDecodeError, csv.Error) as error:
            msg = f"{PurePosixPath(path).name}: no UTF-8 csv: {error}"
            raise InvalidDataError(msg) from error
