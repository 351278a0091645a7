"""Triggers that analyse one rollout step on the triggerer, also while a person is asked about it."""

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

from airflow_mlops.backends.serving.live import keep_live
from airflow_mlops.core.rollout.live import change_of
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.observe import analyse_window, is_news, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from airflow_mlops.core.rollout.plan import RolloutMetric

_T = TypeVar("_T")
_POOL_THREADS = 32
POOL = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="canary")
"""Runs the blocking calls of back ends, off the event loop and off the threads that Airflow shares with it.

Sized for a thousand steps analysed every ten seconds at 0.3 s each.
"""


class CanaryAnalysisTrigger(BaseTrigger):
    """Analyses one window after another, renewing the lease, and fires one event when the step is decided.

    The decision is :func:`~airflow_mlops.observe.analyse_window`. The trigger keeps no state: restarted from
    its arguments (triggerer killed or replaced), it continues counting from the serialised state.

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
        """Yield once, as JSON, the state that the task must be told of."""
        yield await self._watched()

    async def _watched(self) -> TriggerEvent:
        plan, state = await _in_pool(self._read)
        analyse = await _in_pool(self._analysis, plan, state.watched)
        self._log_change(None, state)
        due = first_analysis_at(self.endpoint, plan, state, now=time.time())
        while state.is_open:
            await asyncio.sleep(due - time.time())
            before, state = state, await _in_pool(analyse, state)
            self._log_change(before, state)
            if is_news(before, state, asks=self.asks):
                break
            due = max(due + plan.window_seconds, time.time())
        return TriggerEvent(await _in_pool(state.to_json))

    def _read(self) -> tuple[RolloutPlan, RolloutState]:
        return RolloutPlan.from_json(self.plan), RolloutState.from_json(self.state)

    def _analysis(
        self, plan: RolloutPlan, watched: Collection[RolloutMetric]
    ) -> Callable[[RolloutState], RolloutState]:
        hook = ServingHook(self.serving_conn_id)
        backend = hook.shared_backend()
        metrics = hook.metrics(self.endpoint, backend, watched)

        def analyse(state: RolloutState) -> RolloutState:
            now = time.time()
            after = reply(
                plan, analyse_window(backend, self.endpoint, plan, state, now=now, metrics=metrics), now=now
            )
            keep_live(backend, self.endpoint, plan, after)
            return after

        return analyse

    def _log_change(self, before: RolloutState | None, after: RolloutState) -> None:
        """Write a line to the task's log when a window changed something: triggers must be quiet."""
        change = change_of(before, after)
        if change:
            self.log.info("%s: %s", self.endpoint, change)


class AskedRolloutTrigger(CanaryAnalysisTrigger):
    """Analyses a canary while a person is asked: fires on a decision, an answer, or the answer's deadline.

    An answer resumes the task through Airflow's API, without the trigger; an answer given before the task
    was deferred is found here.

    :param ti_id: id of the task instance that asks.
    :param until: deadline after which the default option holds, seconds since the epoch.
    :param options: possible answers, the default last.
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
        """Yield once: a state as JSON, or an answer in the form that Airflow passes to the asking task."""
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
    """Return the time of the first analysis, seconds since the epoch: one window after the state's clock.

    Overdue analyses, as all are after a restart of the triggerer, are spread over one window.
    """
    due = state.clock + plan.window_seconds
    if due >= now:
        return min(due, now + plan.window_seconds)
    return now + plan.window_seconds * zlib.crc32(endpoint.encode()) / 2**32


async def _in_pool(function: Callable[..., _T], *args: Any) -> _T:
    work = partial(contextvars.copy_context().run, function, *args)
    return await asyncio.get_running_loop().run_in_executor(POOL, work)
