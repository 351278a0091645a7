"""Paired bootstrap of metrics: the same resamples for every model, without a loop over resamples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_mlops.core.validation.metrics import Metric

    Array = np.ndarray[Any, np.dtype[np.float64]]

CELLS_AT_ONCE = 4_000_000


def resampled(
    labels: Array, scores: Mapping[str, Array], metrics: Sequence[Metric], *, resamples: int, seed: int
) -> dict[tuple[str, str], Array]:
    """Return each model's metrics over Poisson-bootstrap resamples.

    :param labels: shape ``(n_rows,)``; ``scores``: one such array per model name.
    :returns: ``(model, metric)`` to an array of shape ``(resamples,)``; entry i of every array comes from
        the same resample, so differences are paired.
    """
    rng = np.random.default_rng(seed)
    at_once = max(1, CELLS_AT_ONCE // max(1, len(labels)))
    chunks: dict[tuple[str, str], list[Array]] = {(m, metric.name): [] for m in scores for metric in metrics}
    for start in range(0, resamples, at_once):
        shape = (min(at_once, resamples - start), len(labels))
        weights = rng.poisson(1.0, size=shape).astype(np.float64)
        for model, values in scores.items():
            for metric in metrics:
                chunks[model, metric.name].append(metric.of(labels, values, weights))
    return {pair: np.concatenate(parts) for pair, parts in chunks.items()}


def lower_bound(values: Array, alpha: float) -> float:
    """One-sided lower confidence bound; resamples the metric cannot be computed on are left out."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known, alpha)) if known.size else float("nan")


def upper_bound(values: Array, alpha: float) -> float:
    """One-sided upper confidence bound."""
    return -lower_bound(-values, alpha)
