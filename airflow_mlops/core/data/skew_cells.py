"""Columns of several profiles side by side: what of them can be compared, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.column import Kind
from airflow_mlops.core.data.distance import Cells, Flags, Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mlops.core.data.column import Column
    from airflow_mlops.core.data.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """The comparable columns of several profiles.

    :param names: the columns.
    :param numeric: whether a column's cells lie on a line; ``categorical`` whether they are named.
    :param sizes: cells per column; a column that can only be compared in its nulls has one, empty.
    :param counts: ``(n_profiles, n_cells)``, column after column; of named cells the last is all others.
    :param others: values without a cell of their own, ``(n_profiles, n_columns)``; ``nulls`` alike.
    :param rows: rows per profile, ``(n_profiles,)``.
    """

    names: tuple[str, ...]
    numeric: Flags
    categorical: Flags
    sizes: Ints
    points: Floats
    counts: Floats
    others: Floats
    nulls: Floats
    rows: Floats

    def add(self, counts: Floats) -> Floats:
        """Sum counts per column."""
        return np.add.reduceat(counts, np.cumsum(self.sizes) - self.sizes) if self.names else counts[:0]

    def pair(self, reference: Floats, current: Floats, columns: Flags) -> Cells:
        """Return some columns' cells with the given counts of all cells."""
        every = Cells(sizes=self.sizes, reference=reference, current=current, points=self.points)
        return every.select(columns)


def side_by_side(
    profiles: Sequence[Profile], ignore: Iterable[str] = ()
) -> tuple[SideBySide, tuple[str, ...]]:
    """Return what can be compared over all profiles, and the names of the columns that cannot."""
    passed = set(ignore)
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
    """Say whether all have the same cells; all-null columns differ in their null share only."""
    first = next((column for column in columns if column.present), columns[0])
    return all(first.fits(column) for column in columns) and (
        not first.present
        or bool(first.edges)
        or first.categories is not None
        or all(column.kind is Kind.UNSUPPORTED for column in columns if column.present)
    )


def _arrays(found: dict[str, list[Column]], profiles: Sequence[Profile]) -> SideBySide:
    leading = [next((c for c in columns if c.present), columns[0]) for columns in found.values()]
    numeric = [bool(c.edges) and len(c.counts) > 1 for c in leading]
    named = [c.categories is not None and not n for c, n in zip(leading, numeric, strict=True)]
    sizes = [
        len(c.counts) if n else (len(c.categories or ()) + 1 if t else 1)
        for c, n, t in zip(leading, numeric, named, strict=True)
    ]
    counts = [
        [
            _counts(columns[i], lead, size)
            for columns, lead, size in zip(found.values(), leading, sizes, strict=True)
        ]
        for i in range(len(profiles))
    ]
    shape = (len(profiles), -1)
    return SideBySide(
        names=tuple(found),
        numeric=np.asarray(numeric, bool),
        categorical=np.asarray(named, bool),
        sizes=np.asarray(sizes, np.int64),
        points=_flat([_points(c, n, size) for c, n, size in zip(leading, numeric, sizes, strict=True)]),
        counts=np.stack([_flat(row) for row in counts]).reshape(shape),
        others=_table([[float(c.other) for c in columns] for columns in found.values()], shape),
        nulls=_table([[float(c.nulls) for c in columns] for columns in found.values()], shape),
        rows=np.asarray([float(p.rows) for p in profiles]),
    )


def _counts(column: Column, leading: Column, size: int) -> Sequence[float]:
    """Return a column's counts in the leading column's cells."""
    if leading.edges and size > 1:
        return column.counts if column.present else (0,) * size
    if leading.categories is None:
        return (0,)
    own = column.categories or {}
    return [*(own.get(name, 0) for name in leading.categories), column.other]


def _points(column: Column, numeric: bool, size: int) -> Sequence[float]:  # noqa: FBT001 - private
    """Return where cells lie: their middles; the open outer cells at their inner border."""
    if not numeric:
        return (0.0,) * size
    edges = column.edges
    inner = [(low + high) / 2 for low, high in pairwise(edges)]
    return [edges[0], *inner, edges[-1]]


def _flat(parts: list[Sequence[float]]) -> Floats:
    return np.fromiter(chain.from_iterable(parts), float)


def _table(rows: list[list[float]], shape: tuple[int, int]) -> Floats:
    return np.asarray(rows, float).reshape(-1, shape[0]).T
