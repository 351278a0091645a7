"""scikit-learn's scorers as metrics, for metrics that have no vectorised form here."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.metrics.base import Metric
from airflow_mlops.core.validation.metrics.registry import SCORER_PREFIX

if TYPE_CHECKING:
    from airflow_mlops.core.validation.metrics.base import Array


class _Classes(ClassifierMixin, BaseEstimator):
    """Estimator whose input is its predicted probabilities."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)

    def predict_proba(self, scores: Array) -> Array:
        """Return the input."""
        return scores

    def predict(self, scores: Array) -> Any:
        """Return the class of the greatest probability."""
        return scores.argmax(axis=1) if self.classes > 2 else (scores[:, 1] >= 0.5).astype(int)


class _Numbers(RegressorMixin, BaseEstimator):
    """Estimator whose input is its prediction."""

    def predict(self, scores: Array) -> Array:
        """Return the input."""
        return scores[:, 0]


def scorer(name: str, *, is_class: bool) -> Metric:
    """Return ``sklearn:<scorer>`` as a metric; of scorers, greater is always better.

    :param is_class: labels are classes, so that scores are probabilities.
    :raises InvalidConfigError: scikit-learn has none of that name; when called: it refused the rows.
    """
    short = name.removeprefix(SCORER_PREFIX)
    if short not in get_scorer_names():
        known = get_scorer_names()
        probably = did_you_mean(short, known)
        msg = f"metric {name!r}: scikit-learn has no such scorer; one of: {', '.join(known)}{probably}"
        raise InvalidConfigError(msg)
    found = get_scorer(short)

    def called(labels: Array, scores: Array, weights: Array) -> float:
        matrix = scores if scores.ndim == 2 else np.column_stack([1 - scores, scores])
        model = _Classes(matrix.shape[1]) if is_class else _Numbers()
        given = (matrix, labels.astype(int)) if is_class else (scores.reshape(-1, 1), labels)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return float(found(model, *given))
        except (TypeError, ValueError) as error:
            if is_class and len(np.unique(labels)) < matrix.shape[1]:
                return float("nan")  # a resample that lost a class has no value
            msg = f"metric {name!r}: {error}; allowed: scorers of such labels and predictions"
            raise InvalidConfigError(msg) from error

    return Metric(name=name, sign=1, function=called)
