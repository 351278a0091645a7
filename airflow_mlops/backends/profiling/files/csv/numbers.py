"""Numbers of csv files as people write them: with marks between thousands, or in columns that are text.

A mark between thousands is read where it is stated. Where none is, ``1,234`` may be text or a fraction: it is
left as it is read, and told, as are columns that a few other words keep from being numbers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.core.data.dataset_uri import THOUSANDS
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mlops.backends.profiling.files.csv.dialect import CsvDialect

_SIGN, _POWER, _WHOLE = r"[+-]?", r"([eE][+-]?\d+)?", r"(0|[1-9]\d*)"
_ANY = f"[{''.join(map(re.escape, THOUSANDS))}]"
_MARKED = rf"^{_SIGN}[1-9]\d{{0,2}}({_ANY}\d{{2,3}})*{_ANY}\d{{3}}([.,]\d+)?$"
_DRESSED = r"^([€$£¥] ?[+-]?\d[\d.,' ]*|[+-]?\d[\d.,' ]*[%€$£¥]|\(\d[\d.,]*\))$"
_MARKS = "have marks between thousands ({}): read as text; state thousands, or its type (dtypes)"
_DECIMAL = "have a decimal mark ({}): read as text; state decimal, or its type (dtypes)"
_SIGNS = (
    "are numbers with a sign beside them ({}): read as text; write plain numbers, or state its type (dtypes)"
)
_UNFIT = "do not fit {} ({}): read as text; mend them, or state its type (dtypes)"
_ADDRESSES = "look like IP addresses ({}), not numbers with {}: read as text; state its type (dtypes)"
_GROUPS = "all have {} groups of digits ({}), as identifiers may: read as numbers; state its type (dtypes)"
_WORDS = "are numbers, others are not ({}): read as text; state na_values, or its type (dtypes)"
_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ADDRESS = rf"^{_BYTE}(\.{_BYTE}){{3}}$"
_LEAST_GROUPS = 4
"""Groups of digits from which a column whose values all have as many may hold identifiers."""
_MOST_WORDS = 5
_LOOKED_AT = 20_000
"""Values of a column that are looked at for what is told."""
_NEARLY = 0.5
"""Share of a text column's values that look like numbers from which this is told."""


def number_type(texts: pa.ChunkedArray, dialect: CsvDialect) -> pa.DataType | None:
    """Return the type of a text column whose values are all numbers, some with the stated mark.

    Addresses, as ``192.168.100.200``, are none.
    """
    values = pc.utf8_trim_whitespace(texts.drop_null())
    if not len(values) or not _share(values, _grouped(dialect)) or _share(values, _ADDRESS) == 1:
        return None
    if _share(values, _number(dialect, fraction=False)) == 1:
        return pa.int64()
    return pa.float64() if _share(values, _number(dialect)) == 1 else None


def numbers_from(
    texts: pa.ChunkedArray, kind: pa.DataType, dialect: CsvDialect, place: str
) -> pa.ChunkedArray:
    """Return texts as numbers, without marks between thousands.

    :param place: file and column, for messages.
    :raises InvalidDataError: a value that is no number with these marks.
    """
    values = pc.utf8_trim_whitespace(texts)
    odd = values.filter(pc.invert(pc.match_substring_regex(values, _number(dialect))))
    if len(odd):
        msg = f"{place} holds {odd[0].as_py()!r}, no {kind} with {_stated(dialect)}; "
        msg += "allowed: such a number, or another type, stated: dtypes"
        raise InvalidDataError(msg)
    plain = pc.replace_substring(values, dialect.thousands, "")
    return pc.cast(pc.replace_substring(plain, dialect.decimal, "."), kind)


def told_of_texts(texts: pa.Table, dialect: CsvDialect) -> Iterator[str]:
    """Tell which columns of text are nearly numbers, and what to state if they are."""
    for name in texts.column_names:
        values = pc.utf8_trim_whitespace(texts.column(name).drop_null().slice(0, _LOOKED_AT))
        if len(values) and (told := _told_of_text(values, dialect)):
            yield f"{name}: {told}"


