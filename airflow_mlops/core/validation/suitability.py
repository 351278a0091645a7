"""Whether a metric can be asked of these labels and scores: what does not fit gives a number too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.metrics.names import (
    CLASSES,
    OF_CLASSES,
    OF_PROBABILITIES,
    OF_TWO,
    SCORER,
    base_name,
    check_metric,
)
from airflow_mlops.core.validation.sample import CHALLENGER, score_problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mlops.core.validation.sample import Sample

_SUM_TOLERANCE = 1e-3


def check_metrics(sample: Sample, names: Collection[str]) -> None:
    """Refuse metrics of other labels or other predictions than these.

    :param names: without the author's own, which may be asked anything.
    :raises InvalidConfigError: names the metric, what it is for, and what is there.
    """
    is_matrix = sample.scores[CHALLENGER].ndim == 2
    labels = np.unique(sample.labels)
    for name in names:
        check_metric(name)
        if name.startswith(SCORER):
            continue
        short, there = (
            base_name(name),
            f"{len(labels)} different numbers from {labels[0]:g} to {labels[-1]:g}",
        )
        if is_matrix and (short in OF_TWO or short not in OF_CLASSES):
            several = ", ".join(sorted({*CLASSES, "roc_auc_ovr", "log_loss", "brier", "accuracy"} - OF_TWO))
            wrong = f"predictions are of {sample.scores[CHALLENGER].shape[1]} classes, allowed: {several}"
        elif not is_matrix and short == "roc_auc_ovr":
            wrong = "predictions are no matrix of classes, allowed: roc_auc"
        elif not is_matrix and short in OF_CLASSES and not np.isin(labels, (0.0, 1.0)).all():
            wrong = f"labels are {there}, allowed: 0 and 1, or text"
        else:
            continue
        msg = f"metric {name!r} does not fit: {wrong}"
        raise InvalidConfigError(msg)


def model_problem(sample: Sample, model: str, names: Collection[str]) -> str:
    """Say why a model's scores cannot be used for these metrics; empty if they can."""
    reason = score_problem(sample, model)
    asked = [name for name in names if base_name(name) in OF_PROBABILITIES]
    if reason or not asked:
        return reason
    scores = sample.scores[model]
    if scores.min() < 0 or scores.max() > 1:
        return (
            f"{model}: predictions lie between {scores.min():g} and {scores.max():g}, "
            f"{asked[0]} needs probabilities"
        )
    if scores.ndim == 2 and float(np.abs(scores.sum(axis=1) - 1).max()) > _SUM_TOLERANCE:
        off = int((np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE).sum())
        return f"{model}: probabilities of {off} of {len(scores)} rows do not sum to 1"
    return ""
