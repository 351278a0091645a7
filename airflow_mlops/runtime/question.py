"""Human-in-the-loop tasks: recover answers that Airflow drops; see the how-to on approval."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops.triggers.answer import AnswerTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.standard.operators.hitl import HITLOperator
    from airflow.sdk import Context

_LEAST_RETRIES = 2


def retries_of_a_question(retries: int, given: Mapping[str, Any]) -> int:
    """Return the retries of a task that asks a person: at least 2, unless its author set them.

    Airflow may drop an answer, which must not fail the run.

    :param given: arguments of the operator.
    """
    if "retries" in (given.get("default_args") or {}) | dict(given):
        return retries
    return max(retries, _LEAST_RETRIES)


def look_for_answer(task: HITLOperator, ti_id: object) -> None:
    """Defer until the answer to an earlier try was looked up; asking again would delete it.

    The task continues in its ``execute_unless_answered``, with ``{}`` if there is no answer.
    """
    trigger = AnswerTrigger(ti_id=str(ti_id))
    task.defer(trigger=trigger, method_name="execute_unless_answered")


def take_answer(task: HITLOperator, context: Context, event: dict[str, Any]) -> Any:
    """Continue with the answer that Airflow stored, as if the task had received it."""
    task.log.warning("the question was answered before, but the task did not receive it; using that answer")
    at = datetime.fromisoformat(event["responded_at"])
    return task.execute_complete(context, {**event, "responded_at": at})
