"""One look at a canary, the same on worker and triggerer: keep its lease, check its weight, decide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.core.errors import EndpointBusyError, LeaseLostError, TransientError
from airflow_mlops.core.rollout.counters import Reading
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
    """Take one window into account.

    A lease that is lost ends the rollout: nobody watched the canary meanwhile, or a later copy does.

    :param now: seconds since the epoch.
    :param metrics: where requests are counted if the back end does not count them itself.
    """
    try:
        lease = keep_lease(backend, endpoint, state, now=now, seconds=plan.lease_seconds)
    except (LeaseLostError, EndpointBusyError) as error:
        return abort(state, f"version {state.version} at {state.percent} %: {error}", now=now)
    state = replace(state, lease=lease)
    try:
        problem = intervention(backend.traffic(endpoint), state)
        reading = _read(backend, endpoint, state, metrics, state.last, now=now)
    except TransientError:
        return advance(plan, state, None, now=now)
    return advance(plan, intervene(state, problem, now=now), reading, now=now)


def reply(plan: RolloutPlan, state: RolloutState, *, now: float) -> RolloutState:
    """Repeat what a person said about the step to the approval it may still ask for.

    A step that is held once more, for another reason than was agreed to, is rolled back.
    """
    said = state.said
    if said is None or not state.asks or state.approved_by or state.intervened:
        return state
    if state.phase is Phase.HELD:
        return abort(state, f"held again after {said.by} agreed: {'; '.join(state.reasons)}", now=now)
    return answer(plan, state, said, now=now)


def is_news(before: RolloutState, after: RolloutState, *, asks: bool) -> bool:
    """Whether somebody has to hear of a state: decided, a question, or a hold that began.

    :param asks: whether a question can be handed over to a person.
    """
    if not after.is_open or (asks and after.asks):
        return True
    return after.asks and not after.approved_by and after.holds > before.holds


def keep_lease(
    backend: ServingBackend, endpoint: str, state: RolloutState, *, now: float, seconds: float
) -> Lease | None:
    """Renew the lease under which traffic was set; a back end that does not answer is asked again later.

    :raises LeaseLostError: it ran out, or a later copy of the rollout took over.
    """
    if state.lease is None:
        return None
    try:
        return backend.keep_lease(endpoint, state.lease, now=now, seconds=seconds)
    except TransientError:
        return state.lease


def intervention(seen: Traffic, state: RolloutState) -> str:
    """Say in which way traffic is not what the rollout last wrote; empty when it is.

    At a cold start the canary has all requests whatever was written.
    """
    if seen.canary != state.version:
        return (
            f"INTERVENED: {seen.endpoint}'s canary is version {seen.canary or 'none'}, not {state.version}; "
            "nothing is overwritten"
        )
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
    """Read from where a step counts; ``None`` if the canary is not up."""
    return _read(backend, endpoint, state, metrics, Reading(), now=now)


def _read(
    backend: ServingBackend,
    endpoint: str,
    state: RolloutState,
    metrics: MetricsSource | None,
    last: Reading,
    *,
    now: float,
) -> Reading | None:
    arms = Arms(canary=state.version, stable=state.champion)
    if metrics is not None:
        return metrics.read(arms, last, now=now)
    return backend.counters(endpoint).reading(arms)
