"""Triggers that watch one rollout step on the triggerer, also while a person is asked about it."""

from __future__ import annotations

import asyncio
import contextvars
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.observe import analyse_window, is_news, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_T = TypeVar("_T")
_POOL_THREADS = 32
POOL = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="canary")
"""Back ends block, and some wait: not on the event loop, nor in the threads that Airflow shares with it.

So many looks of 0.3 s can be taken at once that a thousand steps are looked at every ten seconds.
"""


class CanaryAnalysisTrigger(BaseTrigger):
    """Looks once per window, keeping the canary's lease, and fires one event when the step is decided.

    It holds no policy and no memory of its own: started again from its arguments (triggerer killed or
    replaced) it takes up counting where the serialised state ends.

    :param plan: a ``RolloutPlan`` as JSON.
    :param state: a ``RolloutState`` as JSON.
    :param asks: also fire when a person has to answer.
    """

    def __init__(
        self,
        *,
        serving_conn_id: str,
        endpoint: str,
        plan: dict[str, Any],
        state: dict[str, Any],
        asks: bool = False,
    ) -> None:
        super().__init__()
        self.serving_conn_id = serving_conn_id
        self.endpoint = endpoint
        self.plan = plan
        self.state = state
        self.asks = asks

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments to rebuild this trigger from."""
        kwargs = ("serving_conn_id", "endpoint", "plan", "state", "asks")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in kwargs}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield as JSON, once, the state that the task has to hear of."""
        yield await self._watched()

    async def _watched(self) -> TriggerEvent:
        plan, state = await _in_pool(self._read)
        look_at = await _in_pool(self._looking, plan)
        due = first_analysis_at(self.endpoint, plan, state, now=time.time())
        while state.is_open:
            await asyncio.sleep(due - time.time())
            before, state = state, await _in_pool(look_at, state)
            if is_news(before, state, asks=self.asks):
                break
            due = max(due + plan.window_seconds, time.time())
        return TriggerEvent(await _in_pool(state.to_json))

    def _read(self) -> tuple[RolloutPlan, RolloutState]:
        return RolloutPlan.from_json(self.plan), RolloutState.from_json(self.state)

    def _looking(self, plan: RolloutPlan) -> Callable[[RolloutState], RolloutState]:
        hook = ServingHook(self.serving_conn_id)
        backend = hook.shared_backend()
        metrics = hook.metrics(self.endpoint, backend, plan.metrics)

        def look_at(state: RolloutState) -> RolloutState:
            now = time.time()
            return reply(
                plan, analyse_window(backend, self.endpoint, plan, state, now=now, metrics=metrics), now=now
            )

        return look_at


class AskedRolloutTrigger(CanaryAnalysisTrigger):
    """Watches a canary while a person is asked: fires at what is seen, or at the end of the time to answer.

    An answer resumes the task without a trigger, by Airflow's API; one that came before the task was
    deferred is found here.

    :param ti_id: id of the task instance that asks.
    :param until: when nobody's answer is an answer, seconds since the epoch.
    :param options: what may be answered, the default last.
    """

    def __init__(self, *, ti_id: str, until: float, options: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ti_id = ti_id
        self.until = until
        self.options = options

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments to rebuild this trigger from."""
        path, kwargs = super().serialize()
        return path, {**kwargs, "ti_id": self.ti_id, "until": self.until, "options": self.options}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield once: a state as JSON, or an answer as Airflow hands it to the task that asked."""
        waiting = [asyncio.create_task(each) for each in (self._watched(), self._answered())]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            yield next(task for task in waiting if task in done).result()
        finally:
            for task in waiting:
                task.cancel()

    async def _answered(self) -> TriggerEvent:
        from airflow.providers.standard.triggers.hitl import HITLTrigger

        question = HITLTrigger(
            ti_id=UUID(self.ti_id),
            options=self.options,
            params={},
            defaults=self.options[-1:],
            timeout_datetime=datetime.fromtimestamp(self.until, UTC),
            poke_interval=self.plan["window_seconds"],
        )
        return await anext(aiter(question.run()))


def first_analysis_at(endpoint: str, plan: RolloutPlan, state: RolloutState, *, now: float) -> float:
    """Return when to look first, seconds since the epoch: a window after the state was last looked at.

    Those that are late, as all are when a triggerer starts again, are spread over a window.
    """
    due = state.clock + plan.window_seconds
    if due >= now:
        return min(due, now + plan.window_seconds)
    return now + plan.window_seconds * zlib.crc32(endpoint.encode()) / 2**32


async def _in_pool(function: Callable[..., _T], *args: Any) -> _T:
    work = partial(contextvars.copy_context().run, function, *args)
    return await asyncio.get_running_loop().run_in_executor(POOL, work)
