"""Metrics of a confusion matrix, from three counts per class: its rows, those predicted as it, and both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.metrics.base import Array, Formula, IntArray, Scored, Support

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _called(scored: Scored) -> tuple[IntArray, int]:
    """Return the class each row is called, and how many classes there are."""
    if scored.scores.ndim == 2:
        return scored.scores.argmax(axis=1), scored.scores.shape[1]
    return (scored.scores >= 0.5).astype(np.int64), 2


def _counts(scored: Scored) -> Sequence[Array]:
    """Return terms in threes, class by class: true, predicted, both."""
    given, classes = _called(scored)
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


def class_support(scored: Scored) -> list[Support]:
    """Return the rows of each class: a mean over the classes rests on the rarest."""
    classes = scored.scores.shape[1] if scored.scores.ndim == 2 else 2
    return [Support(scored.labels == one, 1 / classes) for one in range(classes)]


def _either_support(scored: Scored) -> list[Support]:
    """Return the rows of each class and those called so."""
    given, classes = _called(scored)
    called = [Support(given == one, 1 / classes, is_called=True) for one in range(classes)]
    return [*class_support(scored), *called]


def _label_support(label: int) -> Callable[[Scored], list[Support]]:
    return lambda scored: [Support(scored.labels == label)]


def _called_support(scored: Scored) -> list[Support]:
    return [Support(_called(scored)[0] == 1, is_called=True)]


def _f1_support(scored: Scored) -> list[Support]:
    return [Support(scored.labels == 1), *_called_support(scored)]


def _matthews_support(scored: Scored) -> list[Support]:
    """Return the rows of both classes; of more than two classes all rows, for a rare one weighs little."""
    if scored.scores.ndim == 2 and scored.scores.shape[1] > 2:
        return [Support(np.ones(len(scored.labels), dtype=bool), 2.0)]
    return [one._replace(weight=1.0) for one in _either_support(scored)]


CLASSIFICATION_FORMULAS = {
    "balanced_accuracy": Formula(_counts, _balanced, class_support),
    "precision": Formula(_counts, _positive(_precision), _called_support),
    "recall": Formula(_counts, _positive(_recall), _label_support(1)),
    "f1": Formula(_counts, _positive(_f1), _f1_support),
    "precision_macro": Formula(_counts, _macro(_precision), _either_support),
    "recall_macro": Formula(_counts, _macro(_recall), class_support),
    "f1_macro": Formula(_counts, _macro(_f1), _either_support),
    "f1_weighted": Formula(_counts, _weighted),
    "matthews_corrcoef": Formula(_counts, _matthews, _matthews_support),
    "false_positive_rate": Formula(_counts, _false_positive_rate, _label_support(0)),
}
