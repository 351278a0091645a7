"""Rollouts that wait for a person, a freeze, the old version to go; and people who lay hands on tasks."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from guarded_model import MODEL, PLANS, STEP_1, STEP_2, Rollout, write_plan

from airflow_mlops.backends.serving.reaper import reap

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_person_who_thinks_longer_than_the_lease_goes_on(guarded, clients):
    with clients(guarded.serving.url(MODEL)) as sent:
        rollout = Rollout(guarded, "asking")
        rollout.wait(f"{STEP_1}.ask", "deferred")
        pending = rollout.api.get("dags/~/dagRuns/~/hitlDetails", response_received=False, state="deferred")
        assert [found["subject"] for found in pending["hitl_details"]] == [
            f"May version {rollout.version} of guarded go on from 20 %?"
        ]
        asked, before = time.time(), guarded.lease().expires_at
        rollout.api.wait(lambda: time.time() > max(before, asked + 22), 60, "the lease to have run out")
        assert reap(guarded.serving, now=time.time()) == []
        assert guarded.shape() == (rollout.stable, rollout.version, 20)
        assert guarded.lease().expires_at > time.time()
        with pytest.raises(Exception, match="403"):
            rollout.answer("Go on", user="viewer")
        rollout.answer("Go on")
        assert rollout.end() == "success"
    assert guarded.shape() == (rollout.version, None, 0)
    assert guarded.champion() == rollout.version
    concluded = rollout.api.xcom(rollout.dag_id, rollout.run_id, f"{STEP_1}.ask")
    assert concluded["said"] == {"percent": 20, "go_on": True, "by": "op"}
    assert {status for _, status in sent.answers} == {200}


def test_person_who_says_no_rolls_back(guarded, clients):
    with clients(guarded.serving.url(MODEL)) as sent:
        rollout = Rollout(guarded, "asking")
        rollout.wait(f"{STEP_1}.ask", "deferred")
        rollout.answer("Roll back")
        assert rollout.end() == "failed"
    assert f"rollback: op rolled back version {rollout.version} at 20 %" in rollout.log(f"{STEP_1}.ask")
    assert rollout.states()["roll_back"] == "success"
    assert guarded.shape() == (rollout.stable, None, 0)
    assert guarded.champion() == rollout.stable
    assert {status for _, status in sent.answers} == {200}


def test_canary_that_gets_bad_while_a_person_is_asked_is_rolled_back_without_an_answer(guarded, clients):
    with clients(guarded.serving.url(MODEL)) as sent:
        rollout = Rollout(guarded, "asking")
        rollout.wait(f"{STEP_1}.ask", "deferred")
        began = len(sent.answers)
        guarded.fails.touch()
        try:
            rollout.wait(f"{STEP_1}.ask", "failed")
            assert rollout.end() == "failed"
        finally:
            guarded.fails.unlink()
    assert "rollback: " in rollout.log(f"{STEP_1}.ask")
    assert "canary fails more than stable" in rollout.log(f"{STEP_1}.ask")
    assert guarded.shape() == (rollout.stable, None, 0)
    failed = [version for version, status in sent.answers[began:] if status != 200]
    assert set(failed) == {rollout.version}


def test_question_that_nobody_answers_in_time_rolls_back(guarded, clients):
    with clients(guarded.serving.url(MODEL)):
        rollout = Rollout(guarded, "impatient")
        assert rollout.end() == "failed"
    assert f"the default (no answer within 0:00:05) rolled back version {rollout.version}" in rollout.log(
        f"{STEP_1}.ask"
    )
    assert rollout.states()["roll_back"] == "success"
    assert guarded.shape() == (rollout.stable, None, 0)


def test_step_cleared_in_the_middle_is_done_again_and_the_rollout_ends_as_planned(guarded, clients):
    with clients(guarded.serving.url(MODEL)) as sent:
        rollout = Rollout(guarded, "plain")
        rollout.wait(f"{STEP_2}.analyse", "deferred")
        first = guarded.lease().token
        rollout.clear(f"{STEP_1}.set_traffic")
        rollout.wait(f"{STEP_1}.analyse", "deferred")
        assert guarded.shape() == (rollout.stable, rollout.version, 20)
        rollout.clear(f"{STEP_1}.analyse", downstream=False)
        assert rollout.end() == "success"
    assert guarded.lease().token > first
    assert guarded.shape() == (rollout.version, None, 0)
    assert [e.to_version for e in guarded.registry.ledger(MODEL)].count(rollout.version) == 1
    assert {status for _, status in sent.answers} == {200}


def test_analysis_that_somebody_marks_failed_is_rolled_back(guarded, clients):
    with clients(guarded.serving.url(MODEL)) as sent:
        rollout = Rollout(guarded, "plain")
        rollout.wait(f"{STEP_1}.analyse", "deferred")
        rollout.mark(f"{STEP_1}.analyse", "failed")
        assert rollout.end() == "failed"
    assert rollout.states()["roll_back"] == "success"
    assert guarded.shape() == (rollout.stable, None, 0)
    assert {status for _, status in sent.answers} == {200}


def test_run_that_somebody_marks_failed_leaves_its_canary_to_the_reaper(guarded, clients):
    with clients(guarded.serving.url(MODEL)) as sent:
        rollout = Rollout(guarded, "asking")
        rollout.wait(f"{STEP_1}.analyse", "deferred")
        rollout.mark_run("failed")
        assert rollout.end() == "failed"
        assert guarded.shape() == (rollout.stable, rollout.version, 20)
        # read again and again: the last renewal may come late
        rollout.api.wait(lambda: time.time() > guarded.lease().expires_at + 6.0, 60, "the lease to run out")
        assert [found.endpoint for found in reap(guarded.serving, now=time.time())] == [MODEL]
        assert guarded.shape() == (rollout.stable, rollout.version, 0)
        rollout.clear("roll_back")
        rollout.wait("roll_back", "success")
    assert guarded.serving.traffic(MODEL).holder is None
    assert guarded.shape() == (rollout.stable, None, 0)
    assert {status for _, status in sent.answers} == {200}


def test_blue_green_waits_for_the_end_of_a_freeze_and_keeps_the_old_version(guarded, clients):
    now = time.time()
    ends = now + 55
    freeze = [{"start": in_iso(now - 60), "end": in_iso(ends)}]
    write_plan(guarded.airflow.plans, "blue_green", PLANS["blue_green"] | {"freeze": freeze})
    with clients(guarded.serving.url(MODEL)) as sent:
        rollout = Rollout(guarded, "blue_green")
        rollout.wait("clean_up", "deferred")
        shifted, promoted = rollout.time_of("step_1_100pct.set_traffic"), rollout.time_of("promote")
        assert shifted + 6 < ends < promoted  # three seconds of bake would have been enough
        assert guarded.servers() == {rollout.stable, rollout.version}
        assert guarded.shape()[0] == rollout.version
        assert rollout.end() == "success"
    assert guarded.servers() == {rollout.version}
    assert {status for _, status in sent.answers} == {200}


def in_iso(moment):
    return datetime.fromtimestamp(moment, UTC).isoformat()
