"""AnswerTrigger: reads a person's answer to an earlier try of a task, before the task asks again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow.sdk.api.datamodels._generated import HITLDetailResponse

PAUSE_SECONDS = 2.0
"""Lets Airflow's executor see the end of the worker before the task resumes; see the how-to on approval."""


class AnswerTrigger(BaseTrigger):
    """Fires one event: the answer that Airflow stores for a task instance, ``{}`` if there is none.

    Only the triggerer may read the answer: a task's own process cannot, and asking again deletes it.

    :param ti_id: id of the task instance.
    """

    def __init__(self, *, ti_id: str) -> None:
        super().__init__()
        self.ti_id = ti_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments to rebuild this trigger from."""
        return f"{__name__}.{type(self).__name__}", {"ti_id": self.ti_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the answer, once."""
        await asyncio.sleep(PAUSE_SECONDS)
        try:
            found = await sync_to_async(get_hitl_detail_content_detail)(ti_id=self.ti_id)
        except AirflowRuntimeError:  # the try before ended before it asked
            found = None
        yield TriggerEvent(_answer(found))


def _answer(found: HITLDetailResponse | None) -> dict[str, Any]:
    if found is None or not found.response_received or found.responded_by_user is None:
        return {}
    return {
        "chosen_options": list(found.chosen_options or []),
        "params_input": found.params_input or {},
        "responded_at": found.responded_at.isoformat() if found.responded_at else "",
        "responded_by_user": {"id": found.responded_by_user.id, "name": found.responded_by_user.name},
    }
