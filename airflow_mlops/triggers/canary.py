"""CanaryAnalysisTrigger: watches one rollout step on the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_mlops.backends.serving.watch import look
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.hooks.serving import ServingHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class CanaryAnalysisTrigger(BaseTrigger):
    """Looks once per window, keeping the canary's lease, and fires one event when the step is decided.

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
        backend = await sync_to_async(ServingHook(self.serving_conn_id).backend)()
        while state.is_open:
            await asyncio.sleep(plan.window_seconds)
            state = await asyncio.to_thread(look, backend, self.endpoint, plan, state, now=time.time())
        yield TriggerEvent(state.to_json())
