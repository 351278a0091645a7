"""Profile: what one pass over a window keeps of it; profiles with the same cells add up exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record

FORMAT = 1
NEW_CATEGORIES_KEPT = 20


class Kind(StrEnum):
    """What a column holds."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRING = "string"
    DATETIME = "datetime"
    UNSUPPORTED = "unsupported"

    @property
    def is_numeric(self) -> bool:
        """Whether values lie on a line and are counted in intervals."""
        return self in (Kind.INTEGER, Kind.NUMBER, Kind.DATETIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Record):
    """Summary of one column.

    :param nulls: missing values; NaN counts as missing and is told apart in ``nans``.
    :param minimum: of finite values; strings: length in characters; datetimes: epoch seconds.
    :param total: sum of finite values, ``total_squares`` of their squares.
    :param edges: ascending cell borders of a numeric column; cell i holds edges[i-1] <= x < edges[i].
    :param counts: values per cell, one more than there are edges.
    :param categories: counts of the categories that have a cell of their own.
    :param other: values in none of these cells; ``new`` names some of them.
    """

    name: str
    kind: Kind
    arrow_type: str
    nulls: int = 0
    nans: int = 0
    minimum: float | None = None
    maximum: float | None = None
    total: float = 0.0
    total_squares: float = 0.0
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    categories: dict[str, int] | None = None
    other: int = 0
    new: tuple[str, ...] = ()

    @property
    def present(self) -> int:
        """Values that are not missing."""
        return sum(self.counts) + sum((self.categories or {}).values()) + self.other

    @property
    def mean(self) -> float | None:
        """Mean of the finite values."""
        return self.total / self.present if self.present else None

    @property
    def deviation(self) -> float | None:
        """Population standard deviation of the finite values."""
        if not self.present:
            return None
        return math.sqrt(max(0.0, self.total_squares / self.present - (self.total / self.present) ** 2))

    def null_share(self, rows: int) -> float:
        """Share of missing values."""
        return self.nulls / rows if rows else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Record):
    """Summary of a window: its rows and one :class:`Column` each."""

    rows: int
    columns: tuple[Column, ...]
    partitions: tuple[str, ...] = ()
    format: int = FORMAT

    def column(self, name: str) -> Column | None:
        """Return a column, ``None`` if the window lacks it."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in the window's order."""
        return tuple(column.name for column in self.columns)


def merge(*profiles: Profile) -> Profile:
    """Add profiles up: the profile of all their rows together.

    Associative, and commutative but for the order of columns and partitions.

    :raises InvalidRecordError: none given, or a column with different cells or kinds.
    """
    if not profiles:
        msg = "no profiles to merge, allowed: one or more"
        raise InvalidRecordError(msg)
    merged = profiles[0]
    for other in profiles[1:]:
        merged = _add(merged, other)
    return merged


def _add(one: Profile, other: Profile) -> Profile:
    names = dict.fromkeys((*one.names, *other.names))
    return Profile(
        rows=one.rows + other.rows,
        columns=tuple(_add_columns(one.column(n), other.column(n), one.rows, other.rows) for n in names),
        partitions=tuple(sorted({*one.partitions, *other.partitions})),
    )


def _add_columns(one: Column | None, other: Column | None, rows: int, other_rows: int) -> Column:
    if one is None or other is None:  # a column absent from a window is missing in all its rows
        there = one or other
        assert there is not None  # noqa: S101 - the name came from one of the two
        return replace(there, nulls=there.nulls + (other_rows if other is None else rows))
    kinds_differ = one.kind is not other.kind and not (one.kind.is_numeric and other.kind.is_numeric)
    if kinds_differ or one.edges != other.edges or set(one.categories or ()) != set(other.categories or ()):
        msg = f"column {one.name}: other cells or kinds ({one.kind}, {other.kind}) do not add up"
        raise InvalidRecordError(msg)
    return replace(
        one,
        nulls=one.nulls + other.nulls,
        nans=one.nans + other.nans,
        minimum=_least(one.minimum, other.minimum),
        maximum=_greatest(one.maximum, other.maximum),
        total=one.total + other.total,
        total_squares=one.total_squares + other.total_squares,
        counts=tuple(a + b for a, b in zip(one.counts, other.counts, strict=True)),
        categories=_sum(one.categories, other.categories),
        other=one.other + other.other,
        new=tuple(sorted({*one.new, *other.new}))[:NEW_CATEGORIES_KEPT],
    )


def _sum(one: dict[str, int] | None, other: dict[str, int] | None) -> dict[str, int] | None:
    if one is None or other is None:
        return one if other is None else other
    return {name: count + other[name] for name, count in one.items()}


def _least(one: float | None, other: float | None) -> float | None:
    return min((v for v in (one, other) if v is not None), default=None)


def _greatest(one: float | None, other: float | None) -> float | None:
    return max((v for v in (one, other) if v is not None), default=None)
