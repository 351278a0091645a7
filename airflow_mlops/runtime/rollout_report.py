"""Rollout report, built from the documents its tasks stored in the evidence run."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import InvalidRecordError, MlopsError
from airflow_mlops.core.rollout.history import RolloutHistory, steps_of, why_rolled_back
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import RolloutState
from airflow_mlops.runtime.evidence import keep_page
from airflow_mlops.runtime.paths import (
    ROLLOUT_PAGE_PATH,
    ROLLOUT_REPORT_PATH,
    ROLLOUT_START_PATH,
    state_path,
)
from airflow_mlops.runtime.update_report import keep_update_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.core.rollout.end import RolloutEnd
    from airflow_mlops.runtime.evidence import RunEvidence

_logger = logging.getLogger(__name__)


def keep_beginning(evidence: RunEvidence, plan: RolloutPlan, state: RolloutState) -> None:
    """Store the facts of a starting rollout that the report needs."""
    begun = {"version": state.version, "champion": state.champion, "plan": plan.to_json()}
    evidence.keep(ROLLOUT_START_PATH, begun)


def number_of(evidence: RunEvidence, percent: int) -> int:
    """Return the number of a step, from 1; 0 if the plan cannot be read."""
    try:
        begun = evidence.store.read_json(evidence.run, ROLLOUT_START_PATH)
        return RolloutPlan.from_json(begun["plan"]).percents.index(percent) + 1
    except (MlopsError, ValueError):
        return 0


def keep_rollout(
    evidence: RunEvidence,
    model: str,
    context: Context,
    *,
    promoted: bool,
    ended: RolloutEnd | None = None,
) -> RolloutHistory | None:
    """Store the report as JSON and as an HTML page; a failing report never changes the outcome.

    :param ended: how the rollout was ended from outside: a stop, the reaper; it is the report's reason.
    """
    from airflow_mlops.backends.reporting.rollout import render_rollout

    try:
        history = _history(evidence, model, promoted=promoted)
        if ended is not None and not promoted:
            history = replace(history, reason=ended.sentence)
        evidence.keep(ROLLOUT_REPORT_PATH, history)
        keep_page(evidence, ROLLOUT_PAGE_PATH, render_rollout(history), context)
    except MlopsError as error:
        _logger.warning("no report of the rollout of %s: %s", model, error)
        return None
    finally:
        keep_update_of(evidence, model, context)
    return history


def _history(evidence: RunEvidence, model: str, *, promoted: bool) -> RolloutHistory:
    begun = evidence.store.read_json(evidence.run, ROLLOUT_START_PATH)
    plan = RolloutPlan.from_json(begun["plan"])
    paths = [
        state_path(percent, answered=answered) for percent in plan.percents for answered in (False, True)
    ]
    found = [_state(evidence, path) for path in paths]
    steps = steps_of([state for state in found if state])
    return RolloutHistory(
        model=model,
        version=begun["version"],
        champion=begun["champion"],
        promoted=promoted,
        reason="; ".join(steps[-1].reasons) if promoted and steps else why_rolled_back(steps),
        bar=1 / plan.alpha_each,
        advance_bar=1 / plan.alpha,
        ended=time.time(),
        steps=steps,
    )


def _state(evidence: RunEvidence, path: str) -> RolloutState | None:
    try:
        return RolloutState.from_json(evidence.store.read_json(evidence.run, path))
    except InvalidRecordError:
        return None
