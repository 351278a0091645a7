"""What the tasks of a rollout step do with what was seen: keep it, say it, go on or fail with the reason."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import GateFailedError
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.rollout_report import state_path

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.core.rollout.state import RolloutState

_logger = logging.getLogger(__name__)


def keep_state(
    mlflow_conn_id: str, model: str, context: Context, state: RolloutState, *, asked: bool
) -> None:
    """Keep a state in the evidence run, and log the windows that led to it.

    :param asked: whether a person was asked before; what was seen until then is kept beside it.
    """
    evidence = open_evidence(mlflow_conn_id, model, context)
    evidence.keep(state_path(state.percent, answered=asked), state)
    evidence.store.log_metrics(evidence.run, {"canary_e_value": state.share.e_value}, step=state.percent)
    _log_trace(state)
    if state.intervened:
        evidence.store.set_tags(evidence.run, {"mlops.rollout": "intervened"})
        _logger.warning("%s", "; ".join(state.reasons))


def is_of_another_step(seen: RolloutState, own: RolloutState) -> bool:
    """Whether a state is not what became of a task's own: its trigger watched traffic of an earlier try.

    Airflow hands events to tasks by the number of their trigger, and SQLite gives the number of a deleted
    trigger to the next one: a step that was cleared may hear of its former self.
    """
    if seen.step_since == own.step_since:
        return False
    _logger.warning("what a trigger of an earlier try saw does not count; watching on")
    return True


def hand_over(state: RolloutState, *, traced: bool = False) -> dict[str, Any]:
    """Return a state as JSON for the next task.

    :param traced: whether the next task goes on with the same windows.
    :raises AirflowFailException: the step is to be rolled back; the reason comes first.
    """
    with fail_fast():
        if not (state.is_open or state.may_go_on):
            msg = f"{state.decision}: {'; '.join(state.reasons)}"
            raise GateFailedError(msg)
    return replace(state, trace=state.trace if traced else ()).to_json()


def _log_trace(state: RolloutState) -> None:
    for point in state.trace:
        seen = point.window
        _logger.info(
            "%d %%: canary %d/%d failed, stable %d/%d failed, e-value %.3g",
            *(point.percent, seen.canary_errors, seen.canary_requests),
            *(seen.stable_errors, seen.stable_requests, point.e_value),
        )
    _logger.info("%s: %s", state.decision, "; ".join(state.reasons))
