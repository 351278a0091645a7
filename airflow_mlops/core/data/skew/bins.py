"""AlignedCounts: the comparable columns of several profiles, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.profile.bins import Floats, Ints, read_below
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.skew.distance import RARE_EXPECTED_COUNT, Bins, Flags
from airflow_mlops.core.data.skew.tails import Tails, tail_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile


_LISTED_VALUES = 64
"""Most values of a numeric column for which those that are none of them are told apart."""
COARSE_BINS = 64
"""Most bins of a numeric column for distances that are sums: of more, chance adds more than change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedCounts:
    """Counts of several profiles in the same columns and bins.

    A numeric column has an edge wherever any of its profiles has one; what a profile has between two of its
    own edges is taken to be evenly spread.

    :param names: of the columns.
    :param numeric: whether the bins of a column are intervals; ``categorical``: whether they are categories;
        ``listed``: whether each bin is a single value or category, so that new ones can be recognised.
    :param sizes: bins per column; a column of which only the null share is comparable has one empty bin.
    :param cut: share above which each value of a column surely has a bin, 0 if all have one.
    :param counts: ``(n_profiles, n_bins)``, column after column; the last bin of categories is all others.
    :param others: values without a bin of their own, ``(n_profiles, n_columns)``; ``nulls`` likewise.
    :param tails: values of categorical columns without a bin.
    :param rows: rows per profile, ``(n_profiles,)``.
    """

    names: tuple[str, ...]
    numeric: Flags
    categorical: Flags
    listed: Flags
    sizes: Ints
    cut: Floats
    points: Floats
    counts: Floats
    others: Floats
    nulls: Floats
    tails: Tails
    rows: Floats

    def add(self, counts: Floats) -> Floats:
        """Sum counts per column."""
        return np.add.reduceat(counts, np.cumsum(self.sizes) - self.sizes) if self.names else counts[:0]

    @property
    def is_rest(self) -> Flags:
        """Whether a bin is of all categories without one, ``(n_bins,)``."""
        last = np.zeros(int(self.sizes.sum()), bool)
        last[(np.cumsum(self.sizes) - 1)[self.categorical]] = True
        return last

    def pair(self, reference: Floats, current: Floats, columns: Flags, *, coarse: bool = False) -> Bins:
        """Return the bins of some columns with the counts of two samples.

        :param coarse: join numeric bins until at most ``COARSE_BINS`` are left, each with an equal share.
        """
        every = Bins(
            sizes=self.sizes,
            reference=reference,
            current=current,
            points=self.points,
            rest=self.categorical,
            cut=self.cut,
        )
        chosen = every.select(columns)
        return _joined(chosen, self.numeric[columns]) if coarse else chosen


