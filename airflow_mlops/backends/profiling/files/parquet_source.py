"""Parquet files, read by ranges: row groups are shared out to threads, some columns at a time."""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops.backends.profiling.files.lake.field_ids import require_field_ids, require_in_file
from airflow_mlops.backends.profiling.files.source import (
    naming_file,
    require_unique,
    told_of_columns,
    unified,
)
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_mlops.backends.profiling.files.source import DataFiles, PlacedBatch

_SAMPLED_GROUPS = 8
_CODED_BYTES = 2.5
"""Bytes a value up to which a text column is certain to be stored as codes and read as such."""
_COLUMNS_AT_A_TIME = 16
"""Columns decoded together: what a stream holds of a row group is bounded by them, however wide it is."""
_READ_BUFFER = 1 << 18


class ParquetSource:
    """Parquet files; row groups are the unit of parallel work."""

    def __init__(self, data: DataFiles, on_bytes: Callable[[float], object] | None = None) -> None:
        self.storage, self.files, self.on_bytes = data.storage, list(data.paths), on_bytes
        self.version = data.version
        self.metadata = [self._footer(path) for path in self.files]
        self.parts = [part.schema.to_arrow_schema() if part else pa.schema([]) for part in self.metadata]
        self.names = [self.storage.inside(path) for path in self.files]
        for path, name, part in zip(self.files, self.names, self.parts, strict=True):
            require_unique(part.names, name)
            require_in_file(part.names, data.needed.get(path, ()), name)
            if data.field_ids:
                require_field_ids(part, data.field_ids, data.field_names, name)
        counts = zip(self.files, self.metadata, strict=True)
        self.empty = [path for path, part in counts if part is None or not part.num_rows]
        parts = self._schemas()
        own = _unified(parts)
        self.data = data.beside(own.names)
        self.notes = (*told_of_columns([(name, part.names) for name, part in parts]), *data.notes)
        self.schema = self.data.with_folders(own)
        self.groups = [group for file in range(len(self.files)) for group in self._groups(file)]

    def _schemas(self) -> list[tuple[str, pa.Schema]]:
        """Return the schemas that decide, by the files' names: of files with rows, if there are any."""
        parts, empty = zip(self.files, self.names, self.parts, strict=True), {*self.empty}
        filled = [(name, part) for path, name, part in parts if path not in empty]
        return filled or list(zip(self.names, self.parts, strict=True))

    def _groups(self, file: int) -> list[RowGroup]:
        footer = self.metadata[file]
        if footer is None:
            return []
        rows = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        if sum(rows) != footer.num_rows:
            name = self.names[file]
            msg = (
                f"{name}: cannot be read: {footer.num_rows} rows by its footer, {sum(rows)} by its row groups"
            )
            raise InvalidDataError(msg)
        return [RowGroup(self, file, group, count) for group, count in enumerate(rows) if count]

    def count_rows(self) -> int:
        """Return the number of rows, as the files' footers say."""
        return sum(part.num_rows for part in self.metadata if part is not None)

    def digests(self) -> list[bytes]:
        """Return what identifies each file's content: the store's tag of it, else a hash of all its bytes."""
        return [self.storage.digest(path) for path in self.files]

    def to_table(self, columns: Sequence[str] | None) -> pa.Table:
        """Read all rows, each file's values as the type they have over all files."""
        wanted = pa.schema([self.schema.field(name) for name in columns or self.schema.names])
        empty = {*self.empty}
        read = (self._read(path, wanted) for path in self.files if path not in empty)
        return pa.concat_tables([wanted.empty_table(), *read])

    def _read(self, path: str, wanted: pa.Schema) -> pa.Table:
        import pyarrow.dataset as pads  # loads pandas, which profiles of parquet do without

        scanned = pads.ParquetFragmentScanOptions(page_checksum_verification=True)
        checked = pads.ParquetFileFormat(default_fragment_scan_options=scanned)
        with naming_file(self.storage.inside(path)):
            part = pads.dataset(path, format=checked, filesystem=self.storage.arrow)
            there = set(part.schema.names)
            table = part.to_table(columns=[name for name in wanted.names if name in there])
            columns = [
                _decoded(table.column(field.name), field.type)
                if field.name in there
                else pa.nulls(table.num_rows, field.type)
                for field in wanted
            ]
        return self.data.fill_folders(pa.Table.from_arrays(columns, schema=wanted), path)

    def first_rows(self, rows: int, columns: Sequence[str]) -> pa.Table:
        """Return the first rows of some row groups, spread evenly over the window."""
        chosen = self.groups[:: max(1, -(-len(self.groups) // _SAMPLED_GROUPS))]
        each = max(1, rows // max(1, len(chosen)))
        readers, found = [group.reader() for group in chosen], []
        for wanted in _some_at_a_time([self.schema.field(name) for name in columns]):
            pairs = zip(chosen, readers, strict=True)
            found += _table(
                [next(group.batches(reader, each, wanted)) for group, reader in pairs], wanted
            ).columns
        return pa.Table.from_arrays(found, names=list(columns))

    def streams(self, batch_rows: int, count: int) -> list[Iterator[PlacedBatch]]:
        """Share the work out to at most so many streams, each read by its own thread."""
        parts = list(
            zip(itertools.count(0, _COLUMNS_AT_A_TIME), _some_at_a_time(list(self.schema)), strict=False)
        )
        work = [(group, first, wanted) for group in self.groups for first, wanted in parts]
        streams = [_stream(work[i::count], batch_rows) for i in range(min(count, len(work)))]
        return [self._watched(stream) for stream in streams] if self.on_bytes else streams

    def _watched(self, stream: Iterator[PlacedBatch]) -> Iterator[PlacedBatch]:
        """Say how far the reading is: values of a window are taken to be equally many bytes each."""
        each = self.storage.size(self.files) / (self.count_rows() * len(self.schema))
        for first, batch in stream:
            yield first, batch
            if self.on_bytes:
                self.on_bytes(each * batch.num_rows * batch.num_columns)

    def _footer(self, path: str) -> pq.FileMetaData | None:
        """Return a file's footer; ``None`` if it has no bytes at all."""
        try:
            return pq.ParquetFile(self.storage.open(path)).metadata
        except (pa.ArrowException, OSError, ValueError) as error:
            there = self.storage.files.exists(path)
            if there and self.storage.files.size(path) == 0:
                return None
            removed = (
                "" if there or not self.version else f", which version {self.version} of the table needs"
            )
            msg = f"{self.storage.inside(path)}: cannot be read: {error}{removed}"
            raise InvalidDataError(msg) from error


def _stream(work: list[tuple[RowGroup, int, pa.Schema]], batch_rows: int) -> Iterator[PlacedBatch]:
    for group, parts in itertools.groupby(work, key=operator.itemgetter(0)):
        reader = group.reader()  # opening a wide file costs more than reading a few of its columns
        for _, first, wanted in parts:
            for batch in group.batches(reader, batch_rows, wanted):
                yield first, batch


def _some_at_a_time(fields: list[pa.Field]) -> list[pa.Schema]:
    return [pa.schema(fields[i : i + _COLUMNS_AT_A_TIME]) for i in range(0, len(fields), _COLUMNS_AT_A_TIME)]


@dataclass(frozen=True)
class RowGroup:
    """One row group of one file."""

    source: ParquetSource
    file: int
    group: int
    rows: int

    def batches(self, reader: pq.ParquetFile, rows: int, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Read some columns; those the file lacks are null.

        :raises InvalidDataError: it ends before all rows that the file's footer names.
        """
        left, there = self.rows, set(self.source.parts[self.file].names)
        columns = [name for name in wanted.names if name in there]
        if not columns:
            yield self._filled(conform(pa.RecordBatch.from_arrays([], names=[]), wanted, left))
            return
        with naming_file(self.source.names[self.file]):
            for batch in reader.iter_batches(rows, [self.group], columns, use_threads=False):
                left -= batch.num_rows
                yield self._filled(conform(batch, wanted, batch.num_rows))
        if left:
            name = self.source.names[self.file]
            msg = f"{name}: row group {self.group} lacks {left} rows of those its footer names"
            raise InvalidDataError(msg)

    def _filled(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with the columns that the file's folders give."""
        data, path = self.source.data, self.source.files[self.file]
        for i, name in enumerate(batch.schema.names if len(data.types) else ()):
            if (values := data.constant(path, name, batch.num_rows)) is not None:
                batch = batch.set_column(i, batch.schema.field(i), values)
        return batch

    def reader(self) -> pq.ParquetFile:
        """Open the file to read this row group."""
        local = self.source.storage.is_local
        return pq.ParquetFile(
            self.source.storage.open(self.source.files[self.file]),
            metadata=self.source.metadata[self.file],
            read_dictionary=self._coded(),
            pre_buffer=not local,
            buffer_size=_READ_BUFFER if local else 0,
            page_checksum_verification=True,
        )

    def _coded(self) -> list[str]:
        """Return text columns whose values are stored as codes: counting codes is cheaper than texts."""
        footer, coded = self.source.metadata[self.file], list[str]()
        if footer is None:
            return coded
        part = footer.row_group(self.group)
        for column in (part.column(i) for i in range(part.num_columns)):
            small = column.total_uncompressed_size <= _CODED_BYTES * column.num_values
            path = column.path_in_schema  # with a dot it may be a nested column's
            if small and column.physical_type == "BYTE_ARRAY" and "." not in path:
                coded.append(path)
        return coded


def conform(batch: pa.RecordBatch, wanted: pa.Schema, rows: int) -> pa.RecordBatch:
    """Return a batch with the wanted columns in their order; codes of texts stay codes."""
    there = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns = [_as(there.get(field.name), field.type, rows) for field in wanted]
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


def _unified(parts: list[tuple[str, pa.Schema]]) -> pa.Schema:
    """Return one schema for all files; texts that are codes in some files only are plain."""
    first = parts[0][1]
    if all(part == first for _, part in parts):
        return first
    return unified([(name, _plain(part)) for name, part in parts])


def _plain(schema: pa.Schema) -> pa.Schema:
    types = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema]
    return pa.schema(list(zip(schema.names, types, strict=True)))
