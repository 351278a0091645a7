"""Which columns' blocks of history are exchangeable: their order carries no information.

Keys, counters, times, trends, and values that wander are not. Thresholds calibrated on their blocks say
nothing about the next one, so they are found here, and named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.data.skew.policy import HIGHEST_CALIBRATED, NEW_CATEGORIES, NULL_SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.bins import Floats
    from airflow_mlops.core.data.skew.bins import AlignedCounts

_LEVEL = 0.05
"""Chance that any column of exchangeable blocks is named."""


def not_exchangeable(
    aligned: AlignedCounts, apart: Floats, tests: Sequence[tuple[str, str]], floors: Floats
) -> dict[str, str]:
    """Return the reason of each column whose blocks' distribution depends on their order, or on the block.

    :param aligned: counts of the blocks, in the order of time.
    :param apart: corrected distance of each block to the others, ``(n_blocks, n_tests)``.
    :param floors: threshold per test up to which a distance does not matter.
    """
    places = _places(aligned)
    level = _LEVEL / max(1, len(aligned.names)) / 2
    found: dict[str, str] = {}
    for i, (column, test) in enumerate(tests):
        moved = apart[:, i][np.isfinite(apart[:, i])]
        if test in (NULL_SHARE, NEW_CATEGORIES) or not moved.size or moved.max() <= floors[i]:
            continue
        if np.median(moved) > HIGHEST_CALIBRATED:
            found[column] = f"most blocks are unlike the others (median {test} {np.median(moved):.2f})"
        elif reason := _dependence(places[:, aligned.names.index(column)], level):
            found[column] = reason
    return found


def _dependence(places: Floats, level: float) -> str:
    """Return how the blocks' places depend on their order; empty if that may be chance."""
    if np.ptp(places) <= 0:
        return ""
    trend = stats.kendalltau(np.arange(len(places)), places)
    if trend.pvalue <= level:
        way = "rise" if trend.statistic > 0 else "fall"
        return f"its values {way} with time (Kendall's tau {trend.statistic:.2f})"
    off = places - places.mean()
    linked = float((off[1:] * off[:-1]).sum() / (off**2).sum())
    z = (linked + 1 / len(places)) * len(places) ** 0.5
    if stats.norm.sf(z) <= level:
        return f"neighbouring blocks are alike (autocorrelation {linked:.2f})"
    return ""


def _places(aligned: AlignedCounts) -> Floats:
    """Return the mean rank of each block's values among those of all, ``(n_blocks, n_columns)``."""
    together = aligned.counts.sum(axis=0)
    total = np.repeat(aligned.add(together), aligned.sizes)
    starts = np.cumsum(aligned.sizes) - aligned.sizes
    running = np.cumsum(together)
    before = np.repeat(running[starts] - together[starts], aligned.sizes)
    rank = (running - before - together / 2) / np.maximum(total, 1.0)
    held = np.stack([aligned.add(counts) for counts in aligned.counts])
    return np.stack([aligned.add(counts * rank) for counts in aligned.counts]) / np.maximum(held, 1.0)
