"""Parser of one csv file: Arrow reads its blocks in the file's dialect; types are those of the first block.

Arrow would make a number of 00123 and 0x1f, and a float of more digits than one holds: columns of such values
stay text. One whose first such value comes after the first block is refused: its type is decided by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from airflow_mlops.backends.profiling.files.csv.dialect import CsvDialect
from airflow_mlops.backends.profiling.files.csv.file import BYTE_ORDER_MARK
from airflow_mlops.backends.profiling.files.csv.numbers import (
    may_be_thousands,
    number_type,
    numbers_from,
    told_of_fractions,
    told_of_groups,
    told_of_texts,
)
from airflow_mlops.backends.profiling.files.kernels import has_leading_zeros
from airflow_mlops.backends.profiling.files.source import STATED_TYPES, require_unique
from airflow_mlops.core.data.dataset_uri import CsvOptions
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_IDS = r"^[+-]?0[0-9xX]"
"""Values that begin as numbers are not written: with leading zeros, or in hexadecimal."""
_LONG_NUMBER = r"^[+-]?[0-9]{19,}$"
_LARGEST = 2.0**63
_MOST_WORDS = 5
_STATE = "; state its type (dtypes), other files may have none"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTypes:
    """Types of a file's columns.

    :param rows: rows of the first block; a file with none there has none at all.
    :param kept: columns that stay text although their values look like numbers.
    :param notes: what was decided, for the reader.
    """

    schema: pa.Schema
    rows: int
    kept: frozenset[str]
    notes: tuple[str, ...]


NOTHING_FOUND = FoundTypes(schema=pa.schema([]), rows=0, kept=frozenset(), notes=())
"""Of a file without a header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvParser:
    """The dialect and the stated types of one file."""

    name: str
    dialect: CsvDialect
    options: CsvOptions

    def types(self, block: bytes) -> FoundTypes:
        """Return the types of the columns, from the first block.

        :raises InvalidDataError: a column that stands there twice.
        """
        stated = {name: STATED_TYPES[kind] for name, kind in self.options.dtypes.items()}
        table = self._parse(block, None, column_types={**stated, **self._by_hand(stated)})
        require_unique(table.schema.names, self.name)
        numbers = self._numbers(table.schema)
        examples = self._matching(block, None, numbers, _IDS) if self._may_hold_ids(block, numbers) else {}
        notes = [f"{name} kept as text: {found!r} {_has(found)}{_STATE}" for name, found in examples.items()]
        large = [name for name in numbers if _exceeds(table.column(name))]
        long = self._matching(block, None, large, _LONG_NUMBER) if large else {}
        notes += [f"{name} kept as text: no number holds {found}" for name, found in long.items()]
        notes += self._missing_words(block, [f.name for f in table.schema if pa.types.is_string(f.type)])
        kept = frozenset({*examples, *long})
        schema = self._with_thousands(as_text(table.schema, kept), table, stated)
        notes += self._doubts(block, table, schema, kept)
        return FoundTypes(schema=schema, rows=table.num_rows, kept=kept, notes=tuple(notes))

    def _by_hand(self, types: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
        """Return the numbers that Arrow does not read, as texts: with marks of thousands."""
        numbers = [name for name, kind in types.items() if _is_number(kind)]
        return dict.fromkeys(numbers if self.dialect.thousands else (), pa.string())

    def _with_thousands(
        self, schema: pa.Schema, table: pa.Table, stated: Mapping[str, pa.DataType]
    ) -> pa.Schema:
        """Return the schema with the types of the columns that are numbers with marks between thousands."""
        texts = [f.name for f in table.schema if pa.types.is_string(f.type) and f.name not in stated]
        found = {name: number_type(table.column(name), self.dialect) for name in self._marked(texts)}
        return pa.schema([f.with_type(stated.get(f.name) or found.get(f.name) or f.type) for f in schema])

    def _marked(self, texts: Sequence[str]) -> Sequence[str]:
        return texts if self.dialect.thousands else ()

    def _doubts(
        self, block: bytes, table: pa.Table, schema: pa.Schema, kept: frozenset[str]
    ) -> Iterator[str]:
        """Tell what may not be meant so: names with spaces, text that is nearly numbers, and fractions."""
        spaced = [name for name in schema.names if name != name.strip()]
        if spaced:
            yield f"spaces around the names of columns: {', '.join(map(repr, spaced))}"
        open_ = [f for f in schema if f.name not in self.options.dtypes and f.name not in kept]
        texts = [f.name for f in open_ if pa.types.is_string(f.type)]
        yield from told_of_texts(table.select(texts), self.dialect)
        if self.dialect.thousands:
            grouped = [
                f.name
                for f in open_
                if _is_number(f.type) and pa.types.is_string(table.schema.field(f.name).type)
            ]
            yield from told_of_groups(table.select(grouped), self.dialect)
        if not self.dialect.thousands and self.dialect.decimal == "." and "decimal" in self.dialect.found:
            floats = [f.name for f in open_ if pa.types.is_floating(f.type)]
            fractions = [name for name in floats if may_be_thousands(table.column(name))]
            yield from told_of_fractions(self._texts(block, None, fractions) if fractions else pa.table({}))

    def rows(self, block: bytes, names: Sequence[str] | None, wanted: pa.Schema) -> pa.Table:
        """Parse whole rows.

        :param names: names of the columns; of the first row if ``None``.
        :raises InvalidDataError: a number with leading zeros, or in hexadecimal: both would be lost.
        """
        by_hand = self._by_hand(dict(zip(wanted.names, wanted.types, strict=True)))
        parsed = pa.schema([f.with_type(by_hand.get(f.name, f.type)) for f in wanted])
        table = self._parse(
            block, names, column_types=parsed, include_columns=wanted.names, include_missing_columns=True
        )
        numbers = self._numbers(wanted)
        if self._may_hold_ids(block, numbers):
            there = [name for name in numbers if names is None or name in names]
            for name, found in self._matching(block, names, there, _IDS).items():
                msg = f"{self.name}: column {name!r} holds {found!r}, which {_has(found)}, after "
                msg += (
                    f"others; state its type: dtypes: {{{name}: text}} keeps it, integer makes a number of it"
                )
                raise InvalidDataError(msg)
        for i, field in enumerate(wanted):
            if field.name in by_hand:
                place = f"{self.name}: column {field.name!r}"
                values = numbers_from(table.column(i), field.type, self.dialect, place)
                table = table.set_column(i, field, values)
        return table

    def _parse(self, block: bytes, names: Sequence[str] | None, **convert: Any) -> pa.Table:
        if names and block.startswith(BYTE_ORDER_MARK):
            block = b"\n" + block  # part of a value here; blank lines are passed over
        words = {"null_values": list(self.dialect.na_values), "strings_can_be_null": True}
        return pacsv.read_csv(
            pa.BufferReader(block),
            read_options=pacsv.ReadOptions(
                column_names=names, use_threads=False, block_size=max(1, len(block))
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self.dialect.delimiter, quote_char=self.dialect.quote or False
            ),
            convert_options=pacsv.ConvertOptions(
                **(words | {"decimal_point": self.dialect.decimal} | convert)
            ),
        )

    def _numbers(self, schema: pa.Schema) -> list[str]:
        """Return the columns that are numbers and were not stated to be."""
        return [f.name for f in schema if _is_number(f.type) and f.name not in self.options.dtypes]

    def _may_hold_ids(self, block: bytes, numbers: Sequence[str]) -> bool:
        quote, delimiter = ord(self.dialect.quote or self.dialect.delimiter), ord(self.dialect.delimiter)
        if not numbers:
            return False
        is_hexadecimal = b"0x" in block or b"0X" in block
        return is_hexadecimal or bool(has_leading_zeros(np.frombuffer(block, np.uint8), quote, delimiter))

    def _matching(
        self, block: bytes, names: Sequence[str] | None, columns: Sequence[str], pattern: str
    ) -> dict[str, str]:
        """Return the first value of each column that matches, as it stands in the file."""
        texts = self._texts(block, names, columns)
        found = {name: _first(texts.column(name), pattern) for name in columns}
        return {name: value for name, value in found.items() if value is not None}

    def _texts(
        self, block: bytes, names: Sequence[str] | None, columns: Sequence[str], **more: Any
    ) -> pa.Table:
        wanted = dict.fromkeys(columns, pa.string())
        return self._parse(block, names, column_types=wanted, include_columns=list(columns), **more)

    def _missing_words(self, block: bytes, texts: Sequence[str]) -> Iterator[str]:
        """Tell which words of text columns are read as missing: they may be values, ``NA`` for Namibia."""
        if not texts or self.dialect.na_values == ("",):
            return
        read, plain = (self._texts(block, None, texts, **more) for more in ({}, {"null_values": [""]}))
        for name in texts:
            there = pc.and_(pc.is_null(read.column(name)), pc.is_valid(plain.column(name)))
            words = pc.unique(plain.column(name).filter(there)).to_pylist()
            if words:
                yield f"{name}: {', '.join(map(repr, words[:_MOST_WORDS]))} read as missing (na_values)"


def is_filled(block: bytes) -> bool:
    """Say whether a block holds more than blank lines, which are passed over."""
    return bool(block.removeprefix(BYTE_ORDER_MARK).strip(b"\r\n"))


def as_text(schema: pa.Schema, names: frozenset[str]) -> pa.Schema:
    """Return the schema with some columns as text, if they are numbers or empty."""

    def text(field: pa.Field) -> bool:
        return field.name in names and (_is_number(field.type) or pa.types.is_null(field.type))

    return pa.schema([f.with_type(pa.string()) if text(f) else f for f in schema])


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _exceeds(values: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(values.type):
        return False
    ends = pc.min_max(values).as_py().values()
    return any(bool(end is not None and abs(end) >= _LARGEST) for end in ends)


def _has(found: str) -> str:
    return "has leading zeros" if found.lstrip("+-")[1].isdigit() else "is hexadecimal"


def _first(values: pa.ChunkedArray, pattern: str) -> str | None:
    found = values.filter(pc.match_substring_regex(values, pattern))
    return str(found[0]) if len(found) else None
