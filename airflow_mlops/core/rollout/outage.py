"""Circuit breaker: a canary that is down is rolled back at once, whatever the sequential tests say.

The tests forgive what one cause may do, and a bet on a canary with half of the traffic can at most double.
Both cost time when nearly everything fails. This rule looks at the failed share itself. It has no part of
``alpha``: its false rollbacks are simulated (``make bench-canary``), not bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.rollout.counters import ZERO_COUNTS
from airflow_mlops.core.rollout.evidence.block import LONGEST
from airflow_mlops.core.rollout.plan import RolloutMetric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mlops.core.rollout.evidence.share import ArmCounts
    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.core.rollout.state import RolloutState, TracePoint

LEAST_WINDOWS = 2
STABLE_TIMES = 0.5
"""The champion's share of failures has to be below that many times the canary's."""
ALONE_SHARE = 0.9
"""Share that fails in an outage of a canary that worked before and has no champion beside it."""


def outage(plan: RolloutPlan, state: RolloutState, *, alone: bool) -> str:
    """Return what failed if the canary is down, else an empty text.

    Down is: of at least ``outage_requests`` of the canary's requests, in the last two windows or more,
    ``outage_share`` failed, and so it did in each of the last two. In none of these windows, nor in
    ``retry_horizon`` before them (a slower canary reports an outage of both later), the champion failed half
    as often.

    Alone, an outage of all versions looks the same, so it has to be one from the step's first window on, or
    one of 9 in 10 requests that lasts longer than a single cause.
    """
    if not plan.outage_share or RolloutMetric.ERRORS not in plan.metrics:
        return ""
    latest = [point.window for point in state.trace if point.window.canary_requests][-LEAST_WINDOWS:]
    if len(latest) < LEAST_WINDOWS or not all(_fails(window, plan.outage_share) for window in latest):
        return ""
    return _alone(plan, state) if alone else _beside(plan, state)


def _beside(plan: RolloutPlan, state: RolloutState) -> str:
    for start, seen in _latest(state.trace):
        if seen.canary_requests < plan.outage_requests:
            continue
        began = _began(plan, state, start)
        near = [p for i, p in enumerate(state.trace) if i >= start or p.at > began - plan.linked_seconds]
        stable = max(_stable_share(point.window) for point in near)
        worse = stable < STABLE_TIMES * seen.canary_errors / seen.canary_requests
        down = seen.stable_requests and worse and _fails(seen, plan.outage_share)
        return _said(seen, state.clock - began) if down else ""
    return ""


def _alone(plan: RolloutPlan, state: RolloutState) -> str:
    asked, failed = state.step_requests, state.step_errors
    if asked >= plan.outage_requests and failed >= plan.outage_share * asked:
        return f"outage: {failed} of {asked} requests failed since the step began"
    for start, seen in _latest(state.trace):
        seconds = state.clock - _began(plan, state, start)
        if seen.canary_requests >= plan.outage_requests and seconds >= LONGEST * plan.linked_seconds:
            return _said(seen, seconds) if _fails(seen, ALONE_SHARE) else ""
    return ""


def _latest(trace: tuple[TracePoint, ...]) -> Iterator[tuple[int, ArmCounts]]:
    """Yield where the last two, three, … windows begin, and their counts together."""
    seen = ZERO_COUNTS
    for start in range(len(trace) - 1, -1, -1):
        seen += trace[start].window
        if len(trace) - start >= LEAST_WINDOWS:
            yield start, seen


def _began(plan: RolloutPlan, state: RolloutState, start: int) -> float:
    """Return when a window began; of the first one that is known, at most its planned length ago."""
    if start:
        return state.trace[start - 1].at
    return max(state.step_since, state.trace[0].at - plan.window_seconds)


def _fails(window: ArmCounts, share: float) -> bool:
    return window.canary_errors >= share * window.canary_requests


def _stable_share(window: ArmCounts) -> float:
    return window.stable_errors / window.stable_requests if window.stable_requests else 0.0


def _said(seen: ArmCounts, seconds: float) -> str:
    beside = f"; of stable {seen.stable_errors} of {seen.stable_requests}" if seen.stable_requests else ""
    return (
        f"outage: {seen.canary_errors} of {seen.canary_requests} requests failed in {seconds:.0f} s{beside}"
    )
