"""One csv file, read from its start to its end: unpacked, decoded, and cut into blocks of whole rows."""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import itertools
import lzma
import re
import zlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_mlops.backends.profiling.files.csv.dialect import (
    encoding_of,
    find_dialect,
    require_columns,
    sample_rows,
)
from airflow_mlops.backends.profiling.files.kernels import (
    VALUE_PLAIN,
    VALUE_QUOTED,
    VALUE_START,
    follow_quotes,
)
from airflow_mlops.core.data.dataset_uri import CsvType
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mlops.backends.profiling.files.storage import Storage
    from airflow_mlops.core.data.dataset_uri import CsvOptions

BLOCK_BYTES = 1 << 20
"""Csv is read and parsed in blocks of so many bytes, more where a single row is longer."""
ROW_BYTES = 1 << 26
"""Bytes that one row may have; one that is longer has most likely lost a quote."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LOOKED_AT = 1000
"""Bytes that tell whether a file is text."""
_NO_BYTE = 256
_SEPARATOR_LINE = re.compile(rb"(?:\xef\xbb\xbf)?sep=([^\w\r\n])\r?\n")
"""Excel's first line that names the delimiter and is no row."""
_ROW_OF_BLOCK = re.compile(r"(?<=Row #)\d+")
_CONVERSION = re.compile(
    r"CSV column #(?P<column>\d+): (Row #(?P<row>\d+): )?CSV conversion error to .*?: "
    r"invalid value (?P<value>'.*')"
)
_FORMS = {
    CsvType.TEXT: "any text",
    CsvType.INTEGER: "whole numbers of 64 bits",
    CsvType.NUMBER: "numbers with decimal {!r}",
    CsvType.BOOLEAN: "true, false, 1, 0",
    CsvType.DATE: "ISO 8601, 2026-02-01",
    CsvType.DATETIME: "ISO 8601 without a zone, 2026-02-01 or 2026-02-01 13:30:00",
}
"""How values of a stated type are written."""
_UNPACKERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}


