"""Families of storage types, and what it means that values come in another one than before: one table.

A schema's rule on types, skew and monitoring ask it, so that all say the same of the same pair of types.
Training and validation need no answer: to them integers, floats and decimals are all double precision.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.profile.column import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Set

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile


class TypeFamily(StrEnum):
    """Storage types that differ in width only."""

    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    TEXT = "text"
    DATE = "date"
    TIMESTAMP = "timestamp"
    ZONED = "timestamp with a time zone"


class TypeChange(StrEnum):
    """What became of a column's type.

    ``SAME``: nothing. ``STORED``: the same values are stored otherwise, which is *warn* everywhere.
    ``UNDECIDED``: so if the values are whole, which the profile does not tell. ``OTHER``: another type.
    """

    SAME = "same"
    STORED = "stored otherwise"
    UNDECIDED = "undecided"
    OTHER = "other"


_OF_WHOLE_NUMBERS = "of whole numbers"
_CHANGES = {
    (TypeFamily.INTEGER, TypeFamily.FLOAT): _OF_WHOLE_NUMBERS,  # what pandas makes of integers with nulls
    (TypeFamily.INTEGER, TypeFamily.DECIMAL): _OF_WHOLE_NUMBERS,
    (TypeFamily.FLOAT, TypeFamily.INTEGER): TypeChange.SAME,
    (TypeFamily.FLOAT, TypeFamily.DECIMAL): TypeChange.STORED,
    (TypeFamily.DECIMAL, TypeFamily.FLOAT): TypeChange.STORED,
    (TypeFamily.DECIMAL, TypeFamily.INTEGER): TypeChange.STORED,
}
"""By wanted and held family; within a family nothing changes, and any other pair is another type."""
STORED_OTHERWISE = ": the same values, stored otherwise"
"""What a message says of ``STORED``."""
_EXACT = 2.0**53
"""Whole numbers up to here are exact in double precision."""
_ORDER = tuple(TypeChange)
_PATTERNS = {
    TypeFamily.INTEGER: r"u?int\d+",
    TypeFamily.FLOAT: r"halffloat|float|double",
    TypeFamily.DECIMAL: r"decimal.*",
    TypeFamily.BOOLEAN: r"bool",
    TypeFamily.TEXT: r"(large_)?string|string_view",
    TypeFamily.DATE: r"date\d+\[.*",
    TypeFamily.TIMESTAMP: r"timestamp\[\w+\]",
    TypeFamily.ZONED: r"timestamp\[\w+, tz=.*",
}


def families_of(column: Column) -> set[TypeFamily]:
    """Return the families of a column's storage types; none for types without one, or without values."""
    types = (re.sub(r"^dictionary<values=([^,]+),.*", r"\1", name) for name in column.arrow_type.split(" | "))
    found = (next((f for f, p in _PATTERNS.items() if re.fullmatch(p, name)), None) for name in types)
    return {family for family in found if family is not None}


def type_change(wanted: Set[TypeFamily], column: Column, whole: Collection[str] = ()) -> TypeChange:
    """Say what it means that a column comes where some families of types were; the worst of its own ones.

    :param whole: names of columns whose values are known from the rows to be whole numbers.
    """
    if not wanted:
        return TypeChange.SAME
    held = (_easiest(wanted, family, column, whole) for family in families_of(column))
    return max(held, key=_ORDER.index, default=TypeChange.SAME)


def _easiest(wanted: Set[TypeFamily], held: TypeFamily, column: Column, whole: Collection[str]) -> TypeChange:
    return min((_change(one, held, column, whole) for one in wanted), key=_ORDER.index)


def _change(wanted: TypeFamily, held: TypeFamily, column: Column, whole: Collection[str]) -> TypeChange:
    if wanted is held:
        return TypeChange.SAME
    found = _CHANGES.get((wanted, held), TypeChange.OTHER)
    if found != _OF_WHOLE_NUMBERS:
        return TypeChange(found)
    if held is TypeFamily.FLOAT and _beyond_doubles(column):
        return TypeChange.OTHER
    is_whole = column.name in whole or holds_whole_numbers(column)
    if is_whole is None:
        return TypeChange.UNDECIDED
    return TypeChange.STORED if is_whole else TypeChange.OTHER


def _beyond_doubles(column: Column) -> bool:
    """Say whether whole numbers may have lost digits as floats."""
    ends = (column.minimum, column.maximum)
    return any(end is not None and abs(end) > _EXACT for end in ends)


def holds_whole_numbers(column: Column) -> bool | None:
    """Say whether all values of a numeric column are whole; ``None`` if the profile does not tell."""
    if column.kind is Kind.INTEGER or not column.present:
        return True
    ends = (column.minimum, column.maximum)
    if column.infinite or any(end is None or not end.is_integer() for end in ends):
        return False
    values = column.single_values
    return None if values is None else bool((values == np.trunc(values)).all())


def with_types_of(reference: Profile, logged: Profile) -> Profile:
    """Return a profile of logged values with the storage types of the data they came from.

    A server stores all numbers as doubles, which says nothing of them; a fraction among whole numbers does.
    """
    known = reference.by_name
    return replace(logged, columns=tuple(_named_as(c, known.get(c.name)) for c in logged.columns))


def _named_as(column: Column, before: Column | None) -> Column:
    if before is None or not column.kind.is_like(before.kind):
        return column
    is_other = type_change(families_of(before), column) is TypeChange.OTHER
    return column if is_other else replace(column, arrow_type=before.arrow_type)
