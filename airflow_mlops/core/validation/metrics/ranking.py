"""Metrics of how scores rank rows within a cell; a row's terms are its influence value.

With weights w the area under the ROC curve is, to first order, the weighted mean over positive rows of the
share of negatives below them, plus the same for negatives, less the area itself (structural components of
DeLong, DeLong and Clarke-Pearson 1988). Average precision uses its infinitesimal jackknife (Jaeckel 1972).
Both are exact at w = 1; the remainder is of the order 1 / rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.metrics.base import (
    Array,
    BoolArray,
    Formula,
    IntArray,
    Scored,
    Support,
    ratio,
)
from airflow_mlops.core.validation.metrics.classification import class_support

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Rows in ascending order of score within their cell, ties together.

    :param order: row numbers, in that order; ``tie``: which group of equal scores each falls in.
    :param good, bad: positives and negatives per tie group.
    :param cell: of each tie group; ``first``: the first tie group of each group's cell.
    """

    order: IntArray
    tie: IntArray
    good: Array
    bad: Array
    cell: IntArray
    first: IntArray

    @classmethod
    def of(cls, scores: Array, positive: BoolArray, cells: IntArray) -> _Ranked:
        """Sort rows by cell and score."""
        order = np.argsort(scores, kind="stable")
        order = order[np.argsort(cells[order], kind="stable")]
        ranked, within = scores[order], cells[order]
        new_cell = np.r_[True, within[1:] != within[:-1]]
        new_tie = new_cell | np.r_[True, ranked[1:] != ranked[:-1]]
        starts = np.flatnonzero(new_tie)
        tie = np.cumsum(new_tie) - 1
        good: Array = np.add.reduceat(positive[order].astype(float), starts)
        size: Array = np.diff(np.r_[starts, len(order)]).astype(float)
        first = np.maximum.accumulate(np.where(new_cell[starts], np.arange(len(starts)), 0))
        return cls(order, tie, good, size - good, within[starts], first)

    def below(self, counts: Array) -> Array:
        """Return what lies in lower tie groups of the same cell, per tie group."""
        before = np.cumsum(counts) - counts
        result: Array = before - before[self.first]
        return result

    def per_cell(self, counts: Array) -> Array:
        """Return the cell's total, per tie group."""
        totals: Array = np.asarray(np.bincount(self.cell, weights=counts), dtype=np.float64)
        return totals[self.cell]

    def to_rows(self, *per_tie: Array) -> list[Array]:
        """Return values of tie groups at their rows."""
        found = []
        for values in per_tie:
            row = np.empty(len(self.order))
            row[self.order] = values[self.tie]
            found.append(row)
        return found


def _area(scores: Array, positive: BoolArray, cells: IntArray) -> tuple[Array, Array, Array, Array, Array]:
    """Return per row: share of negatives below, of positives above, the cell's area, positives, negatives."""
    ranked = _Ranked.of(scores, positive, cells)
    good, bad = ranked.per_cell(ranked.good), ranked.per_cell(ranked.bad)
    with np.errstate(invalid="ignore", divide="ignore"):
        beaten = (ranked.below(ranked.bad) + ranked.bad / 2) / bad
        beating = (good - ranked.below(ranked.good) - ranked.good / 2) / good
        area = ranked.per_cell(beaten * ranked.good) / good
    found = ranked.to_rows(beaten, beating, area, good, bad)
    return found[0], found[1], found[2], found[3], found[4]


def _auc_terms(scored: Scored) -> Sequence[Array]:
    positive = scored.labels > 0.5
    beaten, beating, area, _, _ = _area(scored.scores, positive, scored.cells)
    good = positive.astype(float)
    # where a cell has one class only, the area is NaN and so is the whole cell's value
    return good, good * (beaten - area / 2), 1 - good, (1 - good) * (beating - area / 2)


def _auc(sums: Array) -> Array:
    result: Array = sums[1] / sums[0] + sums[3] / sums[2]
    return result


def _one_against_rest(scored: Scored) -> Sequence[Array]:
    """One against the rest: mean over the classes of the area under one class against all others."""
    rows = np.bincount(scored.cells)[scored.cells]
    classes, found = scored.scores.shape[1], np.zeros(len(scored.labels))
    for one in range(classes):
        positive = scored.labels == one
        beaten, beating, area, good, bad = _area(scored.scores[:, one], positive, scored.cells)
        with np.errstate(invalid="ignore", divide="ignore"):
            influence = np.where(positive, (beaten - area) / good, (beating - area) / bad)
        found += (area + rows * influence) / classes
    return found, np.ones(len(found))


def _precision_terms(scored: Scored) -> Sequence[Array]:
    """Average precision: mean over positives of the precision at their score."""
    positive = scored.labels > 0.5
    ranked = _Ranked.of(scored.scores, positive, scored.cells)
    good = ranked.per_cell(ranked.good)
    hits = good - ranked.below(ranked.good)
    misses = ranked.per_cell(ranked.bad) - ranked.below(ranked.bad)
    share, square = hits / (hits + misses), (hits + misses) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        average = ranked.per_cell(ranked.good * share) / good
        at_or_below = [
            ranked.below(x) + x for x in (ranked.good * misses / square, ranked.good * hits / square)
        ]
        gain, loss = (share - average + at_or_below[0]) / good, -at_or_below[1] / good
    gains, losses, averages = ranked.to_rows(gain, loss, average)
    rows = np.bincount(scored.cells)[scored.cells]
    return averages + rows * np.where(positive, gains, losses), np.ones(len(rows))


def _both_classes(scored: Scored) -> list[Support]:
    positive = scored.labels > 0.5
    return [Support(positive), Support(~positive)]


RANKING_FORMULAS = {
    "roc_auc": Formula(_auc_terms, _auc, _both_classes),
    "roc_auc_ovr": Formula(_one_against_rest, ratio, class_support),
    "average_precision": Formula(_precision_terms, ratio, _both_classes),
}
