"""Csv files, each read once: digest, end check, rows and values come from one pass over its bytes."""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_mlops.backends.profiling.files.csv.file import CsvFile
from airflow_mlops.backends.profiling.files.csv.parser import (
    NOTHING_FOUND,
    CsvParser,
    FoundTypes,
    as_text,
    is_filled,
)
from airflow_mlops.backends.profiling.files.source import THREADS, told_of, told_of_columns, unified
from airflow_mlops.core.data.dataset_uri import CsvOptions
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from airflow_mlops.backends.profiling.files.source import DataFiles, PlacedBatch

_STATE = "; state its type (dtypes)"
_HELD_BYTES = 1 << 25
"""Bytes of first blocks that are kept in memory until their files are read; what is beyond is read again."""


class CsvSource:
    """Csv files, parsed by Arrow; types are those of each file's first block, if they are not stated.

    The types of all files are needed before the first row: the blocks that were read to learn them wait in
    memory, with the files open, until their turn comes. So a file is read once, whichever method reads it.
    """

    def __init__(
        self,
        data: DataFiles,
        options: CsvOptions | None = None,
        on_bytes: Callable[[float], object] | None = None,
    ) -> None:
        self.storage, self.files, self.on_bytes = data.storage, list(data.paths), on_bytes
        self.options = options or CsvOptions()
        self._begun: dict[str, CsvFile] = {}
        self._held = 0
        self._digests: dict[str, bytes] = {}
        self._parsers: dict[str, CsvParser] = {}
        types = {path: self._types(path) for path in self.files}
        self.empty = [path for path, found in types.items() if not found.rows]
        kept = frozenset[str]().union(*(found.kept for found in types.values()))
        filled = {path: found for path, found in types.items() if found.rows} or types
        named = {self.storage.inside(path): found for path, found in filled.items()}
        own = unified([(name, as_text(found.schema, kept)) for name, found in named.items()], _STATE)
        self.data = data.beside(own.names)
        self.schema = self.data.with_folders(own)
        self._names = {path: found.schema.names for path, found in types.items()}
        columns = told_of_columns([(name, found.schema.names) for name, found in named.items()])
        self.notes = (*self._told(filled), *columns, *data.notes)
        self._later, self._first = self.batches(self.schema), list[pa.RecordBatch]()

    def _types(self, path: str) -> FoundTypes:
        file = CsvFile(self.storage, path, self.options)
        _require_utf8(file)
        self._parsers[path] = CsvParser(name=file.name, dialect=file.dialect, options=self.options)
        with file.parsing():
            found = self._parsers[path].types(file.first) if is_filled(file.first) else NOTHING_FOUND
        if self._held + file.size <= _HELD_BYTES:
            self._begun[path], self._held = file, self._held + file.size
        else:
            file.close()
        return replace(found, notes=(*file.notes, *found.notes))

    def _told(self, types: Mapping[str, FoundTypes]) -> tuple[str, ...]:
        """Return how the files are read, in words."""
        parsers = [self._parsers[path] for path in types]
        pairs = list(zip(parsers, types.values(), strict=True))
        notes = [(parser.name, f"csv: {parser.dialect.text}") for parser in parsers]
        return told_of([*notes, *((parser.name, note) for parser, found in pairs for note in found.notes)])

    def batches(self, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Parse some columns of all files, a block each time; those that a file lacks are null.

        :raises InvalidDataError: a file that cannot be parsed, or ends within a row.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            for path in self.files:
                begun = self._begun.pop(path, None)
                file = begun if begun is not None else CsvFile(self.storage, path, self.options)
                with closing(file), file.parsing():
                    for table in self._tables(file, path, wanted, pool):
                        file.rows += table.num_rows + (not file.rows)  # the first row names the columns
                        yield from self.data.fill_folders(table, path).to_batches()
                self._digests[path] = file.digest

    def _tables(
        self, file: CsvFile, path: str, wanted: pa.Schema, pool: ThreadPoolExecutor
    ) -> Iterator[pa.Table]:
        """Parse blocks in threads, ahead of the one that is asked for; return them in their order."""
        waiting: deque[Future[pa.Table]] = deque()
        parser, names = self._parsers[path], self._names[path]
        for block in filter(is_filled, file.blocks()):
            if self.on_bytes:
                self.on_bytes(len(block))
            waiting.append(pool.submit(parser.rows, block, names if waiting or file.rows else None, wanted))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def digests(self) -> list[bytes]:
        """Return what identifies each file's content; known once its rows were read or counted."""
        return [self.storage.tag(path) or self._digests[path] for path in self.files]

    def count_rows(self) -> int:
        """Return the number of rows, without looking at their values.

        :raises InvalidDataError: a file that cannot be parsed, or ends within a row.
        """
        unread = pa.schema([pa.field(self.schema.names[0], pa.binary())])
        return sum(batch.num_rows for batch in self.batches(unread))

    def to_table(self, columns: Sequence[str] | None) -> pa.Table:
        """Read all rows."""
        wanted = pa.schema([self.schema.field(name) for name in columns or self.schema.names])
        return pa.Table.from_batches(self.batches(wanted), wanted)

    def first_rows(self, rows: int, columns: Sequence[str]) -> pa.Table:
        """Return the first rows, which stay in memory until :meth:`streams` gives them out."""
        found = 0
        while found < rows and (batch := next(self._later, None)) is not None:
            self._first.append(batch)
            found += batch.num_rows
        return pa.Table.from_batches(self._first, self.schema).select(list(columns)).slice(0, rows)

    def streams(self, batch_rows: int, count: int) -> list[Iterator[PlacedBatch]]:
        """Return one stream: it is the parsing of blocks that is shared out to threads."""
        return [self._placed(batch_rows)]

    def _placed(self, rows: int) -> Iterator[PlacedBatch]:
        for batch in itertools.chain(self._first, self._later):
            for start in range(0, batch.num_rows, rows):
                yield 0, batch.slice(start, rows)


def _require_utf8(file: CsvFile) -> None:
    """Refuse another encoding, which Arrow would take for binary values.

    :raises InvalidDataError: names the file and the byte.
    """
    try:
        file.first.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{file.name}: no UTF-8 csv: {error}; state its encoding: latin-1, cp1252, …"
        raise InvalidDataError(msg) from error
