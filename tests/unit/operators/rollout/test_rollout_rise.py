"""Traffic rises only on fresh evidence, under a living lease, against the champion that was compared with."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from builders import promotion
from passed_step import COMMON, HOLDER, PLAN, shift
from passed_step import promotes as promote

from airflow_mlops.backends.metrics.protocol import Arms
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.observe import analyse_window
from airflow_mlops.operators.rollout import (
    CleanUpRolloutOperator,
    RollbackOperator,
)
from airflow_mlops.runtime.paths import ROLLOUT_REPORT_PATH


def percent(world):
    return world.serving.traffic("m").canary_percent


def test_traffic_rises_on_a_decision_of_just_now(world, passed, run):
    assert run(shift(passed))["percent"] == 50
    assert percent(world) == 50


@pytest.mark.parametrize("rise", [shift, promote])
def test_step_is_watched_again_when_its_decision_is_old(world, passed, run, rise):
    old = replace(passed, clock=time.time() - 45.0)
    with pytest.raises(TaskDeferred) as deferred:
        run(rise(old))
    again = RolloutState.from_json(deferred.value.trigger.state)
    assert (again.phase, again.percent, percent(world)) == (Phase.STEPPING, 10, 10)
    assert "45 s old" in again.reasons[0]
    assert again.lease.token > passed.lease.token  # an earlier copy of the rollout may not write any more
    assert world.registry.settle("m") == "1"


def test_step_is_watched_at_its_own_weight_when_a_try_that_raised_it_was_cut_off_long_ago(world, passed, run):
    run(shift(passed))
    with pytest.raises(TaskDeferred) as deferred:
        run(shift(replace(passed, clock=time.time() - 45.0)))
    again = RolloutState.from_json(deferred.value.trigger.state)
    assert (again.percent, percent(world)) == (10, 10)
    assert analyse_window(world.serving, "m", PLAN, again, now=time.time()).intervened is False


def test_promotion_that_was_cut_off_long_ago_is_completed(world, passed, run):
    world.serving.promote("m", "2", holder=HOLDER)
    run(promote(replace(passed, clock=time.time() - 45.0)))
    assert (world.serving.traffic("m").stable, world.registry.settle("m")) == ("2", "2")


def test_traffic_rises_after_the_step_was_watched_again(world, passed, run):
    operator = shift(replace(passed, clock=time.time() - 45.0))
    with pytest.raises(TaskDeferred) as deferred:
        run(operator)
    lease = RolloutState.from_json(deferred.value.trigger.state).lease
    seen = replace(passed, clock=time.time(), lease=lease).to_json()
    assert operator.execute_complete(world.context, seen)["percent"] == 50
    assert percent(world) == 50


@pytest.mark.parametrize("rise", [shift, promote])
def test_nothing_rises_when_the_lease_has_ended(world, passed, run, rise):
    world.serving.leases["m"] = replace(world.serving.leases["m"], expires_at=time.time() - 1.0)
    with pytest.raises(AirflowFailException, match="nothing watched the canary since"):
        run(rise(passed))
    assert (percent(world), world.registry.settle("m")) == (10, "1")


@pytest.mark.parametrize("rise", [shift, promote])
def test_nothing_rises_against_another_champion_than_the_one_compared_with(world, passed, run, rise):
    world.registry.promote(promotion("m", "1", "3", "run-9"))
    with pytest.raises(AirflowFailException, match="champion is version 3, but this rollout of version 2"):
        run(rise(passed))
    assert percent(world) == 10


@pytest.mark.parametrize("rise", [shift, promote])
def test_nothing_rises_after_a_stop(world, passed, run, rise):
    stopped(world)
    with pytest.raises(AirflowFailException):
        run(rise(passed))
    assert (world.serving.traffic("m").canary, world.registry.settle("m")) == (None, "1")


def test_canary_that_is_to_be_rolled_back_is_at_0_percent_before_any_task_runs(world, passed):
    slow = replace(PLAN, bake_seconds=300.0)
    counts = world.serving.counters("m")
    bad = replace(passed, phase=Phase.STEPPING, last=counts.reading(Arms(canary="2", stable="1")))
    for _ in range(12):
        world.serving.count("m", "2", requests=50, errors=50)
        world.serving.count("m", "1", requests=450)
        bad = analyse_window(world.serving, "m", slow, bad, now=time.time())
        if not bad.is_open:
            break
    assert bad.phase is Phase.ROLLED_BACK
    assert percent(world) == 0


def stopped(world):
    end = RolloutEnd(id="s1", model="m", kind=EndKind.STOPPED, reason="wrong prices", actor="ann", at=1.0)
    return world.serving.stop("m", end, now=time.time())


def test_stopped_rollout_says_who_stopped_it_in_ledger_tags_and_report(world, passed, run):
    stopped(world)
    run(RollbackOperator(task_id="r", **COMMON))
    assert [(end.kind, end.actor, end.version, end.holder) for end in world.registry.ends("m")] == [
        (EndKind.STOPPED, "ann", "2", HOLDER)
    ]
    assert world.serving.pending_ends("m") == ()
    (run_id,) = world.evidence.find("m", {"mlops.rollout": "stopped"})
    report = world.evidence.read_json(run_id, ROLLOUT_REPORT_PATH)
    assert report["reason"] == "version 2 stopped at 10 % by ann: wrong prices"


@pytest.mark.parametrize("operator", [RollbackOperator, CleanUpRolloutOperator])
def test_task_that_holds_nothing_is_skipped_and_claims_nothing(world, passed, run, operator):
    stopped(world)
    world.serving.claim("m", "other/run")
    with pytest.raises(AirflowSkipException, match=r"not mine: .* held by other/run.*; nothing was changed"):
        run(operator(task_id="end", **COMMON))
    assert world.serving.traffic("m").holder == "other/run"
    assert world.registry.ends("m") == []


def test_promotion_and_failure_are_ends_in_the_ledger(world, passed, run):
    run(promote(passed))
    assert [(end.kind, end.version, end.percent) for end in world.registry.ends("m")] == [
        (EndKind.PROMOTED, "2", 10)
    ]
