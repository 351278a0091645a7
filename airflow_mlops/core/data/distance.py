"""Distances between two binned distributions, with what chance alone would give.

Each function takes counts per cell of a reference and a current sample, shape ``(n_cells,)`` each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    Counts = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(Record):
    """A distance and how sure one can be of it.

    :param value: the distance, 0 (same) to 1 (disjoint).
    :param lower: lower confidence bound of the distance, 0 at least.
    :param p_value: chance of such a distance without any change.
    """

    name: str
    value: float
    lower: float
    p_value: float


def kolmogorov_smirnov(reference: Counts, current: Counts, *, alpha: float) -> Effect:
    """Measure the largest gap between the two cumulative distributions at the cell borders.

    Bound by the Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant on the two-sample gap;
    p-value of the asymptotic Kolmogorov law, conservative for cells.
    """
    n, m = reference.sum(), current.sum()
    gap = float(np.abs(np.cumsum(reference) / n - np.cumsum(current) / m).max())
    scale = np.sqrt(n * m / (n + m))
    noise = np.sqrt(np.log(2 / alpha) / 2) / scale
    p_value = float(stats.kstwobign.sf(gap * scale))
    return Effect(name="ks", value=gap, lower=max(0.0, float(gap - noise)), p_value=p_value)


def total_variation(reference: Counts, current: Counts, *, alpha: float) -> Effect:
    """Measure half the sum of absolute differences of shares: the mass that moved.

    Its expectation under no change is taken off (normal approximation per cell), then McDiarmid's
    inequality bounds the rest; p-value by the chi-square test of homogeneity over cells that are not rare.
    """
    n, m = reference.sum(), current.sum()
    moved = float(np.abs(reference / n - current / m).sum() / 2)
    pooled = (reference + current) / (n + m)
    by_chance = float(np.sqrt(2 * pooled * (1 - pooled) * (1 / n + 1 / m) / np.pi).sum() / 2)
    noise = float(np.sqrt(np.log(1 / alpha) / 2 * (1 / n + 1 / m)))
    lower = max(0.0, moved - by_chance - noise)
    return Effect(name="total_variation", value=moved, lower=lower, p_value=_homogeneity(reference, current))


def share_rise(reference: tuple[int, int], current: tuple[int, int], *, alpha: float, name: str) -> Effect:
    """Measure the rise of a share (nulls, unknown categories): (hits, of how many) before and now.

    Lower bound by Newcombe's method on Wilson intervals; one-sided exact p-value (Fisher).
    """
    before, now = reference[0] / reference[1], current[0] / current[1]
    high = _wilson(*reference, alpha=alpha)[1]
    low = _wilson(*current, alpha=alpha)[0]
    lower = now - before - float(np.hypot(now - low, high - before))
    table = [[current[0], current[1] - current[0]], [reference[0], reference[1] - reference[0]]]
    p_value = float(stats.fisher_exact(table, alternative="greater").pvalue) if now > before else 1.0
    return Effect(name=name, value=now - before, lower=max(0.0, lower), p_value=p_value)


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Return the Jensen-Shannon distance (square root of the divergence, base 2), 0 to 1."""
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    divergence = (stats.entropy(p, middle, base=2) + stats.entropy(q, middle, base=2)) / 2
    return float(np.sqrt(max(0.0, divergence)))


def population_stability(reference: Counts, current: Counts) -> float:
    """Return the population stability index; half a count a cell keeps empty cells finite."""
    p = (reference + 0.5) / (reference + 0.5).sum()
    q = (current + 0.5) / (current + 0.5).sum()
    return float(((q - p) * np.log(q / p)).sum())


def _homogeneity(reference: Counts, current: Counts) -> float:
    n, m = reference.sum(), current.sum()
    common = (reference + current) * min(n, m) / (n + m) >= 5
    rare = np.array([reference[~common].sum()]), np.array([current[~common].sum()])
    table = np.stack([np.append(reference[common], rare[0]), np.append(current[common], rare[1])])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def _wilson(hits: int, trials: int, *, alpha: float) -> tuple[float, float]:
    interval = stats.binomtest(hits, trials).proportion_ci(1 - alpha, method="wilson")
    return float(interval.low), float(interval.high)
