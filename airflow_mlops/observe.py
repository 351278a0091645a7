"""Analysis of one observation window of a canary, the same on worker and triggerer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.core.errors import (
    AccessDeniedError,
    EndpointBusyError,
    LeaseLostError,
    MlopsError,
    TransientError,
)
from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.decide import is_alone
from airflow_mlops.core.rollout.machine import abort, advance, answer, intervene
from airflow_mlops.core.rollout.state import Phase

if TYPE_CHECKING:
    from airflow_mlops.backends.metrics.protocol import MetricsSource
    from airflow_mlops.backends.serving.protocol import ServingBackend, Traffic
    from airflow_mlops.core.rollout.lease import Lease
    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.core.rollout.state import RolloutState


def analyse_window(
    backend: ServingBackend,
    endpoint: str,
    plan: RolloutPlan,
    state: RolloutState,
    *,
    now: float,
    metrics: MetricsSource | None = None,
) -> RolloutState:
    """Renew the lease, check the traffic weights, read the counters, and decide.

    A lost lease rolls back: the canary was not monitored for a time, or a later copy of the rollout runs.
    A back end that does not answer, or denies, counts as a missing reading: an API server that has just
    started denies everybody. Denied until the lease has ended, it rolls back.

    :param now: seconds since the epoch.
    :param metrics: source of the counters; ``None``: the back end counts requests itself.
    """
    try:
        lease = keep_lease(backend, endpoint, state, now=now, seconds=plan.lease_seconds)
    except (LeaseLostError, EndpointBusyError) as error:
        return abort(state, f"version {state.version} at {state.given_percent} %: {error}", now=now)
    state = replace(state, lease=lease)
    try:
        problem = intervention(backend.traffic(endpoint), state)
        reading = _read(backend, endpoint, state, metrics, state.last, now=now)
    except (TransientError, AccessDeniedError):
        reading = None
    else:
        state = intervene(state, problem, now=now)
    decided = advance(plan, state, reading, now=now)
    if decided.phase is Phase.ROLLED_BACK:
        _take_out(backend, endpoint, decided)
    return decided


def _take_out(backend: ServingBackend, endpoint: str, state: RolloutState) -> None:
    """Set a canary that is to be rolled back to 0 % at once: the task that does it may wait for a scheduler.

    If that fails, the task and the lease are still there to end it.
    """
    if state.lease is None or state.champion is None:
        return
    with suppress(MlopsError):
        backend.set_traffic(endpoint, state.version, 0, holder=state.lease.holder, lease=state.lease)


def reply(plan: RolloutPlan, state: RolloutState, *, now: float) -> RolloutState:
    """Apply a person's answer about the step to the approval that it may still ask for.

    A step that is held again, for a reason other than the one agreed to, is rolled back.
    """
    said = state.said
    if said is None or not state.asks or state.approved_by or state.intervened:
        return state
    if state.phase is Phase.HELD:
        return abort(state, f"held again after {said.by} agreed: {'; '.join(state.reasons)}", now=now)
    return answer(plan, state, said, now=now)


def is_news(before: RolloutState, after: RolloutState, *, asks: bool) -> bool:
    """Whether the task must be told of a state: it is decided, asks a person, or began to hold.

    :param asks: whether the task can hand a question to a person.
    """
    if not after.is_open or (asks and after.asks):
        return True
    return after.asks and not after.approved_by and after.holds > before.holds


def keep_lease(
    backend: ServingBackend, endpoint: str, state: RolloutState, *, now: float, seconds: float
) -> Lease | None:
    """Renew the lease under which traffic was set; unchanged while the back end does not answer.

    :raises LeaseLostError: it expired, or a later copy of the rollout took over; it expired while the back
        end denied.
    """
    if state.lease is None:
        return None
    try:
        return backend.keep_lease(endpoint, state.lease, now=now, seconds=seconds)
    except TransientError:
        return state.lease
    except AccessDeniedError as error:
        if state.lease.expired(now):
            msg = f"the lease ended while it could not be renewed: {error}"
            raise LeaseLostError(msg) from error
        return state.lease


def intervention(seen: Traffic, state: RolloutState) -> str:
    """Return how traffic differs from what the rollout last wrote; empty if it does not.

    At a cold start the canary gets all requests, whatever was written.
    """
    if seen.canary != state.version:
        return (
            f"INTERVENED: {seen.endpoint}'s canary is version {seen.canary or 'none'}, not {state.version}; "
            "nothing is overwritten"
        )
    if seen.changed:
        return f"INTERVENED: {seen.endpoint}: {seen.changed}; nothing is overwritten"
    if state.champion is None or seen.canary_percent == state.percent:
        return ""
    return (
        f"INTERVENED: {seen.endpoint}'s canary gets {seen.canary_percent} %, last written was "
        f"{state.percent} %; held until it is {state.percent} % again, nothing is overwritten"
    )


def first_reading(
    backend: ServingBackend,
    endpoint: str,
    state: RolloutState,
    metrics: MetricsSource | None = None,
    *,
    now: float,
) -> Reading | None:
    """Return the reading at which a step starts to count; ``None`` if the canary is not up."""
    return _read(backend, endpoint, state, metrics, Reading(), now=now)


def reading_since(
    backend: ServingBackend,
    endpoint: str,
    state: RolloutState,
    metrics: MetricsSource | None = None,
    *,
    now: float,
) -> Reading | None:
    """Return the counters as they are now; ``None`` if they cannot be read, which is no evidence."""
    try:
        return _read(backend, endpoint, state, metrics, state.last, now=now)
    except TransientError:
        return None


def _read(
    backend: ServingBackend,
    endpoint: str,
    state: RolloutState,
    metrics: MetricsSource | None,
    last: Reading,
    *,
    now: float,
) -> Reading | None:
    """Read the arms; of a canary that is alone only its own metrics.

    A champion without traffic may be scaled to zero, and is then no longer known to the source.
    """
    if metrics is None:
        return backend.counters(endpoint).reading(Arms(canary=state.version, stable=state.champion))
    stable = None if is_alone(state) else state.champion
    return metrics.read(Arms(canary=state.version, stable=stable), last, now=now)
