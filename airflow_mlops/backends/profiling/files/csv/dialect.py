"""CsvDialect of a csv file: what is stated, and what is found from the file's first rows for the rest."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from airflow_mlops.core.data.dataset_uri import NA_VALUES
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.dataset_uri import CsvOptions

_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 200
_DELIMITERS = (",", "\t", ";", "|")
_SEPARATORS = (*_DELIMITERS, "^", "~", "\x01", "\x1f", ":", " ")
"""Characters that separate the values of a row where a file seems to have one column only."""
_IN_PLAIN_TEXT = (":", " ")
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MOST_ROWS = 0.9
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")
_BY_COMMA = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_WITH_POINT = re.compile(r"[+-]?\d+\.\d+")
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvDialect:
    """How one csv file is read.

    :param found: names of those of its parts that were found, not stated.
    """

    delimiter: str
    encoding: str
    decimal: str
    quote: str
    na_values: tuple[str, ...]
    thousands: str = ""
    found: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The dialect in words: ``delimiter ';', decimal ',', quote '"', utf-8``."""
        parts = [f"delimiter {self.delimiter!r}", f"decimal {self.decimal!r}", f"quote {self.quote!r}"]
        parts += [f"thousands {self.thousands!r}"] if self.thousands else []
        found = f" ({', '.join(self.found)} found, not stated)" if self.found else ""
        return f"{', '.join([*parts, self.encoding])}{found}"


def encoding_of(head: bytes, options: CsvOptions) -> str:
    """Return the stated encoding; else that of the byte order mark, else UTF-8."""
    if options.encoding is not None:
        return codecs.lookup(options.encoding).name
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")


def find_dialect(head: bytes, name: str, encoding: str, options: CsvOptions) -> CsvDialect:
    """Return the dialect of a file.

    :param head: its first bytes, in UTF-8.
    """
    text = _sample(head)
    quote = options.quote if options.quote is not None else _quote_of(text)
    delimiter = options.delimiter or _delimiter_of(text, quote, _usual_delimiter(name))
    rows = sample_rows(text, delimiter, quote)
    decimal = options.decimal or _decimal_of(rows, delimiter, options.thousands or "")
    words = NA_VALUES if options.na_values is None else tuple(dict.fromkeys(["", *options.na_values]))
    stated = {"delimiter": options.delimiter, "decimal": options.decimal, "quote": options.quote}
    return CsvDialect(
        delimiter=delimiter,
        encoding=encoding,
        decimal=decimal,
        quote=quote,
        na_values=words,
        thousands=options.thousands or "",
        found=tuple(key for key, value in (stated | {"encoding": options.encoding}).items() if value is None),
    )


def require_columns(head: bytes, name: str, dialect: CsvDialect, options: CsvOptions) -> None:
    """Refuse one wide column of text whose name and values hold the same separator.

    :raises InvalidDataError: names the file, the column and the separator.
    """
    rows = sample_rows(_sample(head), dialect.delimiter, dialect.quote)
    if len(rows) < 2 or any(len(row) > 1 for row in rows) or rows[0][0] in options.dtypes:
        return
    column, values = rows[0][0], [row[0] for row in rows[1:]]
    joined = next((mark for mark in _SEPARATORS if _joins(mark, column, values)), None)
    if joined is not None:
        quoted = "state that nothing is quoted (quote: '')"
        advice = quoted if joined == dialect.delimiter else f"state the delimiter ({joined!r}?)"
        msg = f"{name}: one column, {column[:80]!r}, whose name and values hold {joined!r}, at delimiter "
        msg += f"{dialect.delimiter!r}; {advice}, or the column's type (dtypes)"
        raise InvalidDataError(msg)


def sample_rows(text: str, delimiter: str, quote: str) -> list[list[str]]:
    """Return the first rows, blank ones left out; none if they cannot be told apart."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )
    try:
        rows = [row for row, _ in zip(reader, range(_SAMPLE_ROWS + 1), strict=False)]
    except csv.Error:
        return []
    return [row for row in rows if row]


def _sample(head: bytes) -> str:
    """Return the first rows as text, without the last one if it may be cut."""
    cut = head[:_SAMPLE_BYTES]
    end = max(cut.rfind(b"\n"), cut.rfind(b"\r"))
    whole = cut if len(cut) == len(head) and end < 0 else cut[: end + 1]
    return whole.decode("utf-8-sig", errors="replace")


def _quote_of(text: str) -> str:
    """Return the apostrophe if the first value begins with one and no quotation mark is there."""
    return "'" if text.startswith("'") and '"' not in text else '"'


def _usual_delimiter(name: str) -> str:
    return "\t" if ".tsv" in PurePosixPath(name.lower()).suffixes else ","


def _delimiter_of(text: str, quote: str, usual: str) -> str:
    """Return the delimiter that gives all rows equally many values, and most of them; else the usual one."""
    counts = {mark: _columns(sample_rows(text, mark, quote)) for mark in (usual, *_DELIMITERS)}
    best = max(counts, key=lambda mark: counts[mark])  # the first of equals: the usual one
    return best if counts[best] > 1 else usual


def _columns(rows: Sequence[Sequence[str]]) -> int:
    widths = {len(row) for row in rows}
    return widths.pop() if len(widths) == 1 else 0


def _decimal_of(rows: Sequence[Sequence[str]], delimiter: str, thousands: str) -> str:
    """Return a comma if the numbers of some column need one and those of none a point.

    A column whose commas, or points, may all be those between thousands needs none. Beside the delimiter
    ``,`` a comma is taken for that of thousands.

    :param thousands: the stated mark, ``""`` if none is.
    """
    if thousands in (".", ","):
        return "," if thousands == "." else "."
    if delimiter == ",":
        return "."
    columns = [
        [value.strip().replace(thousands, "") for value in column if value.strip()]
        for column in zip(*rows[1:], strict=False)
    ]
    by_comma, by_point = (
        any(_all_numbers(c, fraction) and not _all_numbers(c, grouped) for c in columns)
        for fraction, grouped in ((_WITH_COMMA, _BY_COMMA), (_WITH_POINT, _BY_POINT))
    )
    return "," if by_comma and not by_point else "."


def _all_numbers(values: Sequence[str], fractional: re.Pattern[str]) -> bool:
    """Say whether all are numbers, whole ones among them, and some have a fraction."""
    some = any(fractional.fullmatch(value) for value in values)
    return some and all(fractional.fullmatch(value) or _WHOLE.fullmatch(value) for value in values)


def _joins(mark: str, column: str, values: Sequence[str]) -> bool:
    """Say whether a column's name and nearly all values seem to be several, separated by the mark."""
    wanted = column.count(mark)
    if wanted < (2 if mark in _IN_PLAIN_TEXT else 1):
        return False
    if mark in _IN_PLAIN_TEXT:
        return all(value.count(mark) == wanted for value in values)
    return sum(value.count(mark) >= wanted for value in values) >= _MOST_ROWS * len(values)
