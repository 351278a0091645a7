"""CanaryAnalysisTrigger: watches one rollout step on the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_mlops.backends.serving.watch import is_news, look, reply
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import Answer, RolloutState
from airflow_mlops.hooks.serving import ServingHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class CanaryAnalysisTrigger(BaseTrigger):
    """Looks once per window, keeping the canary's lease, and fires one event when the step is decided.

    It holds no policy and no memory of its own: started again from its arguments (triggerer killed or
    replaced) it takes up counting where the serialised state ends.

    :param plan: a ``RolloutPlan`` as JSON.
    :param state: a ``RolloutState`` as JSON.
    :param asks: also fire when a person has to answer.
    :param answer: what a person said about this step, as JSON; empty if nobody was asked.
    """

    def __init__(
        self,
        *,
        serving_conn_id: str,
        endpoint: str,
        plan: dict[str, Any],
        state: dict[str, Any],
        asks: bool = False,
        answer: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.serving_conn_id = serving_conn_id
        self.endpoint = endpoint
        self.plan = plan
        self.state = state
        self.asks = asks
        self.answer = answer or {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments to rebuild this trigger from."""
        kwargs = ("serving_conn_id", "endpoint", "plan", "state", "asks", "answer")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in kwargs}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield as JSON, once, the state that the task has to hear of."""
        plan, state = RolloutPlan.from_json(self.plan), RolloutState.from_json(self.state)
        said = Answer.from_json(self.answer) if self.answer else None
        hook = ServingHook(self.serving_conn_id)
        backend = await sync_to_async(hook.backend)()
        metrics = await sync_to_async(hook.metrics)(self.endpoint, backend, plan.metrics)
        while state.is_open:
            await asyncio.sleep(plan.window_seconds)
            before, now = state, time.time()
            watched = (backend, self.endpoint, plan, before)
            state = await asyncio.to_thread(look, *watched, now=now, metrics=metrics)
            state = reply(plan, state, said, now=now)
            if is_news(before, state, asks=self.asks):
                break
        yield TriggerEvent(state.to_json())