class CsvFile:
    """One csv file as blocks of whole rows in UTF-8, each of its bytes read once.

    Arrow takes the end of a file for the end of a row and of a quoted value, so it cannot see that a file was
    cut: here quotes are followed, and the digest is taken, while the bytes pass. ``rows`` are those parsed.
    """

    def __init__(self, storage: Storage, path: str, options: CsvOptions) -> None:
        self.name, self.size, self.rows = storage.inside(path), 0, 0
        self.options, self._ended = options, False
        self._raw = _HashedFile(storage.files.open(path, "rb"))
        self._file = _unpacked(self._raw, path)
        self._value, self._last = VALUE_START, b""
        head = self._pull()
        self._encoding = encoding_of(head, options)
        _require_bytes_of_text(head, self.name, self._encoding)
        self._decode = _decoder(self._encoding)
        self._head = self._decoded(head)
        if self._head == BYTE_ORDER_MARK:
            self._head = b""  # nothing follows it
        self.notes = _told_of_encoding(head, self._encoding, options)
        if excel := _SEPARATOR_LINE.match(self._head):
            self._head = self._head[excel.end() :]
            options = replace(options, delimiter=options.delimiter or excel[1].decode())
        self.dialect = find_dialect(self._head, self.name, self._encoding, options)
        self._quote = ord(self.dialect.quote) if self.dialect.quote else _NO_BYTE
        self._rest = self._whole_rows()
        self.first = next(self._rest, b"")
        if not {*b"\r\n"} & {*self.first.rstrip(b"\r\n")}:
            self.first += next(self._rest, b"")  # a header alone tells no types
        require_columns(self.first, self.name, self.dialect, options)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes read so far, as the file holds them."""
        return self._raw.hash.digest()

    def blocks(self) -> Iterator[bytes]:
        """Return the blocks: all rows of the file, if it ends with one.

        :raises InvalidDataError: a file that ends within a row, or a row that is too long.
        """
        return itertools.chain([self.first], self._rest)

    def close(self) -> None:
        """Stop reading."""
        self._ended = True
        self._raw.close()

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
            if told := self._unlike_stated(reason):
                raise InvalidDataError(told) from error
            msg = f"{self.name}: cannot be read: {' '.join(reason.split())}{self._advice(reason)}"
            raise InvalidDataError(msg) from error

    def _advice(self, reason: str) -> str:
        if "conversion error" in reason:
            return "; a column's type is that of the file's first rows unless it is stated: dtypes"
        return f"; read with {self.dialect.text}" if "columns, got" in reason else ""

    def _unlike_stated(self, reason: str) -> str:
        """Return what to say of a value that is none of its column's stated type; empty of any other."""
        found = _CONVERSION.search(" ".join(reason.split()))
        if found is None:
            return ""
        text = self.first.decode("utf-8-sig")
        header = next(iter(sample_rows(text, self.dialect.delimiter, self.dialect.quote)), [])
        column = dict(enumerate(header)).get(int(found["column"]), "")
        kind = self.options.dtypes.get(column)
        if kind is None:
            return ""
        row = f"row {found['row']}: " if found["row"] else ""
        told = f"{self.name}: {row}column {column!r} holds {found['value']}, no {kind}, as stated (dtypes); "
        return f"{told}allowed: {_FORMS[kind].format(self.dialect.decimal)}, or another type"

    def _whole_rows(self) -> Iterator[bytes]:
        begun = bytearray()
        while chunk := self._read():
            end = self._follow(chunk)
            if end:
                yield bytes(begun) + chunk[:end]
                begun = bytearray(chunk[end:])
                continue
            begun += chunk
            if len(begun) > ROW_BYTES:
                start = self.size - len(begun)
                self._require_end()
                msg = f"{self.name}: the row at byte {start} is longer than {ROW_BYTES} bytes"
                raise InvalidDataError(msg)
        self._require_end()
        if begun:
            yield bytes(begun) + b"\n"  # whole: its reader says that the last line needs no break

    def _read(self) -> bytes:
        """Return the next bytes, decoded: a block of them, fewer at the file's end only."""
        if self._head:
            head, self._head = self._head, b""
            return head
        while not self._ended:
            if text := self._decoded(self._pull()):
                return text
        return b""

    def _pull(self) -> bytes:
        """Return the next bytes of the unpacked file: a block of them, fewer at its end only."""
        parts: list[bytes] = []
        left = BLOCK_BYTES
        while left and not self._ended:
            try:
                parts.append(self._file.read(left))
            except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
                msg = f"{self.name}: cannot be unpacked after {self._raw.size} bytes: {error}: the file was "
                msg += "cut, or is damaged"
                raise InvalidDataError(msg) from error
            left -= len(parts[-1])
            if not parts[-1]:
                self.close()
        return b"".join(parts)

    def _decoded(self, data: bytes) -> bytes:
        if self._decode is None:
            return data
        try:
            return str(self._decode.decode(data, final=self._ended)).encode()
        except UnicodeError as error:
            msg = f"{self.name}: no {self._encoding} csv: {error}; state its encoding"
            raise InvalidDataError(msg) from error

    def _follow(self, chunk: bytes) -> int:
        """Note what the end check needs; return where the chunk's last whole row ends, 0 for none."""
        text = chunk if self.size else chunk.removeprefix(BYTE_ORDER_MARK)
        self.size, self._last = self.size + len(chunk), chunk[-1:]
        if self._value != VALUE_QUOTED and (
            self._quote == _NO_BYTE or self.dialect.quote.encode() not in text
        ):
            starts = (b"\n", b"\r", self.dialect.delimiter.encode())
            self._value = VALUE_START if text[-1:] in starts else VALUE_PLAIN
            return 1 + max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        marks = self._quote, ord(self.dialect.delimiter)
        self._value, end = follow_quotes(np.frombuffer(text, np.uint8), self._value, *marks)
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
        if self.size and self._last not in (b"\n", b"\r") and self.options.final_newline:
            msg = f"{self.name}: the last line has no line break, so the file may have been cut; add one if "
            msg += "it is whole, or state final_newline: false"
            raise InvalidDataError(msg)


class _HashedFile:
    """An open file whose bytes are hashed and counted as they are read."""

    def __init__(self, file: Any) -> None:
        self.file, self.size, self.hash = file, 0, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.file.read(size)
        self.hash.update(data)
        self.size += len(data)
        return data

    def close(self) -> None:
        self.file.close()


def _unpacked(file: _HashedFile, path: str) -> Any:
    unpacker = _UNPACKERS.get(PurePosixPath(path.lower()).suffix)
    if unpacker is None:
        return file
    return unpacker(file)


def _told_of_encoding(head: bytes, encoding: str, options: CsvOptions) -> tuple[str, ...]:
    """Tell of bytes that are UTF-8, which another encoding that is stated makes other letters of."""
    if options.encoding is None or encoding.startswith("utf-"):
        return ()
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return ()
    word = re.search(r"\w*[^\x00-\x7f]\w*", text)
    if word is None:
        return ()
    read = word[0].encode().decode(encoding, errors="replace")
    return (f"its bytes are UTF-8: {word[0]!r} is read as {read!r}, by the stated encoding {encoding}",)


def _require_bytes_of_text(head: bytes, name: str, encoding: str) -> None:
    """Refuse UTF-16 without a byte order mark, whose plain letters are UTF-8 beside zeros.

    :raises InvalidDataError: names the file and the encoding to state.
    """
    some = head[:_LOOKED_AT]
    if encoding == "utf-8" and some.count(0) > len(some) / 4:
        likely = "utf-16-le" if some[1::2].count(0) > some[::2].count(0) else "utf-16-be"
        msg = f"{name}: no UTF-8 csv: every other byte is 0; state its encoding ({likely}?)"
        raise InvalidDataError(msg)


def _decoder(encoding: str) -> Any:
    """Return what turns bytes into text; ``None`` for UTF-8, which passes as it is."""
    if encoding in ("utf-8", "utf-8-sig", "ascii"):
        return None
    return codecs.getincrementaldecoder(encoding)()
