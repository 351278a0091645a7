"""Metrics of a confusion matrix: per class the rows of it, the rows called it, and the rows that are both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.metrics.base import Array, Metric, Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _counts(scored: Scored) -> Sequence[Array]:
    """Terms in threes, class by class: true, called, both."""
    if scored.scores.ndim == 2:
        called, classes = scored.scores.argmax(axis=1), scored.scores.shape[1]
    else:
        called, classes = (scored.scores >= 0.5).astype(np.int64), 2
    labels = scored.labels.astype(np.int64)
    pairs = [(labels == one, called == one) for one in range(classes)]
    return [term.astype(float) for true, says in pairs for term in (true, says, true & says)]


def _zero_where_undefined(top: Array, bottom: Array) -> Array:
    """Divide as scikit-learn does with ``zero_division=0``."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _precision(true: Array, called: Array, both: Array) -> Array:
    return _zero_where_undefined(both, called)


def _recall(true: Array, called: Array, both: Array) -> Array:
    return _zero_where_undefined(both, true)


def _f1(true: Array, called: Array, both: Array) -> Array:
    return _zero_where_undefined(2 * both, true + called)


def _positive(score: Callable[[Array, Array, Array], Array]) -> Callable[[Array], Array]:
    """Score class 1 of two."""
    return lambda sums: score(sums[3], sums[4], sums[5])


def _macro(score: Callable[[Array, Array, Array], Array]) -> Callable[[Array], Array]:
    """Mean over the classes that occur among labels or calls."""

    def value(sums: Array) -> Array:
        true, called, both = sums[0::3], sums[1::3], sums[2::3]
        there = (true + called) > 0
        result: Array = (score(true, called, both) * there).sum(axis=0) / there.sum(axis=0)
        return result

    return value


def _weighted(sums: Array) -> Array:
    true, called, both = sums[0::3], sums[1::3], sums[2::3]
    result: Array = (_f1(true, called, both) * true).sum(axis=0) / true.sum(axis=0)
    return result


def _balanced(sums: Array) -> Array:
    true, both = sums[0::3], sums[2::3]
    there = true > 0
    result: Array = (_recall(true, true, both) * there).sum(axis=0) / there.sum(axis=0)
    return result


def _matthews(sums: Array) -> Array:
    """Gorodkin's R_k; 0 when labels or calls are constant."""
    true, called, both = sums[0::3], sums[1::3], sums[2::3]
    rows = true.sum(axis=0)
    top = both.sum(axis=0) * rows - (true * called).sum(axis=0)
    bottom = np.sqrt((rows**2 - (called**2).sum(axis=0)) * (rows**2 - (true**2).sum(axis=0)))
    return _zero_where_undefined(top, bottom)


def _false_alarms(sums: Array) -> Array:
    """Share of class 0 called class 1."""
    return _zero_where_undefined(sums[4] - sums[5], sums[0])


METRICS = (
    Metric(name="balanced_accuracy", sign=1, terms=_counts, value=_balanced, reach=1.0, by_class=True),
    Metric(name="precision", sign=1, terms=_counts, value=_positive(_precision), reach=1.0, by_class=True),
    Metric(name="recall", sign=1, terms=_counts, value=_positive(_recall), reach=1.0, by_class=True),
    Metric(name="f1", sign=1, terms=_counts, value=_positive(_f1), reach=1.0, by_class=True),
    Metric(name="precision_macro", sign=1, terms=_counts, value=_macro(_precision), reach=1.0, by_class=True),
    Metric(name="recall_macro", sign=1, terms=_counts, value=_macro(_recall), reach=1.0, by_class=True),
    Metric(name="f1_macro", sign=1, terms=_counts, value=_macro(_f1), reach=1.0, by_class=True),
    Metric(name="f1_weighted", sign=1, terms=_counts, value=_weighted, reach=1.0, by_class=True),
    Metric(name="matthews_corrcoef", sign=1, terms=_counts, value=_matthews, reach=2.0, by_class=True),
    Metric(name="false_positive_rate", sign=-1, terms=_counts, value=_false_alarms, reach=1.0, by_class=True),
)
