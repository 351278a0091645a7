"""Tails: values of text columns that have no bin of their own, because there are too many or they are new.

Two samples of one long-tailed population share few of their rare values. What a window does not share with
the reference is therefore compared with what a sample of the reference's size leaves unseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.profile.bins import Floats, Ints
from airflow_mlops.core.data.profile.sketch import join_heavy_hitters
from airflow_mlops.core.data.skew.distance import Bins, Flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.column import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Values of one column beyond the reference's categories, in several profiles.

    :param counts: per profile: value or its hash → count.
    :param known: whether they are all of these values, or a sample of them that is the same in all profiles.
    :param complete: whether they are all of these values.
    :param frequent: per profile: value → least count, of those that are frequent in any.
    """

    counts: tuple[Mapping[str, int], ...]
    known: bool = True
    complete: bool = True
    frequent: tuple[Mapping[str, int], ...] = ()

    @property
    def values(self) -> list[str]:
        """Values, or their hashes, that occur in any profile."""
        return sorted({key for side in self.counts for key in side})


def tail_of(columns: Sequence[Column], categories: Mapping[str, int]) -> Tail:
    """Return the values of the columns that are not among the categories."""
    there = [column for column in columns if column.present]
    if all(column.names_all for column in there):
        named = [{**(column.categories or {}), **column.heavy_hitters} for column in columns]
        beyond = tuple({n: c for n, c in side.items() if c and n not in categories} for side in named)
        return Tail(counts=beyond, frequent=_frequent(beyond))
    frequent = tuple(column.heavy_hitters for column in columns)
    hashes = {column.value_hash for column in there if column.value_sample}
    if len(hashes) > 1 or not all(column.samples_values for column in there):
        return Tail(counts=({},) * len(columns), known=False, complete=False, frequent=frequent)
    full = [max(column.value_sample) for column in columns if not column.samples_all]
    limit = min(full, default="g")  # hashes are hexadecimal
    counts = tuple({k: c for k, c in column.value_sample.items() if k <= limit} for column in columns)
    return Tail(counts=counts, complete=not full, frequent=frequent if full else _frequent(counts))


def _frequent(counts: Sequence[Mapping[str, int]]) -> tuple[dict[str, int], ...]:
    """Return the counts of the values that are among the most frequent of any side."""
    top = {key for side in counts for key, _ in join_heavy_hitters(dict(side), {})[0].items()}
    return tuple({key: side[key] for key in top & side.keys()} for side in counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tails:
    """Tails of all columns as arrays.

    :param columns: column of each sampled value, ascending, ``(n_values,)``; ``counts``: of each profile,
        ``(n_profiles, n_values)``. Values of a complete tail are not among them: they have bins.
    :param known: per column: whether its tail is complete or sampled.
    :param frequent_columns: column of each frequent value; ``frequent``: least counts of each profile;
        ``errors``: how much higher they may be, ``(n_profiles, n_columns)``.
    """

    columns: Ints
    counts: Floats
    known: Flags
    frequent_columns: Ints
    frequent: Floats
    errors: Floats

    @classmethod
    def of(cls, tails: Mapping[int, Tail], found: Sequence[Sequence[Column]], profiles: int) -> Tails:
        """Join the tails of some columns, by the column's place."""
        partial = {place: tail for place, tail in tails.items() if not tail.complete}
        columns, counts = _table({i: tail.counts for i, tail in partial.items()}, profiles)
        frequent_columns, frequent = _table({i: tail.frequent for i, tail in tails.items()}, profiles)
        errors = [
            [float(column.heavy_hitters_error) if place in partial else 0.0 for column in side]
            for place, side in enumerate(found)
        ]
        return cls(
            columns=columns,
            counts=counts,
            known=np.asarray([i not in tails or tails[i].known for i in range(len(found))], bool),
            frequent_columns=frequent_columns,
            frequent=frequent,
            errors=np.asarray(errors).reshape(-1, profiles).T,
        )

    def add(self, values: Floats) -> Floats:
        """Sum sampled values per column."""
        return np.bincount(self.columns, values, len(self.known)).astype(float)

    def pair(self, reference: Floats, current: Floats, chosen: Flags) -> Bins:
        """Return the sampled values of some columns as bins."""
        keep = chosen[self.columns]
        sizes, points = np.bincount(self.columns[keep], minlength=len(chosen))[chosen], np.zeros(keep.sum())
        return Bins(sizes=sizes, reference=reference[keep], current=current[keep], points=points)


def _table(sides: Mapping[int, Sequence[Mapping[str, int]]], profiles: int) -> tuple[Ints, Floats]:
    """Return column and counts of each value."""
    columns: list[int] = []
    counts: dict[int, list[float]] = defaultdict(list)
    for place, maps in sides.items():
        values = sorted({key for side in maps for key in side})
        columns += [place] * len(values)
        for profile, side in enumerate(maps):
            counts[profile] += [float(side.get(value, 0)) for value in values]
    table = np.asarray([counts[i] for i in range(profiles)], float).reshape(profiles, len(columns))
    return np.asarray(columns, np.int64), table
