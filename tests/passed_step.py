"""A rollout of version 2 of model m, and the tasks that raise its traffic."""

from __future__ import annotations

from builders import plan

from airflow_mlops.operators.rollout import PromoteModelOperator, SetTrafficOperator

PLAN = plan(bake_seconds=0.0, window_seconds=1.0, deadline_seconds=600.0, lease_seconds=60.0)
COMMON = {"model": "m", "version": "2"}
HOLDER = "m__stage/run-1"


def shift(state, percent=50):
    known = state if isinstance(state, dict) else state.to_json()
    return SetTrafficOperator(
        task_id="s", percent=percent, plan=PLAN, state=known, lease_seconds=60.0, **COMMON
    )


def promotes(state):
    return PromoteModelOperator(task_id="p", plan=PLAN, state=state.to_json(), **COMMON)
