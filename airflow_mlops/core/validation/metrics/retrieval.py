"""Retrieval metrics: one value a query, held by the query's first row of a cell, then averaged.

Queries without a relevant answer (label above 0) are left out: no ranking of them is right or wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.metrics.base import Array, Formula, IntArray, Scored, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _Answers:
    """Rows by query, best score first, with their rank (from 0) and groups of equal scores."""

    def __init__(self, scored: Scored, scores: Array) -> None:
        if scored.queries is None:
            msg = "ranking metrics need a query: data has no column for it, allowed: validate.query"
            raise InvalidConfigError(msg)
        query = np.unique(np.column_stack([scored.cells, scored.queries]), axis=0, return_inverse=True)[1]
        self.order = np.lexsort((-scores, query))
        self.query: IntArray = query[self.order]
        self.starts = np.flatnonzero(np.r_[True, self.query[1:] != self.query[:-1]])
        self.rank = np.arange(len(scores)) - self.starts[self.query]
        ranked = scores[self.order]
        new = np.r_[True, (ranked[1:] != ranked[:-1]) | (self.query[1:] != self.query[:-1])]
        self.tie = np.cumsum(new) - 1

    def per_tie(self, values: Array) -> Array:
        """Return the sum over a row's tie group."""
        result: Array = np.bincount(self.tie, weights=values)[self.tie]
        return result

    def per_query(self, values: Array) -> Array:
        """Return the sum over each query."""
        result: Array = np.add.reduceat(values, self.starts)
        return result


def _terms(values: Callable[[Scored], tuple[_Answers, Array]]) -> Callable[[Scored], Sequence[Array]]:
    def terms(scored: Scored) -> Sequence[Array]:
        answers, value = values(scored)
        known, rows = np.isfinite(value), len(scored.labels)
        found = [np.zeros(rows), np.zeros(rows)]
        carriers = np.minimum.reduceat(answers.order, answers.starts)
        found[0][carriers], found[1][carriers] = np.where(known, value, 0.0), known
        return found

    return terms


def _gain(scored: Scored, scores: Array, cut: int | None) -> tuple[_Answers, Array]:
    """Discounted cumulative gain: label / log2(rank + 2), rank from 0; tied answers share their discounts."""
    answers = _Answers(scored, scores)
    inside = answers.rank < cut if cut else np.ones(len(scores), dtype=bool)
    discount = np.where(inside, 1 / np.log2(answers.rank + 2), 0.0)
    shared = answers.per_tie(discount) / answers.per_tie(np.ones(len(scores)))
    return answers, answers.per_query(scored.labels[answers.order] * shared)


def _ndcg(cut: int | None) -> Callable[[Scored], tuple[_Answers, Array]]:
    def values(scored: Scored) -> tuple[_Answers, Array]:
        answers, gain = _gain(scored, scored.scores, cut)
        best = _gain(scored, scored.labels, cut)[1]
        return answers, np.divide(gain, best, out=np.full_like(gain, np.nan), where=best > 0)

    return values


def _reciprocal(scored: Scored) -> tuple[_Answers, Array]:
    """Reciprocal of the first relevant rank; a relevant answer among ties counts as the last of them."""
    answers = _Answers(scored, scored.scores)
    last = np.maximum.reduceat(answers.rank, np.flatnonzero(np.r_[True, np.diff(answers.tie) > 0]))
    rank = np.where(scored.labels[answers.order] > 0, last[answers.tie], np.inf)
    first = np.minimum.reduceat(rank, answers.starts)
    return answers, np.where(np.isfinite(first), 1 / (first + 1), np.nan)


def _precision(scored: Scored) -> tuple[_Answers, Array]:
    """Average precision of a query: mean over its relevant answers of the precision at their score."""
    answers = _Answers(scored, scored.scores)
    relevant = (scored.labels[answers.order] > 0).astype(float)
    hits = np.cumsum(relevant)
    hits -= (hits - relevant)[answers.starts][answers.query]
    ends = np.flatnonzero(np.r_[np.diff(answers.tie) > 0, True])
    share = (hits[ends] / (answers.rank[ends] + 1))[answers.tie]
    count = answers.per_query(relevant)
    total = answers.per_query(relevant * share)
    return answers, np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def ndcg_at(cut: int | None) -> Formula:
    """Return the formula of nDCG over the first ``cut`` ranks, or over all."""
    return Formula(_terms(_ndcg(cut)), ratio)


RETRIEVAL_FORMULAS = {
    "ndcg": ndcg_at(None),
    "mrr": Formula(_terms(_reciprocal), ratio),
    "map": Formula(_terms(_precision), ratio),
}
