"""Metric: per-row terms whose weighted sums give the value, so that a resample is one matrix product.

A mean, a ratio or a confusion matrix is a function of sums over rows. A rank metric is one to first order:
its terms are the rows' influence values (for the area under the ROC curve DeLong's structural components),
exact at the sample itself. Any other function of labels, scores and weights is called once per resample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows with their labels and one model's scores.

    :param labels: shape ``(n_rows,)``: 0/1, class codes 0..k-1, or numbers.
    :param scores: ``(n_rows,)`` probabilities of the positive class or predictions; ``(n_rows, k)`` for
        k classes.
    :param cells: ``(n_rows,)``: which part of a partition of the rows each belongs to.
    :param queries: ``(n_rows,)`` codes of the query each row answers, for ranking.
    """

    labels: Array
    scores: Array
    cells: IntArray
    queries: IntArray | None = None

    @classmethod
    def of(cls, labels: Array, scores: Array, queries: IntArray | None = None) -> Scored:
        """Take all rows as one cell."""
        return cls(labels, scores, np.zeros(len(labels), dtype=np.int64), queries)


class Support(NamedTuple):
    """Some of the rows that a value rests on: those of a class, by label or as called.

    :param rows: which, shape ``(n_rows,)``.
    :param weight: one of ``n`` such rows changes the value by ``weight / n`` times the metric's
        ``max_influence`` at most.
    :param is_called: chosen by the predicted class; without any the value is 0 by definition.
    """

    rows: BoolArray
    weight: float = 1.0
    is_called: bool = False


class Formula(NamedTuple):
    """How a metric is computed.

    :param terms: of scored rows, ``k`` arrays ``(n_rows,)``; those of a rank metric depend on the cell.
    :param value: of the terms' weighted sums, shape ``(k, ...)``, the metric, shape ``(...)``.
    :param support: of scored rows, those that the value rests on: its denominators; ``None``: all rows.
    """

    terms: Callable[[Scored], Sequence[Array]]
    value: Callable[[Array], Array]
    support: Callable[[Scored], Sequence[Support]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric by name.

    :param sign: 1 if more is better, -1 if less is.
    :param terms, value, support: see :class:`Formula`.
    :param function: ``f(labels, scores, weights)`` instead of terms and value.
    :param max_influence: what one row among ``n`` changes at most, times ``n``; 0 if it has no bound.
    """

    name: str
    sign: int
    terms: Callable[[Scored], Sequence[Array]] | None = None
    value: Callable[[Array], Array] | None = field(default=None)
    function: Callable[[Array, Array, Array], float] | None = None
    max_influence: float = 0.0
    support: Callable[[Scored], Sequence[Support]] | None = None

    def point(self, labels: Array, scores: Array, queries: IntArray | None = None) -> float:
        """Return the metric of the sample itself; NaN where it is not defined."""
        if self.function is not None:
            return float(self.function(labels, scores, np.ones(len(labels))))
        sums = np.array([term.sum() for term in self.rows(Scored.of(labels, scores, queries))])
        return float(self.of(sums))

    def rows(self, scored: Scored) -> Sequence[Array]:
        """Return the terms of scored rows."""
        assert self.terms is not None  # noqa: S101 - for the type checker: a metric has terms or a function
        return self.terms(scored)

    def supports(self, scored: Scored) -> Sequence[Support]:
        """Return the rows that the value rests on."""
        if self.support is None:
            return [Support(np.ones(len(scored.labels), dtype=bool))]
        return self.support(scored)

    def of(self, sums: Array) -> Array:
        """Return the value of sums."""
        assert self.value is not None  # noqa: S101 - as above
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.value(sums)


def ratio(sums: Array) -> Array:
    """Return first sum over second."""
    result: Array = sums[0] / sums[1]
    return result
