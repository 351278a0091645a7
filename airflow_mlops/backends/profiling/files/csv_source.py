"""Csv files, each read once: digest, end check, rows and values come from one pass over its bytes."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from airflow_mlops.backends.profiling.files.kernels import (
    VALUE_PLAIN,
    VALUE_QUOTED,
    VALUE_START,
    follow_quotes,
)
from airflow_mlops.backends.profiling.files.source import THREADS, require_unique
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from airflow_mlops.backends.profiling.files.source import PlacedBatch
    from airflow_mlops.backends.profiling.files.storage import Storage

BLOCK_BYTES = 1 << 20
"""Csv is read and parsed in blocks of so many bytes; a row may be as long as one."""
_HELD_BYTES = 1 << 25
"""Bytes of first blocks that are kept in memory until their files are read; what is beyond is read again."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ROW_OF_BLOCK = re.compile(r"(?<=Row #)\d+")


class CsvFile:
    """One csv file, read from its start to its end as blocks of whole rows, each byte once.

    Arrow takes the end of a file for the end of a row and of a quoted value, so it cannot see that a file was
    cut: here quotes are followed, and the digest is taken, while the bytes pass. ``rows`` are those parsed.
    """

    def __init__(self, storage: Storage, path: str) -> None:
        self.name, self.size, self.rows = PurePosixPath(path).name, 0, 0
        self._file, self._ended = storage.files.open(path, "rb"), False
        self._hash, self._value, self._last = hashlib.sha256(), VALUE_START, b""
        self._rest = self._whole_rows()
        self.first = next(self._rest, b"")

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes read so far."""
        return self._hash.digest()

    def blocks(self) -> Iterator[bytes]:
        """Return the blocks: all bytes of the file, if it ends with a row.

        :raises InvalidDataError: a file that ends within a row, or a row that is longer than a block.
        """
        return itertools.chain([self.first], self._rest)

    def close(self) -> None:
        """Stop reading."""
        self._ended = True
        self._file.close()

    @contextmanager
    def parsing(self) -> Iterator[None]:
        """Name the file in what the parser refuses; that it was cut explains more, where it was.

        :raises InvalidDataError: a file that cannot be parsed, or ends within a row.
        """
        try:
            yield
        except pa.ArrowInvalid as error:
            self._require_end()
            reason = _ROW_OF_BLOCK.sub(lambda row: str(self.rows + int(row[0])), str(error))
            msg = f"{self.name}: cannot be read: {' '.join(reason.split())}"
            raise InvalidDataError(msg) from error

    def _whole_rows(self) -> Iterator[bytes]:
        begun = b""
        while chunk := self._read():
            end = self._follow(chunk)
            if end:
                yield begun + chunk[:end]
                begun = chunk[end:]
            elif len(begun) < BLOCK_BYTES:
                begun += chunk
            else:
                start = self.size - len(chunk) - len(begun)
                self._require_end()
                msg = f"{self.name}: the row at byte {start} is longer than a block of {BLOCK_BYTES} bytes"
                raise InvalidDataError(msg)
        self._require_end()

    def _read(self) -> bytes:
        """Return the next bytes: a block of them, fewer at the file's end only."""
        parts: list[bytes] = []
        left = BLOCK_BYTES
        while left and not self._ended:
            parts.append(self._file.read(left))
            left -= len(parts[-1])
            if not parts[-1]:
                self.close()
        return b"".join(parts)

    def _follow(self, chunk: bytes) -> int:
        """Note what digest and end check need; return where the chunk's last whole row ends, 0 for none."""
        text = chunk if self.size else chunk.removeprefix(_BYTE_ORDER_MARK)
        self._hash.update(chunk)
        self.size, self._last = self.size + len(chunk), chunk[-1:]
        if self._value != VALUE_QUOTED and b'"' not in text:
            self._value = VALUE_START if text[-1:] in (b"\n", b"\r", b",") else VALUE_PLAIN
            return 1 + max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        self._value, end = follow_quotes(np.frombuffer(text, np.uint8), self._value)
        return int(end) + len(chunk) - len(text) if end else 0

    def _require_end(self) -> None:
        """Read what is left and refuse a file that ends within a row.

        A file whose last line has no line break may be whole, but this cannot be told from the file.

        :raises InvalidDataError: says where the file ends and how to mend one that is whole.
        """
        while chunk := self._read():
            self._follow(chunk)
        if self._value == VALUE_QUOTED:
            msg = f"{self.name}: ends within a quoted value, after {self.size} bytes: the file was cut, or a "
            msg += "quote is missing"
            raise InvalidDataError(msg)
        if self.size and self._last not in (b"\n", b"\r"):
            msg = f"{self.name}: the last line has no line break, so the file may have been cut; add one if "
            msg += "it is whole"
            raise InvalidDataError(msg)


class CsvSource:
    """Csv files, parsed by Arrow; types are those of each file's first block.

    The types of all files are needed before the first row: the blocks that were read to learn them wait in
    memory, with the files open, until their turn comes. So a file is read once, whichever method reads it.
    """

    def __init__(
        self, storage: Storage, files: Sequence[str], on_bytes: Callable[[float], object] | None = None
    ) -> None:
        self.storage, self.files, self.on_bytes = storage, list(files), on_bytes
        self._begun: dict[str, CsvFile] = {}
        self._held = 0
        self._digests: dict[str, bytes] = {}
        schemas = [self._types(path) for path in files]
        self.schema = pa.unify_schemas(schemas, promote_options="permissive")
        self._names = {path: schema.names for path, schema in zip(files, schemas, strict=True)}
        self._later, self._first = self.batches(self.schema), list[pa.RecordBatch]()

    def _types(self, path: str) -> pa.Schema:
        file = CsvFile(self.storage, path)
        _require_utf8(file)
        with file.parsing():
            schema = _parsed(file.first, None, pacsv.ConvertOptions()).schema
        require_unique(schema.names, path)
        if self._held + file.size <= _HELD_BYTES:
            self._begun[path], self._held = file, self._held + file.size
        else:
            file.close()
        return schema

    def batches(self, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Parse some columns of all files, a block each time; those that a file lacks are null.

        :raises InvalidDataError: a file that cannot be parsed, or ends within a row.
        """
        options = pacsv.ConvertOptions(
            column_types=wanted, include_columns=wanted.names, include_missing_columns=True
        )
        with ThreadPoolExecutor(THREADS) as pool:
            for path in self.files:
                file = self._begun.pop(path) if path in self._begun else CsvFile(self.storage, path)
                with closing(file), file.parsing():
                    for table in self._tables(file, self._names[path], options, pool):
                        file.rows += table.num_rows + (not file.rows)  # the first row names the columns
                        yield from table.to_batches()
                self._digests[path] = file.digest

    def _tables(
        self, file: CsvFile, names: list[str], options: pacsv.ConvertOptions, pool: ThreadPoolExecutor
    ) -> Iterator[pa.Table]:
        """Parse blocks in threads, ahead of the one that is asked for; return them in their order."""
        waiting: deque[Future[pa.Table]] = deque()
        for block in file.blocks():
            if self.on_bytes:
                self.on_bytes(len(block))
            waiting.append(pool.submit(_parsed, block, names if waiting or file.rows else None, options))
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


def _parsed(block: bytes, names: list[str] | None, options: pacsv.ConvertOptions) -> pa.Table:
    """Parse whole rows.

    :param names: names of the columns; of the first row if ``None``.
    """
    if names and block.startswith(_BYTE_ORDER_MARK):
        block = b"\n" + block  # part of a value here; blank lines are passed over
    whole = pacsv.ReadOptions(column_names=names, use_threads=False, block_size=max(1, len(block)))
    return pacsv.read_csv(pa.BufferReader(block), read_options=whole, convert_options=options)


def _require_utf8(file: CsvFile) -> None:
    """Refuse another encoding, which Arrow would take for binary values.

    :raises InvalidDataError: names the file and the byte.
    """
    try:
        file.first.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{file.name}: no UTF-8 csv: {error}"
        raise InvalidDataError(msg) from error
