"""Dataset URI: where data is, and in its fragment how it is read: ``/lake/flights#delimiter=%3B&version=3``.

All of it is part of a window's identity: who reads the window of a record reads the same rows, by the same
dialect, at the same version.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record

NA_VALUES = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Csv values that are read as missing in columns of every type: those of ``pandas.read_csv``."""
THOUSANDS = (",", ".", " ", "'", "_", "\u00a0", "\u202f", "\u2019")
"""Marks between thousands: a comma, point, space, apostrophe or underscore; as typesetters have them, too."""
_NAMED_CHARACTERS = {"tab": "\t", "\\t": "\t", "space": " "}
_DECIMALS = (".", ",")
_SINGLE = ("delimiter", "encoding", "decimal", "thousands", "quote")
"""Options of one value, as they are named in a URI."""


class CsvType(StrEnum):
    """Type of a csv column, stated instead of found."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions(Record):
    """How csv files are read; what is ``None`` is found from the file's first rows, and told.

    :param delimiter: one character, or ``tab``, ``space``.
    :param encoding: Python's name of it; found are UTF-8, and UTF-16 by its byte order mark, no others.
    :param decimal: ``.`` or ``,``.
    :param thousands: mark between thousands, of ``THOUSANDS``; none is read unless it is stated.
    :param quote: one character; ``""`` if values are never quoted.
    :param na_values: words read as missing, in columns of every type, instead of those of ``NA_VALUES``; an
        empty value is always missing.
    :param dtypes: types of columns by name: ``text``, ``integer``, ``number``, ``boolean``, ``date``,
        ``datetime``.
    :param final_newline: whether the last line must end with a line break; one that does not may be cut.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    quote: str | None = None
    na_values: tuple[str, ...] | None = None
    dtypes: dict[str, CsvType] = field(default_factory=dict)
    final_newline: bool = True

    def __post_init__(self) -> None:
        """Refuse what no csv can be read with."""
        object.__setattr__(self, "delimiter", _NAMED_CHARACTERS.get(self.delimiter or "", self.delimiter))
        self._require_character("delimiter", self.delimiter)
        self._require_character("quote", self.quote or None)
        if self.decimal not in (None, *_DECIMALS):
            msg = f"csv.decimal: {self.decimal!r}, allowed: '.' or ','"
            raise InvalidConfigError(msg)
        self._require_thousands()
        if self.delimiter is not None and self.delimiter in (self.decimal, self.quote):
            msg = f"csv.delimiter: {self.delimiter!r} is also decimal or quote, allowed: another character"
            raise InvalidConfigError(msg)
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError as error:
            msg = f"csv.encoding: {self.encoding!r}, allowed: a name Python knows, utf-8, latin-1, cp1252, …"
            raise InvalidConfigError(msg) from error

    def _require_thousands(self) -> None:
        mark = _NAMED_CHARACTERS.get(self.thousands or "", self.thousands)
        object.__setattr__(self, "thousands", mark)
        if mark is not None and (mark not in THOUSANDS or mark == self.decimal):
            also = f" and not decimal, {self.decimal!r}" if mark == self.decimal else ""
            msg = f"csv.thousands: {mark!r}, allowed: {', '.join(map(repr, THOUSANDS))}{also}"
            raise InvalidConfigError(msg)

    def _require_character(self, key: str, value: str | None) -> None:
        plain = value is None or (len(value) == 1 and value.isascii() and value not in "\r\n")
        if not plain or (value or "").isalnum():
            msg = f"csv.{key}: {value!r}, allowed: one ASCII character, no letter, digit or line break"
            raise InvalidConfigError(msg)

    def pairs(self) -> list[tuple[str, str]]:
        """Return what was stated, as keys and values of a URI's fragment."""
        found = [(name, getattr(self, name)) for name in _SINGLE if getattr(self, name) is not None]
        if self.na_values is not None:
            found += [("na_values", word) for word in self.na_values or ("",)]
        found += [("dtype", f"{kind}:{column}") for column, kind in self.dtypes.items()]
        return found + ([] if self.final_newline else [("final_newline", "false")])

    @classmethod
    def from_pairs(cls, pairs: list[tuple[str, str]]) -> Self:
        """Read what :meth:`pairs` returned.

        :raises InvalidConfigError: names the key, the value and what is allowed.
        """
        said: dict[str, Any] = {name: value for name, value in pairs if name in _SINGLE}
        words = [value for name, value in pairs if name == "na_values"]
        flags = [value for name, value in pairs if name == "final_newline"]
        if not {*flags} <= {"true", "false"}:
            msg = f"csv.final_newline: {flags[0]!r}, allowed: true or false"
            raise InvalidConfigError(msg)
        return cls(
            **said,
            na_values=tuple(words) if words else None,
            dtypes=dict(_csv_type(value) for name, value in pairs if name == "dtype"),
            final_newline="false" not in flags,
        )


