"""A rollout takes the endpoint from a run that a person marked or deleted, without waiting for its claim."""

from __future__ import annotations

import time

import pytest
from airflow.sdk.exceptions import AirflowFailException
from builders import VALIDATED, plan, promotion

from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.operators.rollout import DeployCanaryOperator
from airflow_mlops.runtime import ends
from airflow_mlops.runtime.ends import flush_ends

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


def deploy(run, version="3"):
    return run(DeployCanaryOperator(task_id="deploy", plan=plan(), model="m", version=version))


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


@pytest.mark.parametrize("written", [True, False])
def test_try_that_airflow_begins_again_after_a_stop_deploys_nothing(world, run, written):
    for number in ("1", "3"):
        world.registry.register("m", f"run-of-{number}", str(world.model_dir), VALIDATED)
    world.registry.promote(promotion("m", None, "1"))
    deploy(run, "2")
    end = RolloutEnd(id="a", model="m", kind=EndKind.STOPPED, reason="enough", actor="op")
    world.serving.stop("m", end, now=time.time())
    if written:
        flush_ends(world.serving, world.registry, "m")
    with pytest.raises(AirflowFailException, match="stopped at 0 % by op: enough; start a new rollout"):
        deploy(run, "2")
    assert (world.serving.traffic("m").canary, world.serving.traffic("m").holder) == (None, None)


def test_stop_that_comes_while_a_later_try_claims_deploys_nothing(world, run, monkeypatch):
    for number in ("1", "3"):
        world.registry.register("m", f"run-of-{number}", str(world.model_dir), VALIDATED)
    world.registry.promote(promotion("m", None, "1"))
    deploy(run, "2")
    end = RolloutEnd(id="a", model="m", kind=EndKind.STOPPED, reason="enough", actor="op")
    monkeypatch.setattr(  # runs after the first look for stops, before the claim
        ends, "free_from_ended_run", lambda backend, *_: backend.stop("m", end, now=time.time())
    )
    with pytest.raises(AirflowFailException, match="stopped at 0 % by op: enough; start a new rollout"):
        deploy(run, "2")
    assert (world.serving.traffic("m").canary, world.serving.traffic("m").holder) == (None, None)


def test_of_two_rollouts_that_free_a_dead_holder_at_once_neither_stops_the_other(
    world, left_behind, run, monkeypatch
):
    def freed_by_another_meanwhile(holder):
        world.serving.stop("m", None, now=time.time())
        world.serving.claim("m", "m__stage/run-9")
        return "deleted"

    monkeypatch.setattr(ends, "run_state", freed_by_another_meanwhile)
    with pytest.raises(AirflowFailException, match="held by m__stage/run-9"):
        deploy(run)
    assert world.serving.traffic("m").holder == "m__stage/run-9"
