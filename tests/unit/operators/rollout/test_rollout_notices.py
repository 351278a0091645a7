"""People hear of a rollout once per event, through Airflow's notifiers, which cannot do it harm."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from builders import plan, state_at, watched
from notifiers import BrokenNotifier, FileNotifier, HangingNotifier

from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.machine import intervene
from airflow_mlops.core.rollout.notice import Event, Notice
from airflow_mlops.core.rollout.plan import OnInconclusive, Step
from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.operators.rollback import RestoreVersionOperator
from airflow_mlops.operators.rollout import (
    CleanUpRolloutOperator,
    DeployCanaryOperator,
    PromoteModelOperator,
    RollbackOperator,
    SetTrafficOperator,
)
from airflow_mlops.operators.rollout_approval import AskRolloutOperator
from airflow_mlops.runtime.notices import send_notice
from airflow_mlops.sensors.canary import CanaryAnalysisSensor

PLAN = plan(bake_seconds=0.0, window_seconds=0.001, deadline_seconds=60.0)
HOLD = plan(on_inconclusive=OnInconclusive.HOLD, bake_seconds=0.0, window_seconds=0.001, lease_seconds=60.0)
COMMON = {"model": "m", "version": "2"}


@pytest.fixture
def told(tmp_path):
    """What was told so far; ``told.notifiers`` is what operators take."""
    path = tmp_path / "told.jsonl"

    def lines():
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    lines.notifiers = [FileNotifier(path)]
    return lines


@pytest.fixture
def warned():
    """Warnings about notifiers, as they are logged."""
    seen, log = [], logging.getLogger("airflow_mlops.runtime.notices")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: seen.append(record.getMessage())
    log.addHandler(handler)
    yield seen
    log.removeHandler(handler)


def events(told):
    return [line["event"] for line in told()]


def deploy(**more):
    return DeployCanaryOperator(task_id="deploy", plan=PLAN, **COMMON | more)


def roll_back(world, run, **more):
    world.serving.claim("m", "m__stage/run-1")
    return run(RollbackOperator(task_id="r", **COMMON, **more))


def shift(state):
    return SetTrafficOperator(task_id="shift", percent=10, state=state, **COMMON)


def analyse(state, its_plan=PLAN, **more):
    known = {"model": "m", "plan": its_plan, "state": state, "deferrable": False}
    return CanaryAnalysisSensor(task_id="analyse", **known | more)


def asking(world, *, errors=0):
    """Let clients ask both versions before every reading."""
    real = world.serving.counters

    def counters(endpoint):
        world.serving.count("m", "2", requests=100, errors=errors)
        world.serving.count("m", "1", requests=900)
        return real(endpoint)

    world.serving.counters = counters


def served(world, *, percent=10):
    """Version 2 gets a share beside version 1, without a registry."""
    for version in ("1", "2"):
        world.serving.claim("m", "m__stage/run-1")
        world.serving.deploy("m", version, world.model_dir, holder="m__stage/run-1")
        if version == "1":
            world.serving.promote("m", "1", holder="m__stage/run-1")
    world.serving.set_traffic("m", "2", percent, holder="m__stage/run-1")
    return world.serving


def test_start_and_promotion_are_told_with_everything_a_person_needs(champion, run, told, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/")
    more = {"notifiers": told.notifiers}
    state = run(shift(run(deploy(**more))))
    asking(champion)
    state = run(analyse(state, **more))
    run(PromoteModelOperator(task_id="p", state=state, **COMMON, **more))
    run(CleanUpRolloutOperator(task_id="c", **COMMON, **more))
    start, end = told()
    assert start["subject"] == "Rollout of m version 2 beside version 1 has started"
    assert (start["step"], start["weight"], start["reason"]) == ("0", "0", "steps of 10, 50 %")
    assert start["evidence"] == "http://mlflow/m__stage/run-1"
    assert start["run"] == "https://airflow.example.org/dags/m__stage/runs/run-1"
    assert end["subject"] == "Rollout of m version 2 beside version 1 was promoted"
    assert (end["event"], end["step"], end["weight"]) == ("promoted", "1", "10")
    assert "error rate shown below" in end["message"]


def test_each_event_is_told_once_however_often_its_task_is_tried(champion, run, told):
    more = {"notifiers": told.notifiers}
    for _ in range(2):
        state = run(deploy(**more))
    state = run(shift(state))
    asking(champion)
    state = run(analyse(state, **more))
    for _ in range(3):
        run(PromoteModelOperator(task_id="p", state=state, **COMMON, **more))
    assert events(told) == ["started", "promoted"]


def test_rollback_is_told_with_its_reason_and_report_after_traffic_is_back(champion, run, told):
    more = {"notifiers": told.notifiers}
    state = run(shift(run(deploy())))
    asking(champion, errors=40)
    with pytest.raises(AirflowFailException, match="canary fails more"):
        run(analyse(state, **more))
    for _ in range(2):
        run(RollbackOperator(task_id="r", **COMMON, **more))
    (line,) = told()
    assert line["subject"] == "Rollout of m version 2 beside version 1 was rolled back"
    assert "canary fails more than stable" in line["reason"]
    assert line["reason"].endswith("; version 1 serves")
    assert line["report"] == "http://mlflow/m__stage/run-1/artifacts/rollout_report.html"
    assert (line["step"], line["weight"]) == ("1", "10")


def test_promoted_version_that_stays_is_not_called_rolled_back(champion, run, told):
    state = run(shift(run(deploy())))
    asking(champion)
    state = run(analyse(state))
    run(PromoteModelOperator(task_id="p", state=state, **COMMON))
    run(RollbackOperator(task_id="r", **COMMON, notifiers=told.notifiers))
    assert told() == []
    assert champion.evidence.runs["m__stage/run-1"].tags["mlops.rollout"] == "promoted"


def test_clearing_tasks_by_hand_tells_anew(champion, run, told):
    again = SimpleNamespace(
        dag_id="m__stage", run_id="run-1", partition_key="", run_type="manual", clear_number=1
    )
    run(deploy(notifiers=told.notifiers))
    for _ in range(2):
        run(deploy(notifiers=told.notifiers), dag_run=again)
    assert events(told) == ["started", "started"]


@pytest.mark.parametrize(
    "error", [RuntimeError("no such channel"), SystemExit(3), KeyboardInterrupt()], ids=repr
)
def test_notifier_that_raises_changes_nothing_and_is_a_warning(champion, run, told, warned, error):
    state = run(deploy(notifiers=[BrokenNotifier(error), *told.notifiers]))
    assert RolloutState.from_json(state).phase is Phase.READY
    assert events(told) == ["started"]
    assert len(warned) == 1
    assert "notifier 1 BrokenNotifier did not deliver 'Rollout of m version 2 beside" in warned[0]


def test_verdict_of_a_step_is_the_same_beside_a_broken_notifier(world, run, told):
    served(world)
    broken = [BrokenNotifier(RuntimeError("no such channel"))]
    state = state_at(10, at=1.0, on_inconclusive=OnInconclusive.HOLD)
    ends = []
    for notifiers in (told.notifiers, broken):
        sensor = analyse(state.to_json(), HOLD, asks=True, notifiers=notifiers)
        held = run(sensor)
        ends.append((held["phase"], held["percent"], world.serving.traffic("m").canary_percent))
    assert ends == [("held", 10, 10)] * 2


def test_what_was_not_delivered_is_sent_by_the_retry_and_only_that(champion, run, told):
    run(deploy(notifiers=[*told.notifiers, BrokenNotifier(RuntimeError("down"))]))
    run(deploy(notifiers=[*told.notifiers, *told.notifiers]))
    assert events(told) == ["started", "started"]
    run(deploy(notifiers=[*told.notifiers, *told.notifiers]))
    assert len(told()) == 2
    kept = champion.evidence.runs["m__stage/run-1"].documents["notices/0_started.json"]
    assert kept["delivered"] == ["1 FileNotifier", "2 FileNotifier"]


def test_notifier_that_hangs_is_left_to_itself(world, run, told, warned):
    hanging = HangingNotifier()
    notice = Notice(event=Event.STARTED, model="m", version="2", champion="1", step=0, weight=0, reason="x")
    roll_back(world, run)  # any task: its context is wanted
    both = [hanging, *told.notifiers]
    send_notice(both, notice, world.context, mlflow_conn_id="c", within=0.3)
    hanging.may_end.set()
    assert events(told) == ["started"]
    (said,) = warned
    assert "1 HangingNotifier did not deliver" in said
    assert said.endswith("no answer in time")


def test_people_are_told_though_the_evidence_store_is_down(world, run, told, monkeypatch, warned):
    roll_back(world, run)
    notice = Notice(event=Event.STARTED, model="m", version="2", champion="1", step=0, weight=0, reason="x")

    def down(*args):
        raise ServiceUnavailableError(503)

    monkeypatch.setattr(world.evidence, "open", down)
    send_notice(told.notifiers, notice, world.context, mlflow_conn_id="c")
    assert events(told) == ["started"]
    assert "a retry may send notices again" in warned[0]


def test_hold_is_told_when_it_begins_and_once(world, run, told):
    served(world)
    state = state_at(10, at=1.0, on_inconclusive=OnInconclusive.HOLD).to_json()
    for _ in range(2):
        run(analyse(state, HOLD, asks=True, notifiers=told.notifiers))
    (line,) = told()
    assert line["subject"] == "Rollout of m version 2 beside version 1 waits for a person at 10 %"
    assert "no decision at 10 % within 100 s" in line["reason"]
    assert (line["step"], line["weight"]) == ("1", "10")


def test_hold_without_a_question_is_told_before_the_wait_goes_on(world, run, told):
    state = state_at(10, at=1.0, on_inconclusive=OnInconclusive.HOLD)
    held = watched(HOLD, state, windows=1, now=1.0, seconds=150.0)
    assert held.phase is Phase.HELD
    roll_back(world, run)
    sensor = analyse(state.to_json(), HOLD, notifiers=told.notifiers, deferrable=True)
    for _ in range(2):
        with pytest.raises(TaskDeferred):
            sensor.execute_complete(world.context | {"task": sensor}, held.to_json())
    assert events(told) == ["held"]


def test_approval_that_is_waited_for_is_told(world, run, told):
    served(world)
    quick = {"bake_seconds": 0.0, "window_seconds": 0.001, "deadline_seconds": 1e11}
    gated = plan(steps=(Step(percent=10, approve=True), 50), **quick)
    asking(world)
    run(analyse(state_at(10).to_json(), gated, asks=True, notifiers=told.notifiers))
    assert "a person has to approve" in told()[0]["reason"]


def test_second_intervention_of_a_step_is_told_too(world, run, told):
    roll_back(world, run)
    begun = state_at(10).to_json() | {"phase": "held", "intervened": True}
    for holds, percent in ((1, 40), (1, 40), (2, 0)):
        sensor = analyse(begun, notifiers=told.notifiers, deferrable=True)
        event = begun | {"holds": holds, "reasons": [f"INTERVENED: m's canary gets {percent} %"]}
        with pytest.raises(TaskDeferred):
            sensor.execute_complete(world.context | {"task": sensor}, event)
    assert [line["reason"][-4:] for line in told()] == ["40 %", " 0 %"]


def test_step_that_is_held_once_more_while_the_question_waits_is_told_too(world, run, told):
    roll_back(world, run)
    asked = watched(HOLD, state_at(10, at=1.0), windows=1, now=1.0, seconds=150.0)
    ask = AskRolloutOperator(
        task_id="ask",
        model="m",
        plan=HOLD,
        state=asked.to_json(),
        answer_within=timedelta(hours=1),
        notifiers=told.notifiers,
    )
    meddled = intervene(asked, "INTERVENED: m's canary gets 40 %", now=200.0)
    context = world.context | {"task": ask, "task_instance": SimpleNamespace(id=uuid4())}
    for _ in range(2):
        with pytest.raises(TaskDeferred):
            ask.execute_complete(context, meddled.to_json(), until=1e12)
    assert [line["reason"] for line in told()] == ["INTERVENED: m's canary gets 40 %"]
    assert "notices/0_held_10pct_2.json" in world.evidence.runs["m__stage/run-1"].documents


def test_person_who_restores_a_version_is_told_of_too(champion, run, told):
    state = run(shift(run(deploy())))
    asking(champion)
    run(PromoteModelOperator(task_id="p", state=run(analyse(state)), **COMMON))
    run(CleanUpRolloutOperator(task_id="c", **COMMON))
    for _ in range(2):
        back = RestoreVersionOperator(
            task_id="b", model="m", version="1", reason="complaints", notifiers=told.notifiers
        )
        run(back, run_id="run-2")
    assert [(line["event"], line["version"]) for line in told()] == [("rolled_back", "2")]
    assert told()[0]["reason"] == "complaints; version 1 serves again"
