"""Distances between binned distributions of many columns at once.

Cells of all columns lie in one array, column after column (:class:`Cells`), so that a thousand columns
cost hardly more than one. How sure a distance is says :mod:`~airflow_mlops.core.data.skew.bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

RARE_EXPECTED_COUNT = 5.0
"""Cells expected less often than this in the smaller sample are counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Counts of a reference and a current sample, column after column.

    :param sizes: cells per column, ``(n_columns,)``, each 1 or more.
    :param reference: counts, ``(n_cells,)``; no column is empty. Need not be whole (effective counts).
    :param points: where a cell lies on the line, ``(n_cells,)``; only distances of mass moved need it.
    """

    sizes: Ints
    reference: Floats
    current: Floats
    points: Floats

    @property
    def starts(self) -> Ints:
        """First cell of each column."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def n(self) -> Floats:
        """Values per column in the reference."""
        return self.add(self.reference)

    @property
    def m(self) -> Floats:
        """Values per column in the current sample."""
        return self.add(self.current)

    @property
    def p(self) -> Floats:
        """Shares in the reference."""
        return np.asarray(self.reference / self.spread(self.n))

    @property
    def q(self) -> Floats:
        """Shares in the current sample."""
        return np.asarray(self.current / self.spread(self.m))

    @property
    def unit(self) -> Floats:
        """Variance of the difference of two means, per unit of variance: 1/n + 1/m."""
        return 1 / self.n + 1 / self.m

    @property
    def pooled(self) -> Floats:
        """Shares in both samples together."""
        return np.asarray((self.reference + self.current) / self.spread(self.n + self.m))

    def add(self, values: Floats) -> Floats:
        """Sum per column."""
        return np.asarray(np.add.reduceat(values, self.starts))

    def largest(self, values: Floats) -> Floats:
        """Maximum per column."""
        return np.asarray(np.maximum.reduceat(values, self.starts))

    def spread(self, values: Any) -> Any:
        """Repeat a column's value in each of its cells."""
        return np.repeat(values, self.sizes)

    def running(self, values: Floats) -> Floats:
        """Cumulative sums that begin anew in each column."""
        total = np.cumsum(values)
        return np.asarray(total - self.spread(total[self.starts] - values[self.starts]))

    def select(self, columns: Flags) -> Bins:
        """Return some of the columns."""
        keep = self.spread(columns)
        return Bins(
            sizes=self.sizes[columns],
            reference=self.reference[keep],
            current=self.current[keep],
            points=self.points[keep],
        )


def kolmogorov_smirnov(cells: Bins) -> Floats:
    """Return the largest gap between the two cumulative distributions at the cell borders, 0 to 1."""
    return cells.largest(np.abs(cells.running(cells.p - cells.q)))


def total_variation(cells: Bins) -> Floats:
    """Return half the sum of absolute differences of shares: the mass that moved, 0 to 1."""
    return cells.add(np.abs(cells.p - cells.q)) / 2


def largest_change(cells: Bins) -> Floats:
    """Return the largest change of one cell's share (L-infinity), 0 to 1."""
    return cells.largest(np.abs(cells.p - cells.q))


def jensen_shannon(cells: Bins) -> Floats:
    """Return the Jensen-Shannon distance (square root of the divergence, base 2), 0 to 1."""
    p, q = cells.p, cells.q
    middle = np.where(p + q > 0, (p + q) / 2, 1.0)
    terms = p * np.log2(np.where(p > 0, p / middle, 1.0)) + q * np.log2(np.where(q > 0, q / middle, 1.0))
    return np.sqrt(np.clip(cells.add(terms) / 2, 0.0, 1.0))


def population_stability(cells: Bins) -> Floats:
    """Return the population stability index, 0 or more.

    Half a count per cell, spread as both samples together are, keeps it finite where one has none.
    """
    pooled, half = cells.pooled, cells.spread(cells.sizes / 2)
    p = (cells.reference + half * pooled) / (cells.spread(cells.n) + half)
    q = (cells.current + half * pooled) / (cells.spread(cells.m) + half)
    return cells.add((q - p) * np.log(np.divide(q, p, out=np.ones_like(p), where=p > 0)))


def wasserstein(cells: Bins) -> Floats:
    """Return mass times way moved, in standard deviations of the reference over the cells' points."""
    moved = np.abs(cells.running(cells.p - cells.q))
    return cells.add(moved * steps(cells))


def steps(cells: Bins) -> Floats:
    """Return the way from each cell to the next of its column, in standard deviations of the reference.

    A reference in one single cell has no deviation: the span of the points, or 1, stands in for it.
    """
    last = np.zeros(len(cells.points), bool)
    last[cells.starts + cells.sizes - 1] = True
    points = cells.points
    span = cells.largest(points) + cells.largest(-points)
    flat = cells.spread(span == 0)
    way = np.append(np.diff(points), 0.0)
    way = np.where(last, 0.0, np.where(flat, 1.0, way))
    mean = cells.spread(cells.add(cells.p * points))
    deviation = np.sqrt(cells.add(cells.p * (points - mean) ** 2))
    tiny = deviation <= 1e-12 * span
    scale = np.where(span == 0, 1.0, np.where(tiny, span, deviation))
    return np.asarray(way / cells.spread(scale), float)


def join_rare(cells: Bins) -> Bins:
    """Count cells that both samples hardly have together, as one cell at the column's end.

    Rare is a cell that the smaller sample is expected to hit fewer than ``RARE`` times, judged by both
    samples together, which favours neither: the normal laws of counts fail for it.
    """
    common = cells.pooled * cells.spread(np.minimum(cells.n, cells.m)) >= RARE_EXPECTED_COUNT
    column = np.repeat(np.arange(len(cells.sizes)), cells.sizes)
    kept = cells.add(common.astype(float)).astype(np.int64)
    rest = np.cumsum(kept) + np.arange(len(kept))
    place = np.where(common, np.cumsum(common) - common + column, cells.spread(rest))
    length = int(kept.sum() + len(kept))
    return Bins(
        sizes=kept + 1,
        reference=np.bincount(place, cells.reference, length).astype(float),
        current=np.bincount(place, cells.current, length).astype(float),
        points=np.zeros(length),
    )
