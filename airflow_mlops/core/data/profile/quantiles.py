"""Quantiles of a numeric column, read off its cells."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.column import Column


def quantiles(column: Column, shares: Sequence[float]) -> dict[float, float]:
    """Return the value below which each share of the values lies, interpolated inside its cell.

    At most one cell off, and never outside the finite values; empty for a column without cells.

    :param shares: each in [0, 1].
    """
    low, high, total = column.minimum, column.maximum, sum(column.counts)
    if not column.edges or low is None or high is None or not total:
        return {}
    borders = [low, *(min(max(edge, low), high) for edge in column.edges), high]
    reached = [0, *accumulate(column.counts)]
    return {share: _at(share * total, borders, reached) for share in shares}


def _at(rank: float, borders: Sequence[float], reached: Sequence[int]) -> float:
    cell = next(i for i in range(len(borders) - 1) if reached[i + 1] >= rank)
    inside = reached[cell + 1] - reached[cell]
    part = (rank - reached[cell]) / inside if inside else 0.0
    return borders[cell] + part * (borders[cell + 1] - borders[cell])