def _told_of_text(values: pa.ChunkedArray, dialect: CsvDialect) -> str:
    """Return what to say of a text column; nothing unless at least half of it may be numbers."""
    if _share(values, _ADDRESS) == 1:
        marks = _stated(dialect) if dialect.thousands == "." else ""
        told = _ADDRESSES.format(repr(values[0].as_py()), marks)
        return f"the first {len(values)} values {told}" if marks else ""
    other = "," if dialect.decimal == "." else "."
    decimal = pc.match_substring_regex(values, rf"^{_SIGN}\d*{re.escape(other)}\d+$")
    marked, dressed = (pc.match_substring_regex(values, pattern) for pattern in (_MARKED, _DRESSED))
    plain = pc.match_substring_regex(values, _number(dialect))
    numbers = pc.or_(pc.or_(plain, decimal), pc.or_(marked, dressed))
    if pc.mean(pc.cast(numbers, pa.float64())).as_py() < _NEARLY:
        return ""
    of = f"of the first {len(values)} values"
    unfit, odd = _UNFIT.format(_stated(dialect), "{}"), pc.invert(plain)
    if dialect.thousands:
        marked, decimal = pc.and_(odd, pc.or_(marked, decimal)), pc.and_(odd, decimal)
    for found, what in (
        (marked, unfit if dialect.thousands else _MARKS),
        (decimal, _DECIMAL if "decimal" in dialect.found else unfit),
        (dressed, _SIGNS),
    ):
        if count := pc.sum(found).as_py():
            return f"{count} {of} {what.format(repr(values.filter(found)[0].as_py()))}"
    words = pc.unique(values.filter(pc.invert(numbers))).to_pylist()[:_MOST_WORDS]
    told = ", ".join(map(repr, words))
    return f"{pc.sum(numbers).as_py()} {of} {_WORDS.format(told)}" if words else ""


def told_of_groups(texts: pa.Table, dialect: CsvDialect) -> Iterator[str]:
    """Tell which columns of numbers may be identifiers: all values have equally many groups, four or more."""
    group = rf"{re.escape(dialect.thousands)}\d{{3}}"
    for name in texts.column_names:
        values = pc.utf8_trim_whitespace(texts.column(name).drop_null().slice(0, _LOOKED_AT))
        if not len(values):
            continue
        count = values[0].as_py().count(dialect.thousands) + 1
        alike = rf"^[1-9]\d{{0,2}}({group}){{{count - 1}}}$"
        if count >= _LEAST_GROUPS and _share(values, alike) == 1:
            told = _GROUPS.format(count, repr(values[0].as_py()))
            yield f"{name}: the first {len(values)} values {told}"


def _stated(dialect: CsvDialect) -> str:
    """Return the marks by which numbers are read, in words."""
    thousands = f"thousands {dialect.thousands!r} and " if dialect.thousands else ""
    return f"{thousands}decimal {dialect.decimal!r}"


def may_be_thousands(values: pa.ChunkedArray) -> bool:
    """Say whether numbers may all have three digits after the point, and none begins with 0."""
    numbers = np.abs(np.asarray(values.drop_null().slice(0, _LOOKED_AT), np.float64))
    parts = numbers[numbers != np.trunc(numbers)]
    return bool(len(numbers) and (parts > 1).all() and np.allclose(parts * 1000, np.rint(parts * 1000)))


def told_of_fractions(texts: pa.Table) -> Iterator[str]:
    """Tell which columns of fractions may be whole numbers with a point between thousands."""
    for name in texts.column_names:
        values = pc.utf8_trim_whitespace(texts.column(name).drop_null().slice(0, _LOOKED_AT))
        pointed = values.filter(pc.match_substring(values, "."))
        if len(pointed) and _share(pointed, rf"^{_SIGN}[1-9]\d{{0,2}}(\.\d{{3}})+$") == 1:
            yield (
                f"{name}: {len(pointed)} of the first {len(values)} values have three digits after the point "
                f"({pointed[0].as_py()!r}), as between thousands: read as fractions; "
                "state decimal, or thousands"
            )


def _grouped(dialect: CsvDialect) -> str:
    decimal = re.escape(dialect.decimal)
    return rf"^{_SIGN}{_groups(dialect.thousands)}({decimal}\d+)?$"


def _groups(thousands: str) -> str:
    """Return the pattern of groups of three digits; of two before the last, as lakhs, by commas."""
    mark = re.escape(thousands)
    lakhs = rf"|[1-9]\d?({mark}\d\d)+{mark}\d{{3}}" if thousands == "," else ""
    return rf"([1-9]\d{{0,2}}({mark}\d{{3}})+{lakhs})"


def _number(dialect: CsvDialect, *, fraction: bool = True) -> str:
    whole = f"({_groups(dialect.thousands)}|{_WHOLE})" if dialect.thousands else r"(\d+)"
    decimal = re.escape(dialect.decimal)
    return rf"^{_SIGN}({whole}({decimal}\d*)?|{decimal}\d+){_POWER}$" if fraction else rf"^{_SIGN}{whole}$"


def _share(values: pa.ChunkedArray, pattern: str) -> float:
    found = pc.match_substring_regex(values, pattern)
    return float(pc.mean(pc.cast(found, pa.float64())).as_py() or 0.0)
