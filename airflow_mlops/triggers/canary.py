"""CanaryAnalysisTrigger: watches one rollout step on the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.core.errors import TransientError
from airflow_mlops.core.rollout.ledger import Reading
from airflow_mlops.core.rollout.machine import advance
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.hooks.serving import ServingHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_mlops.backends.metrics.protocol import MetricsSource
    from airflow_mlops.backends.serving.protocol import Counters, ServingBackend


def read_counters(
    backend: ServingBackend, endpoint: str, state: RolloutState, metrics: MetricsSource | None = None
) -> Reading | None:
    """Read both arms' counters; ``None`` when nobody answers: no evidence, no verdict.

    :param metrics: where requests are counted if the back end does not count them itself.
    """
    try:
        if metrics is not None:
            return metrics.read(arms_of(state), state.last, now=time.time())
        counters = backend.counters(endpoint)
    except TransientError:
        return None
    return reading_of(counters, state)


def first_reading(
    backend: ServingBackend, endpoint: str, state: RolloutState, metrics: MetricsSource | None = None
) -> Reading | None:
    """Read from where a step counts; ``None`` if the canary is not up."""
    if metrics is not None:
        return metrics.read(arms_of(state), Reading(), now=time.time())
    return reading_of(backend.counters(endpoint), state)


def arms_of(state: RolloutState) -> Arms:
    """Return the versions that are compared."""
    return Arms(canary=state.version, stable=state.champion)


def reading_of(counters: Counters, state: RolloutState) -> Reading | None:
    """Translate counters into a reading of the rollout's two arms; ``None`` if the canary has none."""
    canary = counters.versions.get(state.version)
    if canary is None:
        return None
    stable = counters.versions.get(state.champion or "")
    return Reading(
        generation=counters.generation,
        canary_generation=canary.generation,
        stable_generation=stable.generation if stable else "",
        canary_requests=canary.requests,
        canary_errors=canary.errors,
        stable_requests=stable.requests if stable else 0,
        stable_errors=stable.errors if stable else 0,
    )


class CanaryAnalysisTrigger(BaseTrigger):
    """Polls the counters once per window, asks the core, and fires one event when the step is decided.

    It holds no policy and no memory of its own: started again from its arguments (triggerer killed or
    replaced) it takes up counting where the serialised state ends.

    :param plan: a ``RolloutPlan`` as JSON.
    :param state: a ``RolloutState`` as JSON.
    """

    def __init__(self, *, serving_conn_id: str, endpoint: str, plan: dict[str, Any], state: dict[str, Any]):
        super().__init__()
        self.serving_conn_id = serving_conn_id
        self.endpoint = endpoint
        self.plan = plan
        self.state = state

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments to rebuild this trigger from."""
        kwargs = ("serving_conn_id", "endpoint", "plan", "state")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in kwargs}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the decided state as JSON, once."""
        plan, state = RolloutPlan.from_json(self.plan), RolloutState.from_json(self.state)
        hook = ServingHook(self.serving_conn_id)
        backend = await sync_to_async(hook.backend)()
        metrics = await sync_to_async(hook.metrics)(self.endpoint, backend)
        while state.is_open:
            await asyncio.sleep(plan.window_seconds)
            reading = await asyncio.to_thread(read_counters, backend, self.endpoint, state, metrics)
            state = advance(plan, state, reading, now=time.time())
        yield TriggerEvent(state.to_json())
