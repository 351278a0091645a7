"""Performance of the champion in production, once labels have arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.bootstrap import lower_bound, resampled, upper_bound
from airflow_mlops.core.validation.metrics.registry import metric, usual_drop
from airflow_mlops.core.validation.suitability import metric_problem
from airflow_mlops.core.verdict import Finding, Outcome, Verdict

if TYPE_CHECKING:
    from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
    from airflow_mlops.core.validation.metrics.base import Array, BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement(Record):
    """A metric in production with its confidence bounds, and the value at validation."""

    metric: str
    value: float
    lower: float
    upper: float
    promised: float | None
    rows: int


def judge_performance(
    labels: Array, scores: Array, promised: float | None, policy: PerformancePolicy
) -> tuple[Verdict, Measurement | None]:
    """Compare production with validation.

    FAIL only when the upper confidence bound lies below the value at validation less the allowed drop:
    without degradation a window fails with a probability of at most ``alpha``.

    :param labels: shape ``(n_rows,)``: numbers, or class codes; NaN for a class unknown at training.
    :param scores: ``(n_rows,)`` or ``(n_rows, k)`` for k classes; NaN where an answer is not usable.
    :param promised: the metric at validation; ``None`` if unknown.
    """
    usable = np.isfinite(scores)
    known = np.isfinite(labels) & (usable if scores.ndim == 1 else usable.all(axis=1))
    short = _too_little(labels, known, policy)
    if short:
        return _verdict(Outcome.INCONCLUSIVE, policy, short), None
    labels, scores = labels[known], scores[known]
    wrong = metric_problem(policy.metric, labels, scores)
    if wrong:
        return _verdict(Outcome.INCONCLUSIVE, policy, f"{policy.metric} does not fit: {wrong}"), None
    measure = metric(policy.metric)
    draws = resampled(labels, {"champion": scores}, [measure], resamples=policy.resamples, seed=policy.seed)
    signed = measure.sign * draws["champion", policy.metric]
    low, high = lower_bound(signed, policy.alpha), upper_bound(signed, policy.alpha)
    bounds = sorted((measure.sign * low, measure.sign * high))
    seen = Measurement(
        metric=policy.metric,
        value=measure.point(labels, scores),
        lower=bounds[0],
        upper=bounds[1],
        promised=promised,
        rows=len(labels),
    )
    span = f"{seen.lower:.4f} to {seen.upper:.4f}"
    text = f"{seen.metric} {seen.value:.4f} ({span}) on {seen.rows} labelled requests"
    if promised is None:
        text += "; validation left nothing to compare with"
        return _verdict(Outcome.INCONCLUSIVE, policy, text), seen
    allowed = usual_drop(policy.metric, promised) if policy.max_drop is None else policy.max_drop
    failed = high < measure.sign * promised - allowed
    reason = f"{text}; validation {promised:.4f}, allowed drop {allowed:.4g}"
    return _verdict(Outcome.FAIL if failed else Outcome.PASS, policy, reason), seen


def _too_little(labels: Array, known: BoolArray, policy: PerformancePolicy) -> str:
    missing, usable = int((~known).sum()), labels[known]
    if len(labels) and missing / len(labels) > policy.max_missing:
        share = f"share {missing / len(labels):.2f}, allowed {policy.max_missing:g}"
        return f"{missing} of {len(labels)} labelled requests lack a prediction or a known class ({share})"
    if len(usable) < policy.min_rows:
        return f"{len(usable)} requests have a label and a prediction, needs {policy.min_rows}"
    if len(np.unique(usable)) < 2:
        return f"all labels are {usable[0]:g}"
    return ""


def _verdict(outcome: Outcome, policy: PerformancePolicy, reason: str) -> Verdict:
    finding = Finding(check="performance", subject=policy.metric, outcome=outcome, reason=reason)
    return Verdict.of("performance", [finding])
