"""Metrics by name. Scores are probabilities of the positive class, a matrix of them, or predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.metrics import classification as metrics_classes
from airflow_mlops.core.validation.metrics import means as metrics_mean
from airflow_mlops.core.validation.metrics import ranking as metrics_rank
from airflow_mlops.core.validation.metrics import retrieval as metrics_query
from airflow_mlops.core.validation.metrics.names import CUT, NEGATED, check_metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.validation.metrics.base import Array, Metric

_FAMILIES = (metrics_mean, metrics_classes, metrics_rank, metrics_query)
METRICS: dict[str, Metric] = {metric.name: metric for family in _FAMILIES for metric in family.METRICS}
CLASSIFICATION = ("roc_auc", "log_loss", "brier", "accuracy")
CLASSES = ("roc_auc_ovr", "log_loss", "brier", "accuracy", "f1_macro")
REGRESSION = ("mae", "mse")


def metric(name: str, own: Sequence[Metric] = ()) -> Metric:
    """Return a metric by name, the author's ``own`` first.

    :raises InvalidConfigError: there is none of that name.
    """
    for mine in own:
        if mine.name == name:
            return mine
    check_metric(name, [mine.name for mine in own])
    if CUT.fullmatch(name):
        return metrics_query.ndcg(name)
    if name in NEGATED:
        return _negated(name, METRICS[NEGATED[name]])
    if name not in METRICS:
        msg = f"metric {name!r}: scikit-learn's scorers are there only for ValidateModelOperator"
        raise InvalidConfigError(msg)
    return METRICS[name]


def _negated(name: str, loss: Metric) -> Metric:
    return replace(loss, name=name, sign=1, value=lambda sums: -loss.of(sums))


def default_metrics(labels: Array, scores: Array) -> dict[str, float]:
    """Return the usual metrics: of k classes for a matrix, of two for 0/1 labels, of numbers otherwise."""
    binary = bool(np.isin(labels, (0.0, 1.0)).all())
    names = CLASSES if scores.ndim == 2 else CLASSIFICATION if binary else REGRESSION
    points = {name: METRICS[name].point(labels, scores) for name in names}
    return {name: value for name, value in points.items() if np.isfinite(value)}
