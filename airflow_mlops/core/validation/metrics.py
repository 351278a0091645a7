"""Metrics of predictions, for one sample or for many weighted resamples of it at once.

Labels and scores have shape ``(n_rows,)``, weights ``(n_resamples, n_rows)``; a result has one value per
resample. Scores are probabilities of the positive class for classification, predictions for regression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[np.float64]]

TINY = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric by name.

    :param sign: 1 if more is better, -1 if less is.
    """

    name: str
    sign: int
    of: Callable[[Array, Array, Array], Array]

    def point(self, labels: Array, scores: Array) -> float:
        """Return the metric of the sample itself."""
        return float(self.of(labels, scores, np.ones((1, len(labels))))[0])


def _mean(loss: Callable[[Array, Array], Array]) -> Callable[[Array, Array, Array], Array]:
    def weighted(labels: Array, scores: Array, weights: Array) -> Array:
        result: Array = weights @ loss(labels, scores) / weights.sum(axis=1)
        return result

    return weighted


def _log_loss(labels: Array, scores: Array) -> Array:
    safe = np.clip(scores, TINY, 1 - TINY)
    return -(labels * np.log(safe) + (1 - labels) * np.log1p(-safe))


def _roc_auc(labels: Array, scores: Array, weights: Array) -> Array:
    """Weighted Mann-Whitney statistic; ties count half."""
    order = np.argsort(scores, kind="stable")
    weights, positive = weights[:, order], labels[order] > 0.5
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    good = np.add.reduceat(weights * positive, starts, axis=1)
    bad = np.add.reduceat(weights * ~positive, starts, axis=1)
    below = np.cumsum(bad, axis=1) - bad / 2
    pairs = good.sum(axis=1) * bad.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = (good * below).sum(axis=1) / pairs
    return result


METRICS = {
    metric.name: metric
    for metric in (
        Metric(name="roc_auc", sign=1, of=_roc_auc),
        Metric(name="log_loss", sign=-1, of=_mean(_log_loss)),
        Metric(name="brier", sign=-1, of=_mean(lambda y, p: (y - p) ** 2)),
        Metric(name="accuracy", sign=1, of=_mean(lambda y, p: ((p >= 0.5) == (y > 0.5)).astype(float))),
        Metric(name="mae", sign=-1, of=_mean(lambda y, p: np.abs(y - p))),
        Metric(name="mse", sign=-1, of=_mean(lambda y, p: (y - p) ** 2)),
    )
}
CLASSIFICATION = ("roc_auc", "log_loss", "brier", "accuracy")
REGRESSION = ("mae", "mse")


def metric(name: str) -> Metric:
    """Return a metric by name.

    :raises InvalidConfigError: there is none of that name.
    """
    if name not in METRICS:
        msg = f"metric {name!r} is not known; one of: {', '.join(METRICS)}"
        raise InvalidConfigError(msg)
    return METRICS[name]


def summary(labels: Array, scores: Array) -> dict[str, float]:
    """Return all metrics that fit the labels: classification for 0/1 labels, regression otherwise."""
    binary = bool(np.isin(labels, (0.0, 1.0)).all())
    points = {
        name: METRICS[name].point(labels, scores) for name in (CLASSIFICATION if binary else REGRESSION)
    }
    return {name: value for name, value in points.items() if np.isfinite(value)}
