"""AlignedCounts: the comparable columns of several profiles, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.skew.distance import Bins, Flags, Floats, Ints
from airflow_mlops.core.data.skew.tails import Tails, tail_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedCounts:
    """Counts of several profiles in the same columns and bins.

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

    def pair(self, reference: Floats, current: Floats, columns: Flags) -> Bins:
        """Return the bins of some columns with the counts of two samples."""
        every = Bins(
            sizes=self.sizes,
            reference=reference,
            current=current,
            points=self.points,
            rest=self.categorical,
            cut=self.cut,
        )
        return every.select(columns)


def align_columns(
    profiles: Sequence[Profile], ignore: Iterable[str] = ()
) -> tuple[AlignedCounts, tuple[str, ...]]:
    """Return the columns that are comparable over all profiles, and the names of those that are not."""
    passed = {*ignore, *(p.partition_column for p in profiles)}
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
    numeric = np.asarray([bool(c.edges) and len(c.counts) > 1 for c in leading], bool)
    named = np.asarray([c.categories is not None for c in leading], bool) & ~numeric
    tails = {
        i: tail_of(columns, leading[i].categories or {})
        for i, columns in enumerate(found.values())
        if named[i]
    }
    more = [tails[i].values if i in tails and tails[i].complete else [] for i in range(len(leading))]
    sizes = [_size(*column) for column in zip(leading, numeric, named, more, strict=True)]
    counts = np.stack(
        [
            _flat(
                [
                    _counts(column, leading[i], sizes[i], [tails[i].counts[k].get(v, 0) for v in more[i]])
                    for i, column in enumerate(side)
                ]
            )
            for k, side in enumerate(zip(*found.values(), strict=True))
        ]
        or [np.zeros(0)] * len(profiles)
    )
    listed = named | np.asarray([n and _is_listed(c) for c, n in zip(leading, numeric, strict=True)], bool)
    others = [
        [_others(c, n, t) for c in columns]
        for columns, n, t in zip(found.values(), numeric, listed, strict=True)
    ]
    nulls = [[float(c.nulls) for c in columns] for columns in found.values()]
    return AlignedCounts(
        names=tuple(found),
        numeric=numeric,
        categorical=named,
        listed=listed,
        sizes=np.asarray(sizes, np.int64),
        cut=np.asarray(
            [0.0 if i in tails and tails[i].complete else c.listed_above for i, c in enumerate(leading)]
        ),
        points=_flat([_points(*column) for column in zip(leading, numeric, sizes, strict=True)]),
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


def _is_listed(column: Column) -> bool:
    """Say whether every value of a numeric column is a bin edge: few values, each with its own bin."""
    return not column.infinite and not column.counts[0] and _beside(column) == 0


def _others(column: Column, numeric: bool, listed: bool) -> float:  # noqa: FBT001 - private
    """Return a lower bound of the number of values of a numeric column that are not a bin edge."""
    if not (numeric and listed and column.present):
        return 0.0
    unseen = max(column.infinite, column.counts[0])  # negative infinity is in both
    if unseen or column.maximum is None:
        return float(unseen)
    edges = (*column.edges, max(column.maximum, column.edges[-1]))
    return _beside(column) / max(1e-300, *(high - low for low, high in pairwise(edges)))


def _beside(column: Column) -> float:
    """Return the sum of the values' distances to their bins' lower edges; 0 if it is rounding error."""
    at_edges = sum(
        count * (edge - column.origin) for edge, count in zip(column.edges, column.counts[1:], strict=True)
    )
    span = sum(
        count * abs(edge - column.origin) for edge, count in zip(column.edges, column.counts[1:], strict=True)
    )
    beside = abs(column.total - at_edges)
    return beside if beside > 1e-9 * max(span, abs(column.total)) else 0.0


def _size(column: Column, numeric: bool, named: bool, more: list[str]) -> int:  # noqa: FBT001 - private
    if numeric:
        return len(column.counts)
    return len(column.categories or ()) + len(more) + 1 if named else 1


def _counts(column: Column, leading: Column, size: int, more: Sequence[int]) -> Sequence[float]:
    """Return a column's counts in the leading column's bins and in those of further values."""
    if leading.edges and size > 1:
        return column.counts if column.present else (0,) * size
    if leading.categories is None:
        return (0,)
    own = column.categories or {}
    if own.keys() == leading.categories.keys():
        return [*(own[name] for name in leading.categories), *more, column.other - sum(more)]
    known = own | column.heavy_hitters
    counts = [known.get(name, 0) for name in leading.categories]
    return [*counts, *more, column.present - sum(counts) - sum(more)]


def _points(column: Column, numeric: bool, size: int) -> Sequence[float]:  # noqa: FBT001 - private
    """Return the position of each bin: its middle, of the open outer bins their inner edge.

    Scaled to [0, 1]; edges are halved first, because spans near the largest float would overflow.
    """
    if not numeric:
        return (0.0,) * size
    edges = [edge / 2 for edge in column.edges]
    middles = [low / 2 + high / 2 for low, high in pairwise(edges)]
    span = edges[-1] - edges[0] or 1.0
    return [(point - edges[0]) / span for point in (edges[0], *middles, edges[-1])]


def _flat(parts: list[Sequence[float]]) -> Floats:
    return np.fromiter(chain.from_iterable(parts), float)
