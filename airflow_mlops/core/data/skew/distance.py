"""Distances between binned distributions of many columns at once.

The bins of all columns are concatenated in one array (:class:`Bins`), so that a thousand columns cost
hardly more than one. Confidence bounds are in :mod:`~airflow_mlops.core.data.skew.bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from airflow_mlops.core.data.profile.bins import Floats, Ints

Flags = np.ndarray[Any, np.dtype[np.bool_]]

RARE_EXPECTED_COUNT = 5.0
"""Bins with a smaller expected count in the smaller sample are pooled, as usual for chi-square tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Binned counts of a reference and a current sample, column after column.

    :param sizes: bins per column, ``(n_columns,)``, each 1 or more.
    :param reference: counts, ``(n_bins,)``; each column has one or more values. Effective counts need not be
        whole numbers. ``current`` likewise.
    :param points: position of each bin on the real line, ``(n_bins,)``; used by the Wasserstein distance.
    :param rest: whether a column's last bin is of all values without a bin of their own, ``(n_columns,)``.
    :param cut: share below which a bin is pooled, ``(n_columns,)``.
    """

    sizes: Ints
    reference: Floats
    current: Floats
    points: Floats
    rest: Flags | None = None
    cut: Floats | None = None

    @property
    def starts(self) -> Ints:
        """Index of the first bin of each column."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def n(self) -> Floats:
        """Number of values per column in the reference."""
        return self.add(self.reference)

    @property
    def m(self) -> Floats:
        """Number of values per column in the current sample."""
        return self.add(self.current)

    @property
    def p(self) -> Floats:
        """Share of each bin in the reference."""
        return np.asarray(self.reference / self.spread(self.n))

    @property
    def q(self) -> Floats:
        """Share of each bin in the current sample."""
        return np.asarray(self.current / self.spread(self.m))

    @property
    def unit(self) -> Floats:
        """Variance of a difference of two means per unit variance: 1/n + 1/m."""
        return 1 / self.n + 1 / self.m

    @property
    def pooled(self) -> Floats:
        """Share of each bin in the pooled sample."""
        return np.asarray((self.reference + self.current) / self.spread(self.n + self.m))

    def add(self, values: Floats) -> Floats:
        """Sum per column."""
        return np.asarray(np.add.reduceat(values, self.starts))

    def largest(self, values: Floats) -> Floats:
        """Maximum per column."""
        return np.asarray(np.maximum.reduceat(values, self.starts))

    def spread(self, values: Any) -> Any:
        """Repeat each column's value once per bin."""
        return np.repeat(values, self.sizes)

    def running(self, values: Floats) -> Floats:
        """Return cumulative sums within each column."""
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
            rest=None if self.rest is None else self.rest[columns],
            cut=None if self.cut is None else self.cut[columns],
        )


def kolmogorov_smirnov(bins: Bins) -> Floats:
    """Return the Kolmogorov-Smirnov distance: the largest gap of the CDFs at the bin edges, 0 to 1."""
    return bins.largest(np.abs(bins.running(bins.p - bins.q)))


def total_variation(bins: Bins) -> Floats:
    """Return the total variation distance, half the sum of absolute differences of shares, 0 to 1."""
    return bins.add(np.abs(bins.p - bins.q)) / 2


def largest_change(bins: Bins) -> Floats:
    """Return the L-infinity distance: the largest change of one bin's share, 0 to 1."""
    return bins.largest(np.abs(bins.p - bins.q))


def jensen_shannon(bins: Bins) -> Floats:
    """Return the Jensen-Shannon distance: the square root of the divergence (Lin 1991), base 2, 0 to 1."""
    p, q = bins.p, bins.q
    middle = np.where(p + q > 0, (p + q) / 2, 1.0)
    terms = p * np.log2(np.where(p > 0, p / middle, 1.0)) + q * np.log2(np.where(q > 0, q / middle, 1.0))
    return np.sqrt(np.clip(bins.add(terms) / 2, 0.0, 1.0))


def population_stability(bins: Bins) -> Floats:
    """Return the population stability index, 0 or more.

    Additive smoothing keeps it finite: half a count per bin, distributed as the pooled sample.
    """
    pooled, half = bins.pooled, bins.spread(bins.sizes / 2)
    p = (bins.reference + half * pooled) / (bins.spread(bins.n) + half)
    q = (bins.current + half * pooled) / (bins.spread(bins.m) + half)
    return bins.add((q - p) * np.log(np.divide(q, p, out=np.ones_like(p), where=p > 0)))


def wasserstein(bins: Bins) -> Floats:
    """Return the Wasserstein-1 distance in standard deviations of the reference, on the bins' points."""
    moved = np.abs(bins.running(bins.p - bins.q))
    return bins.add(moved * steps(bins))


def steps(bins: Bins) -> Floats:
    """Return the distance from each bin to the next of its column, in standard deviations of the reference.

    Where the whole reference is in one bin, the span of the points, or 1, replaces the deviation.
    """
    last = np.zeros(len(bins.points), bool)
    last[bins.starts + bins.sizes - 1] = True
    points = bins.points
    span = bins.largest(points) + bins.largest(-points)
    flat = bins.spread(span == 0)
    step = np.append(np.diff(points), 0.0)
    step = np.where(last, 0.0, np.where(flat, 1.0, step))
    mean = bins.spread(bins.add(bins.p * points))
    deviation = np.sqrt(bins.add(bins.p * (points - mean) ** 2))
    tiny = deviation <= 1e-12 * span
    scale = np.where(span == 0, 1.0, np.where(tiny, span, deviation))
    return np.asarray(step / bins.spread(scale), float)


def common_bins(bins: Bins) -> Flags:
    """Say which bins are compared by themselves, by a rule that does not look at the samples apart.

    A bin is rare when its expected count in the smaller sample, by the pooled shares, is below
    :data:`RARE_EXPECTED_COUNT`: the normal approximation of counts does not hold for it. Which rare values
    have a bin depends on the reference alone, so they are pooled with those that have none.
    """
    common = bins.pooled * bins.spread(np.minimum(bins.n, bins.m)) >= RARE_EXPECTED_COUNT
    if bins.cut is not None:
        common &= bins.pooled >= bins.spread(bins.cut)
    if bins.rest is not None:
        common[(bins.starts + bins.sizes - 1)[bins.rest]] = False
    return np.asarray(common)


def join_rare(bins: Bins) -> Bins:
    """Pool rare bins, see :func:`common_bins`, into one bin at the end of their column."""
    common = common_bins(bins)
    column = np.repeat(np.arange(len(bins.sizes)), bins.sizes)
    kept = bins.add(common.astype(float)).astype(np.int64)
    rest = np.cumsum(kept) + np.arange(len(kept))
    place = np.where(common, np.cumsum(common) - common + column, bins.spread(rest))
    length = int(kept.sum() + len(kept))
    return Bins(
        sizes=kept + 1,
        reference=np.bincount(place, bins.reference, length).astype(float),
        current=np.bincount(place, bins.current, length).astype(float),
        points=np.zeros(length),
    )
