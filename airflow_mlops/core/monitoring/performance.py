"""Performance of the champion in production, once labels have arrived."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from airflow_mlops.core.monitoring.coverage import MOST_MISSING, Coverage, coverage_of
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.bootstrap import Resampling
from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.metrics.registry import metric
from airflow_mlops.core.validation.suitability import metric_problem, probability_problem
from airflow_mlops.core.verdict import Finding, Outcome, Verdict

if TYPE_CHECKING:
    from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
    from airflow_mlops.core.validation.metrics.base import Array, BoolArray

_LEAST_QUANTILE = 1e-3
_ERROR_LEVEL = 0.05  # of the bound by which a standard error is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise(Record):
    """A metric at validation: an estimate too, from the held-back rows.

    :param lower, upper: one-sided confidence bounds; ``None`` if unknown, e.g. of a value from training.
    :param alpha: their level; validation's is smaller after several tries on the same rows.
    :param rows: held-back rows it comes from; 0 if unknown.
    """

    value: float
    lower: float | None = None
    upper: float | None = None
    alpha: float = 0.05
    rows: int = 0

    def error(self, sign: float) -> float | None:
        """Return the standard error towards a worse value, as the bound has it; ``None`` if unknown.

        :param sign: the metric's direction: of one of which more is better, the promise may be too good.
        """
        end = self.lower if sign > 0 else self.upper
        return None if end is None else abs(self.value - end) / _quantile(self.alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement(Record):
    """A metric in production with its confidence bounds, and the value at validation.

    :param lower, upper: one-sided bounds.
    :param drop_lower: lower bound of how much worse it is than promised; ``None`` without a promise.
    :param error: standard error of the value towards the promise, as its bound has it.
    :param units: requests or entities that the value rests on; of several classes, those of the rarest.
    :param counts: whether the window is evidence over time: it tells something, whatever it tells.
    """

    metric: str
    value: float
    lower: float
    upper: float
    promised: float | None
    rows: int
    drop_lower: float | None = None
    error: float = 0.0
    units: int = 0
    coverage: Coverage | None = None
    counts: bool = False


def judge_performance(
    labels: Array,
    scores: Array,
    promised: Promise | None,
    policy: PerformancePolicy,
    *,
    unlabelled: Array | None = None,
    entities: np.ndarray[Any, Any] | None = None,
) -> tuple[Verdict, Measurement | None]:
    """Compare one window of production with validation.

    FAIL only when the lower confidence bound of the drop, the value at validation less that in production,
    lies above the allowed drop. Both values are estimates: their bounds are combined into one of the
    difference (MOVER, Zou and Donner 2008). So without degradation a window fails with a probability of at
    most ``alpha``, over models and windows; of windows one after another
    :func:`~airflow_mlops.core.monitoring.alarm.judge_windows` tells.

    Neither PASS nor FAIL if the labels that are missing could turn it, and too many are missing or their
    scores are other than usual.

    :param labels: shape ``(n_rows,)``: numbers, or class codes; NaN for a class unknown at training.
    :param scores: ``(n_rows,)`` or ``(n_rows, k)`` for k classes; NaN where an answer is not usable.
    :param promised: the metric at validation; ``None`` if unknown.
    :param unlabelled: scores of the window's predictions that have no label.
    :param entities: ``(n_rows,)``: whose row it is; rows of one entity are drawn together.
    """
    known = np.isfinite(labels) & _usable(scores)
    short = _too_little(labels, known, policy)
    if short:
        return _verdict(Outcome.INCONCLUSIVE, policy, short), None
    labels, scores = labels[known], scores[known]
    wrong = metric_problem(policy.metric, labels, scores) or probability_problem(scores, [policy.metric])
    if wrong:
        return _verdict(Outcome.INCONCLUSIVE, policy, f"{policy.metric} does not fit: {wrong}"), None
    without = scores[:0] if unlabelled is None else unlabelled[_usable(unlabelled)]
    coverage = coverage_of(policy.metric, labels, scores, without)
    seen = _measured(labels, scores, promised, policy, None if entities is None else entities[known])
    few = _too_few(seen, policy, "requests of the rarest class" if entities is None else "entities")
    seen = replace(
        seen, coverage=coverage, counts=not few and coverage.is_representative(policy.max_unlabelled)
    )
    text = f"{seen.metric} {seen.value:.4f} ({seen.lower:.4f} to {seen.upper:.4f})"
    text += f" on {seen.rows} labelled requests" + (f"; {coverage.told()}" if coverage.unlabelled else "")
    if few or promised is None or seen.drop_lower is None:
        why = few or "validation left nothing to compare with"
        return _verdict(Outcome.INCONCLUSIVE, policy, f"{text}; {why}"), seen
    allowed = policy.allowed(promised.value)
    text += f"; {_told(promised)}, allowed drop {allowed:.4g}"
    outcome = Outcome.FAIL if seen.drop_lower > allowed else Outcome.PASS
    if _is_open(seen, outcome, promised.value, policy):
        outcome, text = Outcome.INCONCLUSIVE, f"{text}; the missing labels could turn a {outcome}"
    return _verdict(outcome, policy, text), seen


def _is_open(seen: Measurement, outcome: Outcome, promised: float, policy: PerformancePolicy) -> bool:
    """Say whether missing labels could turn the outcome, and there is a reason to fear so.

    A pass is turned if with the worst labels the upper bound of the drop is above the allowed one, a failure
    if with the best ones the lower bound is not.
    """
    coverage, allowed = seen.coverage, policy.allowed(promised)
    if coverage is None or seen.drop_lower is None:
        return False
    fails, sign = outcome is Outcome.FAIL, metric(seen.metric).sign
    most = max(policy.max_unlabelled, MOST_MISSING) if fails else policy.max_unlabelled
    if not coverage.unlabelled or (coverage.missing <= most and not coverage.is_selective):
        return False
    if coverage.best is None or coverage.worst is None:
        return True
    if fails:
        return seen.drop_lower - sign * (coverage.best - seen.value) <= allowed
    width = sign * (promised - seen.value) - seen.drop_lower
    return sign * (promised - coverage.worst) + width > allowed


def _usable(scores: Array) -> BoolArray:
    usable = np.isfinite(scores)
    return usable if scores.ndim == 1 else np.asarray(usable.all(axis=1))


def _measured(
    labels: Array,
    scores: Array,
    promised: Promise | None,
    policy: PerformancePolicy,
    entities: np.ndarray[Any, Any] | None,
) -> Measurement:
    measure = metric(policy.metric)
    drawn = Resampling.of(len(labels), resamples=policy.resamples, seed=policy.seed, entities=entities)
    estimate = drawn.draws(measure, Scored.of(labels, scores), 1)[0]
    point, lower, upper = estimate.point, estimate.lower(policy.alpha), estimate.upper(policy.alpha)
    far = (upper if measure.sign > 0 else lower) - point
    level = min(policy.alpha, _ERROR_LEVEL)
    reached = estimate.upper(level) if measure.sign > 0 else estimate.lower(level)
    return Measurement(
        metric=policy.metric,
        value=point,
        lower=lower,
        upper=upper,
        promised=None if promised is None else promised.value,
        rows=len(labels),
        drop_lower=None
        if promised is None
        else _drop_lower(promised, point, far, measure.sign, policy.alpha),
        error=abs(reached - point) / _quantile(level),
        units=estimate.units,
    )


def _drop_lower(promised: Promise, value: float, far: float, sign: float, alpha: float) -> float:
    """Return the lower bound of ``promised - value``, in the metric's own direction.

    Half a width of each is that towards the other: the promise may have been too good, the window too bad.

    :param far: of the window.
    """
    own = (promised.error(sign) or 0.0) * max(0.0, -float(special.ndtri(alpha)))
    return float(sign * (promised.value - value) - np.hypot(own, far))


def _quantile(alpha: float) -> float:
    """Return how many standard errors a bound at a level is away; at one half it is the value itself."""
    return max(-float(special.ndtri(alpha)), _LEAST_QUANTILE)


def _told(promised: Promise) -> str:
    if promised.lower is None or promised.upper is None:
        return f"validation {promised.value:.4f}, whose own error is not known"
    return f"validation {promised.value:.4f} ({promised.lower:.4f} to {promised.upper:.4f})"


def _too_few(seen: Measurement, policy: PerformancePolicy, what: str) -> str:
    """Return why the value tells nothing: it has no bounds, or rests on few requests of a class."""
    if not np.isfinite([seen.value, seen.lower, seen.upper]).all():
        return "it has no value in many resamples: too few requests of a kind that it needs"
    if seen.units < policy.min_class_rows:
        return f"it rests on {seen.units} {what}, needs {policy.min_class_rows}"
    return ""


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
