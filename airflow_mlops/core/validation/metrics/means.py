"""Metrics that are means over rows, or simple functions of such means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.metrics.base import Array, Formula, Scored, Support, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Loss = Callable[[Array, Array], Array]

_TINY = float(np.finfo(np.float64).eps)
_CONSTANT = 1e-10
"""Share of the labels' mean square below which their variance is rounding: they are constant."""


def _mean(loss: Loss) -> Callable[[Scored], Sequence[Array]]:
    def terms(scored: Scored) -> Sequence[Array]:
        return loss(scored.labels, scored.scores), np.ones(len(scored.labels))

    return terms


def _log_loss(labels: Array, scores: Array) -> Array:
    safe = np.clip(scores, _TINY, 1 - _TINY)
    own = _of_label(labels, safe) if safe.ndim == 2 else None
    loss: Array = labels * np.log(safe) + (1 - labels) * np.log1p(-safe) if own is None else np.log(own)
    return -loss


def _brier(labels: Array, scores: Array) -> Array:
    """Brier score (1950). Binary: (y - p)²; k classes: sum over the classes, as scikit-learn does."""
    if scores.ndim == 2:
        result: Array = (scores**2).sum(axis=1) - 2 * _of_label(labels, scores) + 1
        return result
    return (labels - scores) ** 2


def _accuracy(labels: Array, scores: Array) -> Array:
    right = scores.argmax(axis=1) == labels if scores.ndim == 2 else (scores >= 0.5) == (labels > 0.5)
    result: Array = right.astype(float)
    return result


def _selected(labels: Array, scores: Array) -> Array:
    """Return which rows are predicted positive, whatever their labels: demographic parity compares it."""
    return (scores >= 0.5).astype(float)


def _of_label(labels: Array, scores: Array) -> Array:
    picked: Array = scores[np.arange(len(labels)), labels.astype(int)]
    return picked


def _deviance(labels: Array, scores: Array) -> Array:
    """Poisson deviance: 2 (y log(y / m) - y + m), y log y = 0 at y = 0; infinite for a mean m <= 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(labels > 0, labels * np.log(labels / scores), 0.0)
    return np.where(scores > 0, 2 * (logs - labels + scores), np.inf)


def _spread(scored: Scored) -> Sequence[Array]:
    """Return the terms of variances; labels are centred, as sums of large squares lose digits."""
    labels = scored.labels - scored.labels.mean()
    error = scored.labels - scored.scores
    return np.ones(len(labels)), labels, labels**2, error, error**2


def _r2(sums: Array) -> Array:
    result: Array = 1 - sums[4] / _squares(sums)
    return result


def _explained(sums: Array) -> Array:
    left = sums[4] - sums[3] ** 2 / sums[0]
    result: Array = 1 - left / _squares(sums)
    return result


def _squares(sums: Array) -> Array:
    """Return the labels' sum of squared deviations; not a number where they are constant."""
    squares: Array = sums[2] - sums[1] ** 2 / sums[0]
    return np.where(squares > _CONSTANT * sums[2], squares, np.nan)


def _brier_support(scored: Scored) -> Sequence[Support]:
    return [Support(np.ones(len(scored.labels), dtype=bool), float(scored.scores.ndim))]


MEAN_FORMULAS = {
    "accuracy": Formula(_mean(_accuracy), ratio),
    "log_loss": Formula(_mean(_log_loss), ratio),
    "brier": Formula(_mean(_brier), ratio, _brier_support),
    "mae": Formula(_mean(lambda y, p: np.abs(y - p)), ratio),
    "mse": Formula(_mean(lambda y, p: (y - p) ** 2), ratio),
    "rmse": Formula(_mean(lambda y, p: (y - p) ** 2), lambda sums: np.sqrt(ratio(sums))),
    "mape": Formula(_mean(lambda y, p: np.abs(y - p) / np.maximum(np.abs(y), _TINY)), ratio),
    "poisson_deviance": Formula(_mean(_deviance), ratio),
    "selection_rate": Formula(_mean(_selected), ratio),
    "r2": Formula(_spread, _r2),
    "explained_variance": Formula(_spread, _explained),
}