def _joined(bins: Bins, numeric: Flags) -> Bins:
    """Join neighbouring bins of numeric columns that have more than ``COARSE_BINS``, or than values fill.

    Of a small sample so many are left that none is rare, but two at least: rare bins are pooled, and in one
    bin nothing would ever change.
    """
    share, least = bins.pooled, np.minimum(bins.n, bins.m)
    most = np.clip(np.floor(least / (2 * RARE_EXPECTED_COUNT)), 2, COARSE_BINS)
    each = bins.spread(most)
    place = np.minimum(np.floor((bins.running(share) - share / 2) * each), each - 1)
    many = bins.spread(numeric & (bins.sizes > most))
    new = np.append(True, place[1:] != place[:-1]) | ~many
    new[bins.starts] = True
    first = np.flatnonzero(new)
    weight = np.add.reduceat(share, first)
    middle = np.add.reduceat(share * bins.points, first)
    return replace(
        bins,
        sizes=bins.add(new.astype(float)).astype(np.int64),
        reference=np.add.reduceat(bins.reference, first),
        current=np.add.reduceat(bins.current, first),
        points=np.divide(middle, weight, out=bins.points[first], where=weight > 0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCounts:
    """Counts of one of two samples: bins ``(n_bins,)``, others and nulls ``(n_columns,)``.

    :param tail: counts of the sampled values without a bin; ``frequent``: least counts of the frequent ones,
        which may be higher by ``errors``, ``(n_columns,)``.
    """

    counts: Floats
    others: Floats
    nulls: Floats
    tail: Floats
    frequent: Floats
    errors: Floats
    rows: float

    @classmethod
    def of(cls, aligned: AlignedCounts, profiles: Flags, share: float) -> SampleCounts:
        """Add up some of the profiles.

        :param share: effective sample size per row: 1 / design effect.
        """
        return cls(
            counts=aligned.counts[profiles].sum(axis=0) * share,
            others=aligned.others[profiles].sum(axis=0) * share,
            nulls=aligned.nulls[profiles].sum(axis=0) * share,
            tail=aligned.tails.counts[profiles].sum(axis=0) * share,
            frequent=aligned.tails.frequent[profiles].sum(axis=0) * share,
            errors=aligned.tails.errors[profiles].sum(axis=0) * share,
            rows=float(aligned.rows[profiles].sum()) * share,
        )


def align_columns(
    profiles: Sequence[Profile], ignore: Iterable[str] = ()
) -> tuple[AlignedCounts, tuple[str, ...]]:
    """Return the columns that are comparable over all profiles, and the names of those that are not."""
    passed = {*ignore, *(profile.partition_column for profile in profiles)}
    names = [name for name in dict.fromkeys(chain(*(p.names for p in profiles))) if name not in passed]
    found, skipped = {}, []
    for name in names:
        columns = [profile.column(name) for profile in profiles]
        kept = [column for column in columns if column is not None]
        if len(kept) == len(columns) and _comparable(kept):
            found[name] = kept
        else:
            skipped.append(name)
    return _arrays(found, profiles), tuple(skipped)


def _comparable(columns: list[Column]) -> bool:
    """Say whether all columns have the same bins; of all-null columns only the null share is compared."""
    first = next((column for column in columns if column.present), columns[0])
    return all(first.fits(column) for column in columns) and (
        not first.present
        or bool(first.edges)
        or first.categories is not None
        or all(column.kind is Kind.UNSUPPORTED for column in columns if column.present)
    )


def _arrays(found: dict[str, list[Column]], profiles: Sequence[Profile]) -> AlignedCounts:
    leading = [next((c for c in columns if c.present), columns[0]) for columns in found.values()]
    numeric = np.asarray([c.kind.is_numeric and bool(c.edges) for c in leading], bool)
    named = np.asarray([c.categories is not None for c in leading], bool) & ~numeric
    tails = {
        i: tail_of(columns, leading[i].categories or {})
        for i, columns in enumerate(found.values())
        if named[i]
    }
    more = [tails[i].values if i in tails and tails[i].complete else [] for i in range(len(leading))]
    edges = [edges_of(c) if n else None for c, n in zip(found.values(), numeric, strict=True)]
    sizes = [_size(*column) for column in zip(leading, edges, named, more, strict=True)]
    counts = np.stack(
        [
            np.concatenate(
                [
                    _counts(
                        column,
                        leading[i],
                        edges[i],
                        sizes[i],
                        [tails[i].counts[k].get(value, 0) for value in more[i]],
                    )
                    for i, column in enumerate(side)
                ]
            )
            for k, side in enumerate(zip(*found.values(), strict=True))
        ]
        or [np.zeros(0)] * len(profiles)
    )
    single = [c.single_values if n else None for c, n in zip(leading, numeric, strict=True)]
    single = [values if values is not None and len(values) <= _LISTED_VALUES else None for values in single]
    others = [
        [_others(column, first, known) for column in columns]
        for columns, first, known in zip(found.values(), leading, single, strict=True)
    ]
    nulls = [[float(c.nulls) for c in columns] for columns in found.values()]
    return AlignedCounts(
        names=tuple(found),
        numeric=numeric,
        categorical=named,
        listed=named | np.asarray([values is not None for values in single], bool),
        sizes=np.asarray(sizes, np.int64),
        cut=np.asarray(
            [0.0 if i in tails and tails[i].complete else c.listed_above for i, c in enumerate(leading)]
        ),
        points=np.concatenate([np.zeros(0), *map(_points, edges, sizes)]),
        counts=counts,
        others=np.where(
            named,
            counts[:, np.cumsum(sizes, dtype=int) - 1] if sizes else counts,
            np.asarray(others, float).reshape(-1, len(profiles)).T,
        ),
        nulls=np.asarray(nulls, float).reshape(-1, len(profiles)).T,
        tails=Tails.of(tails, list(found.values()), len(profiles)),
        rows=np.asarray([float(p.rows) for p in profiles]),
    )


def edges_of(columns: Sequence[Column]) -> Floats:
    """Return every edge that any of these columns has; their own if all have the same."""
    edges = {column.edges for column in columns if column.present}
    if len(edges) == 1:
        return np.asarray(edges.pop())
    return np.unique(np.concatenate([c.below[0] for c in columns if c.present]))


def counts_between(column: Column, edges: Floats) -> Floats:
    """Return a numeric column's counts in bins of these edges, one more than edges."""
    if not column.present:
        return np.zeros(len(edges) + 1)
    if len(column.edges) == len(edges) and (edges == column.edges).all():
        return np.asarray(column.counts, float)
    below = read_below(*column.below, edges)
    return np.diff(np.concatenate([[0.0], below, [float(column.present)]]))


def _others(column: Column, leading: Column, known: Floats | None) -> float:
    """Return a lower bound of the number of values of a numeric column that are none of the known ones."""
    if known is None or not column.present:
        return 0.0
    if column.edges == leading.edges and column.single_values is None:
        return _between(column)
    points, below = column.below
    holds = np.diff(np.searchsorted(known, points, side="left")) > 0  # a known value in [low, high)
    return float(np.diff(below)[~holds].sum()) + column.infinite


def _between(column: Column) -> float:
    """Return how many values at least are no edge, of a column counted in another one's bins."""
    if unseen := max(column.infinite, column.counts[0]):  # negative infinity is in both
        return float(unseen)
    edges = np.append(column.edges, max(column.maximum or 0.0, column.edges[-1]))
    return column.beside / max(1e-300, float(np.diff(edges).max()))


def _size(column: Column, edges: Floats | None, named: bool, more: list[str]) -> int:  # noqa: FBT001 - private
    if edges is not None:
        return len(edges) + 1
    return len(column.categories or ()) + len(more) + 1 if named else 1


def _counts(
    column: Column, leading: Column, edges: Floats | None, size: int, more: Sequence[int]
) -> Sequence[float] | Floats:
    """Return a column's counts in common bins, and in those of further values."""
    if edges is not None:
        return counts_between(column, edges)
    if leading.categories is None:
        return np.zeros(size)
    own = column.categories or {}
    if own.keys() == leading.categories.keys():
        return [*(own[name] for name in leading.categories), *more, column.other - sum(more)]
    known = own | column.heavy_hitters
    counts = [known.get(name, 0) for name in leading.categories]
    return [*counts, *more, column.present - sum(counts) - sum(more)]


def _points(edges: Floats | None, size: int) -> Floats:
    """Return the position of each bin: its middle, of the open outer bins their inner edge.

    Scaled to [0, 1]; edges are halved first, because spans near the largest float would overflow.
    """
    if edges is None:
        return np.zeros(size)
    half = edges / 2
    middles = half[:-1] / 2 + half[1:] / 2
    span = half[-1] - half[0] or 1.0
    return np.asarray((np.concatenate([half[:1], middles, half[-1:]]) - half[0]) / span)
