"""Whether a metric fits the labels and scores: one that does not would return a number, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.metrics.registry import (
    METRIC_TABLE,
    SCORER_PREFIX,
    Target,
    base_name,
    check_metric,
    traits_of,
)
from airflow_mlops.core.validation.sample import CHALLENGER, score_problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mlops.core.validation.metrics.base import Array
    from airflow_mlops.core.validation.sample import Sample

_SUM_TOLERANCE = 1e-3


def check_metrics(sample: Sample, names: Collection[str]) -> None:
    """Refuse metrics that are for other labels or other predictions than these.

    :param names: without the author's own, which accept anything.
    :raises InvalidConfigError: names the metric, what it is for, and what is there.
    """
    for name in names:
        check_metric(name)
        if name.startswith(SCORER_PREFIX):
            continue
        wrong = metric_problem(name, sample.labels, sample.scores[CHALLENGER])
        if wrong:
            msg = f"metric {name!r} does not fit: {wrong}"
            raise InvalidConfigError(msg)


def metric_problem(name: str, labels: Array, scores: Array) -> str:
    """Return why a metric of ours does not fit labels and scores; empty if it does."""
    short, traits = base_name(name), METRIC_TABLE[base_name(name)]
    if scores.ndim == 2:
        if traits.target is Target.CLASSES:
            return ""
        fitting = sorted(name for name, its in METRIC_TABLE.items() if its.target is Target.CLASSES)
        return f"predictions are of {scores.shape[1]} classes, allowed: {', '.join(fitting)}"
    if short == "roc_auc_ovr":
        return "predictions are no matrix of classes, allowed: roc_auc"
    there = np.unique(labels)
    if traits.is_of_classes and not np.isin(there, (0.0, 1.0)).all():
        span = f"{len(there)} different numbers from {there[0]:g} to {there[-1]:g}"
        return f"labels are {span}, allowed: 0 and 1, or text"
    if (traits.target is Target.RELEVANCE or short == "poisson_deviance") and there[0] < 0:
        return f"labels are as low as {there[0]:g}, allowed: 0 and more"
    return ""


def model_problem(sample: Sample, model: str, names: Collection[str]) -> str:
    """Return why a model's scores cannot be used for these metrics; empty if they can."""
    reason = score_problem(sample, model)
    wrong = "" if reason else probability_problem(sample.scores[model], names)
    return f"{model}: {wrong}" if wrong else reason


def probability_problem(scores: Array, names: Collection[str]) -> str:
    """Return why scores are no probabilities, where one of the metrics needs such; empty if they are fine."""
    asked = [name for name in names if (its := traits_of(name)) and its.needs_probabilities]
    if not asked or not len(scores):
        return ""
    if scores.min() < 0 or scores.max() > 1:
        span = f"{scores.min():g} and {scores.max():g}"
        return f"predictions lie between {span}, {asked[0]} needs probabilities"
    off = np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE if scores.ndim == 2 else np.zeros(0, bool)
    return f"probabilities of {int(off.sum())} of {len(scores)} rows do not sum to 1" if off.any() else ""