def _csv_type(text: str) -> tuple[str, CsvType]:
    """Read ``text:zip`` as the column's name and its type.

    :raises InvalidConfigError: says what is allowed.
    """
    kind, separator, column = text.partition(":")
    if not separator or not column or kind not in {*CsvType}:
        msg = f"csv.dtype: {text!r}, allowed: <type>:<column>; {allowed_types(kind)}"
        raise InvalidConfigError(msg)
    return column, CsvType(kind)


def allowed_types(kind: str) -> str:
    """Return the types that may be stated, and the one that a wrong name is close to."""
    return f"types: {', '.join(CsvType)}{did_you_mean(_KNOWN_AS.get(kind.lower(), kind), [*CsvType])}"


_KNOWN_AS = {
    **dict.fromkeys(("str", "string", "varchar", "object"), "text"),
    **dict.fromkeys(("float", "double", "decimal", "float64", "numeric"), "number"),
    **dict.fromkeys(("int", "int64", "bigint"), "integer"),
    **dict.fromkeys(("bool", "logical"), "boolean"),
    "timestamp": "datetime",
}
"""Names of types elsewhere."""
_KEYS = (*_SINGLE, "na_values", "dtype", "final_newline", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetUri:
    """A dataset's place and how it is read.

    :param location: path or URI without options.
    :param version: of a Delta table; snapshot of an Iceberg table; ``""`` for the newest.
    """

    location: str
    csv: CsvOptions = field(default_factory=CsvOptions)
    version: str = ""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read a URI; what follows ``#`` and is no option belongs to the path.

        :raises InvalidConfigError: an unknown option beside a known one, or a wrong value.
        """
        location, separator, fragment = uri.rpartition("#")
        pairs = parse_qsl(fragment, keep_blank_values=True) if separator else []
        if not any(name in _KEYS for name, _ in pairs):
            return cls(location=uri)
        unknown = next((name for name, _ in pairs if name not in _KEYS), None)
        if unknown is not None:
            allowed = f"{', '.join(_KEYS)}{did_you_mean(unknown, _KEYS)}"
            msg = f"{uri}: unknown option {unknown!r}; one of: {allowed}"
            raise InvalidConfigError(msg)
        version = next((value for name, value in pairs if name == "version"), "")
        return cls(location=location, csv=CsvOptions.from_pairs(pairs), version=version)

    def __str__(self) -> str:
        """Return the URI that :meth:`parse` reads."""
        pairs = self.csv.pairs() + ([("version", self.version)] if self.version else [])
        return f"{self.location}#{urlencode(pairs)}" if pairs else self.location

    def at(self, version: str) -> DatasetUri:
        """Return the URI of another version; of the newest if ``""``."""
        return replace(self, version=version)


def same_dataset(one: str, other: str) -> bool:
    """Say whether two URIs name the same dataset, read the same way, whatever the version."""
    first, second = (DatasetUri.parse(uri).at("") for uri in (one, other))
    return replace(first, location=first.location.rstrip("/")) == replace(
        second, location=second.location.rstrip("/")
    )
