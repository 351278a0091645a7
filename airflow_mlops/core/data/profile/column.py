"""Column: mergeable summary of one column of a window; columns with the same bins add up."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import reduce
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from airflow_mlops.core.data.profile.bins import read_below, right_after, thin
from airflow_mlops.core.data.profile.sketch import (
    VALUES_SAMPLED,
    estimate_distinct,
    hash_text,
    join_heavy_hitters,
    join_registers,
    join_samples,
    unpack_registers,
)
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from airflow_mlops.core.data.profile.bins import Floats

_FEW_EDGES = 64
"""Most edges of profiles from before bins were closed: an edge may be a value, with none up to the next."""


class Kind(StrEnum):
    """Type of a column's values."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRING = "string"
    DATETIME = "datetime"
    UNSUPPORTED = "unsupported"

    @property
    def is_numeric(self) -> bool:
        """Whether values are ordered numbers, counted in intervals."""
        return self in (Kind.INTEGER, Kind.NUMBER, Kind.DATETIME)

    def is_like(self, other: Kind | None) -> bool:
        """Whether columns of both kinds add up and compare: the same kind, or numbers."""
        return self is other or {self, other} == {Kind.INTEGER, Kind.NUMBER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Record):
    """Summary of one column.

    :param arrow_type: Arrow's names of the storage types found, joined by `` | ``.
    :param nulls: missing values; NaN counts as missing and is also counted in ``nans``.
    :param infinite: infinite values; counted in the outer bins, not in minimum, maximum and moments.
    :param minimum: of finite values; strings: length in characters; datetimes: epoch seconds.
    :param total: sum of (value - ``origin``) over finite values (strings: lengths); ``total_squares``: sum of
        the squares. The origin keeps both accurate for values far from zero.
    :param edges: ascending bin edges of a numeric column; bin i holds edges[i-1] <= x < edges[i]. Each column
        has its own, placed by its own values: see :mod:`~airflow_mlops.core.data.profile.bins`.
    :param counts: values per bin, one more than edges.
    :param categories: counts of the categories that have a bin of their own.
    :param other: number of values in none of these bins.
    :param heavy_hitters: frequent values among the others (Misra-Gries summary). Each count is at most
        ``heavy_hitters_error`` too low, and a value that is not listed occurred at most
        ``heavy_hitters_error`` times. In JSON: ``hitters``, ``hitters_error``.
    :param listed_above: share above which a text surely was frequent enough, in the rows that the categories
        are from, to be one of them; 0 if they are not from rows.
    :param value_sample: of the values without a bin, the ``VALUES_SAMPLED`` with the smallest hashes: hash →
        exact count; all if they are fewer. ``value_hash``: which hash; ``""`` if values are not sampled.
    :param registers: HyperLogLog sketch, see :mod:`~airflow_mlops.core.data.profile.sketch`.
    :param exact_distinct: number of distinct values if the engine counted them; ``None`` after merging.
    """

    name: str
    kind: Kind
    arrow_type: str
    nulls: int = 0
    nans: int = 0
    infinite: int = 0
    minimum: float | None = None
    maximum: float | None = None
    total: float = 0.0
    total_squares: float = 0.0
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    categories: dict[str, int] | None = None
    other: int = 0
    heavy_hitters: Annotated[dict[str, int], Field(alias="hitters")] = field(default_factory=dict)
    heavy_hitters_error: Annotated[int, Field(alias="hitters_error")] = 0
    listed_above: float = 0.0
    value_sample: dict[str, int] = field(default_factory=dict)
    value_hash: str = ""
    registers: str = ""
    exact_distinct: int | None = None

    @property
    def present(self) -> int:
        """Values that are not missing."""
        return sum(self.counts) + sum((self.categories or {}).values()) + self.other

    @property
    def origin(self) -> float:
        """Value that is subtracted before summing: the middle bin edge."""
        return self.edges[len(self.edges) // 2] if self.edges else 0.0

    @property
    def mean(self) -> float | None:
        """Mean of the finite values; of the lengths of strings."""
        finite = self.present - self.infinite
        return self.origin + self.total / finite if finite else None

    @property
    def deviation(self) -> float | None:
        """Population standard deviation of the finite values; of the lengths of strings."""
        finite = self.present - self.infinite
        if not finite:
            return None
        return math.sqrt(max(0.0, self.total_squares / finite - (self.total / finite) ** 2))

    @property
    def names_all(self) -> bool:
        """Whether every value of a text column is listed with its exact count."""
        return (
            self.categories is not None and self.heavy_hitters_error == 0 and self.named_others == self.other
        )

    @property
    def named_others(self) -> int:
        """Number of values without a bin that are listed as heavy hitters."""
        return sum(self.heavy_hitters.values())

    @property
    def named(self) -> dict[str, int]:
        """Every listed value that occurs, with its count; most frequent first."""
        known = {**(self.categories or {}), **self.heavy_hitters}
        return dict(sorted(((n, c) for n, c in known.items() if c), key=lambda pair: (-pair[1], pair[0])))

    @property
    def samples_values(self) -> bool:
        """Whether the values without a bin are sampled, or all have one."""
        return not self.other or bool(self.value_sample)

    @property
    def samples_all(self) -> bool:
        """Whether the sample has every value without a bin."""
        return self.samples_values and len(self.value_sample) < VALUES_SAMPLED

    @property
    def distinct(self) -> float | None:
        """Number of distinct values, exact or within ``DISTINCT_ERROR``; ``None`` if not known."""
        if self.exact_distinct is not None:
            return self.exact_distinct
        if self.names_all:
            return len(self.named)
        if not self.registers:
            return None
        return min(estimate_distinct(unpack_registers(self.registers)), float(self.present))

    def null_share(self, rows: int) -> float:
        """Share of missing values."""
        return self.nulls / rows if rows else 0.0

    @property
    def below(self) -> tuple[Floats, Floats]:
        """Points between which a numeric column's values lie, and how many values are below each.

        Values that are known to be single ones, or at the end of an open bin, get a point right behind them.
        """
        points, below = np.asarray(self.edges), np.cumsum(np.asarray(self.counts, float))[:-1]
        if len(points) <= _FEW_EDGES and self.counts and not self.counts[0] and self.beside == 0:
            held = np.asarray(self.counts[1:], float)
            points = np.concatenate([points, right_after(points[held > 0])])
            below = np.concatenate([below, (below + held)[held > 0]])
            points, first = np.unique(points, return_index=True)
            return points, below[first]
        if len(points) and self.minimum is not None and self.minimum < points[0]:
            points, below = np.append(self.minimum, points), np.append(0.0, below)
        if len(points) and self.maximum is not None and self.maximum >= points[-1]:
            points = np.append(points, right_after(self.maximum))
            below = np.append(below, float(self.present))
        return points, below

    @property
    def beside(self) -> float:
        """Sum of the values' distances to their bins' lower edges; 0 if it is rounding error."""
        if self.infinite:
            return math.inf
        parts = [n * (edge - self.origin) for edge, n in zip(self.edges, self.counts[1:], strict=True)]
        beside = abs(self.total - _sum(parts))
        return beside if beside > 1e-9 * max(_sum(map(abs, parts)), abs(self.total)) else 0.0

    @property
    def single_values(self) -> Floats | None:
        """Values of a numeric column if each is counted apart; ``None`` if any may be anywhere in its bin."""
        points, below = self.below
        held = np.diff(below) > 0
        apart = points[1:] == right_after(points[:-1])
        apart |= (self.kind is Kind.INTEGER) & (np.diff(points) == 1)
        return points[:-1][held] if not self.infinite and apart[held].all() else None

    def fits(self, other: Column) -> bool:
        """Say whether both can be merged and compared: the same kind, texts in the same bins."""
        if not self.present or not other.present:
            return True
        same_names = (self.categories or {}).keys() == (other.categories or {}).keys()
        return self.kind.is_like(other.kind) and (same_names or (self.names_all and other.names_all))

    def with_bins(self, names: AbstractSet[str]) -> Column:
        """Return the column with bins for these categories too; it has to list all its values."""
        if self.categories is None or names <= self.categories.keys():
            return self
        counts = self.categories | {
            n: self.heavy_hitters.get(n, 0) for n in names if n not in self.categories
        }
        heavy_hitters = {name: count for name, count in self.heavy_hitters.items() if name not in counts}
        hashes = [hash_text(name, self.value_hash) for name in heavy_hitters if self.value_hash]
        return replace(
            self,
            categories=counts,
            heavy_hitters=heavy_hitters,
            other=sum(heavy_hitters.values()),
            value_sample={key: self.value_sample[key] for key in hashes if key in self.value_sample},
        )


def quantiles(column: Column, shares: Sequence[float]) -> dict[float, float]:
    """Return quantiles of a numeric column, interpolated linearly inside their bins.

    The error is at most the width of a bin, and the result lies within the finite values; empty for a
    column without bins.

    :param shares: each in [0, 1].
    """
    low, high, total = column.minimum, column.maximum, sum(column.counts)
    if not column.edges or low is None or high is None or not total:
        return {}
    edges = [low, *(min(max(edge, low), high) for edge in column.edges), high]
    cumulative = [0, *accumulate(column.counts)]
    return {share: _quantile(share * total, edges, cumulative) for share in shares}


def _quantile(rank: float, edges: Sequence[float], cumulative: Sequence[int]) -> float:
    index = next(i for i in range(len(edges) - 1) if cumulative[i + 1] >= rank)
    inside = cumulative[index + 1] - cumulative[index]
    part = (rank - cumulative[index]) / inside if inside else 0.0
    return edges[index] + part * (edges[index + 1] - edges[index])


def add_columns(columns: Sequence[Column]) -> Column:
    """Return the column of the rows of all windows; a column without values fits any other.

    Counts of numbers are exact at the edges that all have, else off by at most a bin of those that lack one;
    added at once, in any order, they are the same.

    :param columns: one or more.
    :raises InvalidRecordError: texts in different bins, or different kinds.
    """
    together = reduce(_add, columns)
    if len(columns) == 1 or not together.kind.is_numeric:
        return together
    edges, counts = _join_bins([column for column in columns if column.present])
    joined = replace(together, edges=edges, counts=counts)
    finite = [(column, column.present - column.infinite, column.origin - joined.origin) for column in columns]
    return replace(
        joined,
        total=_sum(c.total + n * moved for c, n, moved in finite),
        total_squares=_sum(c.total_squares + moved * (2 * c.total + n * moved) for c, n, moved in finite),
    )


def _join_bins(columns: Sequence[Column]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return edges and counts over all columns: in every bin that any has, until these are too many."""
    if not columns:
        return (), ()
    if all(column.edges == columns[0].edges for column in columns):
        return columns[0].edges, tuple(map(sum, zip(*(column.counts for column in columns), strict=True)))
    known = [column.below for column in columns]
    points = np.unique(np.concatenate([edges for edges, _ in known]))
    parts = np.sort([read_below(edges, below, points) for edges, below in known], axis=0)
    below = np.rint(parts.sum(axis=0))
    points, below = thin(points, below)
    total = float(sum(column.present for column in columns))
    counts = np.diff(np.concatenate([[0.0], below, [total]])).astype(np.int64)
    return tuple(points.tolist()), tuple(counts.tolist())


def _add(one: Column, other: Column) -> Column:
    if not one.fits(other):
        msg = f"column {one.name}: different bins or kinds ({one.kind}, {other.kind}) do not add up"
        raise InvalidRecordError(msg)
    if one.present and other.present:
        mine, theirs = (one.categories or {}).keys(), (other.categories or {}).keys()
        one, other = one.with_bins(theirs), other.with_bins(mine)
    leading, rest = _leading(one, other)
    heavy_hitters, cut = join_heavy_hitters(one.heavy_hitters, other.heavy_hitters)
    return replace(
        leading,
        kind=Kind.NUMBER if {one.kind, other.kind} == {Kind.INTEGER, Kind.NUMBER} else leading.kind,
        arrow_type=_join_types(one.arrow_type, other.arrow_type),
        nulls=one.nulls + other.nulls,
        nans=one.nans + other.nans,
        infinite=one.infinite + other.infinite,
        minimum=_least(one.minimum, other.minimum),
        maximum=_greatest(one.maximum, other.maximum),
        total=one.total + other.total,
        total_squares=one.total_squares + other.total_squares,
        counts=_add_counts(leading.counts, rest.counts),
        categories=_add_categories(leading.categories, rest.categories),
        other=one.other + other.other,
        heavy_hitters=heavy_hitters,
        heavy_hitters_error=one.heavy_hitters_error + other.heavy_hitters_error + cut,
        listed_above=max(one.listed_above, other.listed_above),
        value_sample=_join_samples(one, other),
        value_hash=max((bool(column.value_sample), column.value_hash) for column in (one, other))[1],
        registers=join_registers(one.registers, other.registers) if _sketched(one, other) else "",
        exact_distinct=None,
    )


def _leading(one: Column, other: Column) -> tuple[Column, Column]:
    """Order both columns: first the one whose kind and bins the sum takes, if possible one with values."""

    def weight(column: Column) -> tuple[bool, bool, str, tuple[float, ...], list[str]]:
        usable = column.kind is not Kind.UNSUPPORTED
        return bool(column.present), usable, column.kind, column.edges, sorted(column.categories or ())

    return (one, other) if weight(one) >= weight(other) else (other, one)


def _sketched(*columns: Column) -> bool:
    """Say whether the HyperLogLog sketches cover all values; databases make none."""
    return all(column.registers or not column.present for column in columns)


def _join_samples(one: Column, other: Column) -> dict[str, int]:
    """Join the samples if they cover all values, by the same hash."""
    hashes = {column.value_hash for column in (one, other) if column.value_sample}
    if len(hashes) > 1 or not (one.samples_values and other.samples_values):
        return {}
    return join_samples(one.value_sample, other.value_sample)


def _join_types(one: str, other: str) -> str:
    names = {*one.split(" | "), *other.split(" | ")}
    return " | ".join(sorted(names - {"null"} or names))


def _add_counts(counts: tuple[int, ...], rest: tuple[int, ...]) -> tuple[int, ...]:
    """Add bin by bin; a column without values may have other bins, all empty."""
    return tuple(map(int.__add__, counts, rest)) if len(counts) == len(rest) else counts


def _add_categories(counts: dict[str, int] | None, rest: dict[str, int] | None) -> dict[str, int] | None:
    return {name: n + (rest or {}).get(name, 0) for name, n in counts.items()} if counts else counts


def _sum(values: Iterable[float]) -> float:
    """Return the sum as a number that JSON can hold; sums of the largest floats overflow."""
    most = sys.float_info.max
    return min(most, max(-most, math.fsum(min(most, max(-most, value)) / 1024 for value in values) * 1024))


def _least(*values: float | None) -> float | None:
    return min((v for v in values if v is not None), default=None)


def _greatest(*values: float | None) -> float | None:
    return max((v for v in values if v is not None), default=None)
