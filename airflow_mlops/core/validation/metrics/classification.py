"""Metrics of a confusion matrix, from three counts per class: its rows, those predicted as it, and both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.metrics.base import Array, Formula, Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _counts(scored: Scored) -> Sequence[Array]:
    """Return terms in threes, class by class: true, predicted, both."""
    if scored.scores.ndim == 2:
        given, classes = scored.scores.argmax(axis=1), scored.scores.shape[1]
    else:
        given, classes = (scored.scores >= 0.5).astype(np.int64), 2
    labels = scored.labels.astype(np.int64)
    pairs = [(labels == one, given == one) for one in range(classes)]
    return [term.astype(float) for true, predicted in pairs for term in (true, predicted, true & predicted)]


def _zero_where_undefined(top: Array, bottom: Array) -> Array:
    """Divide as scikit-learn does with ``zero_division=0``."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _precision(true: Array, predicted: Array, both: Array) -> Array:
    return _zero_where_undefined(both, predicted)


def _recall(true: Array, predicted: Array, both: Array) -> Array:
    return _zero_where_undefined(both, true)


def _f1(true: Array, predicted: Array, both: Array) -> Array:
    return _zero_where_undefined(2 * both, true + predicted)


def _positive(score: Callable[[Array, Array, Array], Array]) -> Callable[[Array], Array]:
    """Take the score of class 1 of two."""
    return lambda sums: score(sums[3], sums[4], sums[5])


def _macro(score: Callable[[Array, Array, Array], Array]) -> Callable[[Array], Array]:
    """Macro average: mean over the classes that occur among labels or predictions."""

    def value(sums: Array) -> Array:
        true, predicted, both = sums[0::3], sums[1::3], sums[2::3]
        there = (true + predicted) > 0
        result: Array = (score(true, predicted, both) * there).sum(axis=0) / there.sum(axis=0)
        return result

    return value


def _weighted(sums: Array) -> Array:
    true, predicted, both = sums[0::3], sums[1::3], sums[2::3]
    result: Array = (_f1(true, predicted, both) * true).sum(axis=0) / true.sum(axis=0)
    return result


def _balanced(sums: Array) -> Array:
    true, both = sums[0::3], sums[2::3]
    there = true > 0
    result: Array = (_recall(true, true, both) * there).sum(axis=0) / there.sum(axis=0)
    return result


def _matthews(sums: Array) -> Array:
    """Matthews correlation for k classes, R_k (Gorodkin 2004); 0 when labels or predictions are constant."""
    true, predicted, both = sums[0::3], sums[1::3], sums[2::3]
    rows = true.sum(axis=0)
    top = both.sum(axis=0) * rows - (true * predicted).sum(axis=0)
    bottom = np.sqrt((rows**2 - (predicted**2).sum(axis=0)) * (rows**2 - (true**2).sum(axis=0)))
    return _zero_where_undefined(top, bottom)


def _false_positive_rate(sums: Array) -> Array:
    """Share of class 0 that is predicted as class 1."""
    return _zero_where_undefined(sums[4] - sums[5], sums[0])


CLASSIFICATION_FORMULAS = {
    "balanced_accuracy": Formula(_counts, _balanced),
    "precision": Formula(_counts, _positive(_precision)),
    "recall": Formula(_counts, _positive(_recall)),
    "f1": Formula(_counts, _positive(_f1)),
    "precision_macro": Formula(_counts, _macro(_precision)),
    "recall_macro": Formula(_counts, _macro(_recall)),
    "f1_macro": Formula(_counts, _macro(_f1)),
    "f1_weighted": Formula(_counts, _weighted),
    "matthews_corrcoef": Formula(_counts, _matthews),
    "false_positive_rate": Formula(_counts, _false_positive_rate),
}
