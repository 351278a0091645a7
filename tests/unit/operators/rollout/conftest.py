from __future__ import annotations

import time
from dataclasses import replace

import pytest
from builders import VALIDATED, promotion, watched
from passed_step import COMMON, PLAN, shift

from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.operators.rollout import DeployCanaryOperator


@pytest.fixture
def passed(world, run):
    """Version 2 has passed its step of 10 %; the state the next task begins from."""
    for number in ("1", "2", "3"):
        world.registry.register("m", f"run-of-{number}", str(world.model_dir), VALIDATED)
    world.registry.promote(promotion("m", None, "1"))
    deployed = run(DeployCanaryOperator(task_id="deploy", plan=PLAN, **COMMON))
    stepping = RolloutState.from_json(run(shift(deployed, 10)))
    state = watched(PLAN, stepping, 20, now=stepping.clock - 20.0)
    counted = {"canary_requests": state.last.canary_requests, "stable_requests": state.last.stable_requests}
    world.serving.count("m", "2", requests=counted["canary_requests"])
    assert state.phase is Phase.PASSED
    return replace(state, clock=time.time())
