"""State of a rollout step at the end of a task: store it, log it, hand it to the next task or fail."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import GateFailedError
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import state_path

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.core.rollout.state import RolloutState

_logger = logging.getLogger(__name__)


def keep_state(
    mlflow_conn_id: str, model: str, context: Context, state: RolloutState, *, asked: bool
) -> None:
    """Store a state in the evidence run and log the windows that led to it.

    :param asked: whether a person was asked; the state at the time of the question is stored beside it.
    """
    evidence = open_evidence(mlflow_conn_id, model, context)
    evidence.keep(state_path(state.percent, answered=asked), state)
    evidence.store.log_metrics(evidence.run, {"canary_e_value": state.share.e_value}, step=state.percent)
    _log_trace(state)
    if state.intervened:
        evidence.store.set_tags(evidence.run, {"mlops.rollout": "intervened"})
        _logger.warning("%s", "; ".join(state.reasons))


def is_of_another_step(seen: RolloutState, own: RolloutState) -> bool:
    """Return whether a state comes from a trigger of an earlier try and must be ignored.

    Airflow addresses events by the id of the trigger, and SQLite reuses the id of a deleted trigger, so a
    cleared step may receive an event of its earlier try.
    """
    if seen.step_since == own.step_since:
        return False
    _logger.warning("ignoring an event of an earlier try's trigger; the analysis continues")
    return True


def hand_over(state: RolloutState, *, traced: bool = False) -> dict[str, Any]:
    """Return a state as JSON for the next task.

    :param traced: whether to include the windows, for a task that continues the same step.
    :raises AirflowFailException: the step must be rolled back; the message starts with the decision.
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
