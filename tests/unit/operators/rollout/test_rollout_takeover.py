"""A rollout takes the endpoint from a run that a person marked or deleted, without waiting for its claim."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException
from builders import VALIDATED, plan, promotion

from airflow_mlops.core.rollout.end import EndKind
from airflow_mlops.operators.rollout import DeployCanaryOperator
from airflow_mlops.runtime import ends

DEAD, MINE = "m__stage/run-0", "m__stage/run-1"


@pytest.fixture
def left_behind(world, tmp_path):
    """Version 1 serves; a run that deployed version 2 still holds the endpoint."""
    for number in ("1", "2", "3"):
        world.registry.register("m", f"run-of-{number}", str(world.model_dir), VALIDATED)
    world.registry.promote(promotion("m", None, "1"))
    world.serving.claim("m", DEAD)
    world.serving.deploy("m", "1", world.model_dir, holder=DEAD)
    world.serving.promote("m", "1", holder=DEAD)
    world.serving.deploy("m", "2", world.model_dir, holder=DEAD)


def deploy(run):
    return run(DeployCanaryOperator(task_id="deploy", plan=plan(), model="m", version="3"))


@pytest.mark.parametrize("state", ["failed", "success", "deleted"])
def test_next_rollout_deploys_and_the_ledger_says_whom_it_replaced(
    world, left_behind, run, monkeypatch, state
):
    monkeypatch.setattr(ends, "run_state", lambda holder: state)
    assert deploy(run)["version"] == "3"
    assert (world.serving.traffic("m").canary, world.serving.traffic("m").holder) == ("3", MINE)
    (end,) = world.registry.ends("m")
    assert (end.kind, end.holder, end.version) == (EndKind.SUPERSEDED, DEAD, "2")


def test_rollout_that_runs_keeps_the_endpoint(world, left_behind, run, monkeypatch):
    monkeypatch.setattr(ends, "run_state", lambda holder: "running")
    with pytest.raises(AirflowFailException, match=f"held by {DEAD}"):
        deploy(run)
    assert world.serving.traffic("m").canary == "2"
    assert world.registry.ends("m") == []
