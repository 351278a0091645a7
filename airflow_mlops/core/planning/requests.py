"""Requests that monitoring and a canary need, by playing their own rules on simulated requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.monitoring.alarm import JudgedWindow, judge_windows
from airflow_mlops.core.monitoring.performance import Promise, judge_performance
from airflow_mlops.core.planning.power import least_rows
from airflow_mlops.core.rollout.evidence.rate import ErrorRateTest
from airflow_mlops.core.rollout.evidence.share import ArmCounts
from airflow_mlops.core.validation.metrics.registry import metric, usual_drop
from airflow_mlops.core.validation.sample import CHALLENGER

if TYPE_CHECKING:
    from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
    from airflow_mlops.core.planning.claims import Large
    from airflow_mlops.core.rollout.plan import RolloutPlan

_SEED, _PLAYED, _RESAMPLES = 20130101, 40, 200
_ROUGHLY, MOST_REQUESTS = 0.1, 100_000
_MOST_WINDOWS = 20_000


def requests_to_find_a_drop(
    large: Large, policy: PerformancePolicy, promised_rows: int, wanted: float = 0.8
) -> int | None:
    """Return the labelled requests of a first window with which a drop of twice the allowed is an alarm.

    As many in several smaller windows find it somewhat less often: the alarm is over all of a champion's.

    ``None`` if none suffice: the promise from so few held-back rows is too uncertain itself.

    :param promised_rows: held-back rows that the value at validation rests on.
    """
    assumed, sign = large.assumed, metric(policy.metric).sign
    value = assumed.value if assumed.value is not None else large.value(policy.metric)
    allowed = usual_drop(policy.metric, value) if policy.max_drop is None else policy.max_drop
    if allowed == 0:
        return None
    promise = _promised(large, policy.metric, value, promised_rows)
    worse = replace(assumed, metric=policy.metric, value=value - 2 * sign * allowed)
    quick = replace(policy, resamples=_RESAMPLES)

    def found(requests: int) -> float:
        rng = np.random.default_rng(_SEED)
        hits = 0
        for _ in range(_PLAYED):
            window = worse.sample(rng, requests)
            _, seen = judge_performance(window.labels, window.scores[CHALLENGER], promise, quick)
            alarm = judge_windows([JudgedWindow.of("1", seen)], promise, quick)
            hits += alarm.p_value <= quick.alpha
        return hits / _PLAYED

    return least_rows(found, wanted, within=_ROUGHLY, fewest=policy.min_rows, most=MOST_REQUESTS)


def _promised(large: Large, name: str, value: float, rows: int) -> Promise:
    """Return the promise that a validation on so many rows would give."""
    alpha, its = large.policy.alpha, large.promise(name, value).at(rows)
    return Promise(value=value, lower=its.lower(alpha), upper=its.upper(alpha), alpha=alpha, rows=rows)


def requests_to_advance(
    plan: RolloutPlan, per_window: float, error_rate: float, wanted: float = 0.8
) -> int | None:
    """Return the requests the canary must answer until its error rate is shown to be below the bar.

    ``None`` if it is not shown within 20,000 windows: the rate is not far enough below the bar.

    :param per_window: mean number of requests to the canary in a window.
    :param error_rate: its true rate.
    """
    rng = np.random.default_rng(_SEED)
    taken = [_played(plan, rng, per_window, error_rate) for _ in range(_PLAYED if error_rate else 1)]
    found = float(np.quantile(taken, wanted, method="higher"))
    return int(found) if np.isfinite(found) else None


def _played(plan: RolloutPlan, rng: np.random.Generator, per_window: float, error_rate: float) -> float:
    test, asked = ErrorRateTest(allowed=plan.max_error_rate, burst=plan.burst), 0.0
    for number in range(_MOST_WINDOWS):
        before, asked = asked, per_window * (number + 1)
        count = int(asked) - int(before)
        if not count:
            continue
        failed = int(rng.binomial(count, error_rate))
        test.observe(
            ArmCounts(canary_requests=count, canary_errors=failed, stable_requests=0, stable_errors=0)
        )
        if test.below_e_value >= 1 / plan.alpha:
            return max(float(plan.min_requests), float(int(asked)))
    return float("inf")
