from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput, TaskDeferred
from builders import plan, state_at, watched

from airflow_mlops.core.rollout.plan import OnInconclusive, Step
from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.operators import rollout_approval as approval
from airflow_mlops.operators.rollout_approval import AskRolloutOperator
from airflow_mlops.sensors.canary import CanaryAnalysisSensor

QUICK = {"bake_seconds": 0.0, "window_seconds": 0.001, "lease_seconds": 60.0}
APPROVE = plan(steps=(Step(percent=10, approve=True), 50), **QUICK)
HOLD = plan(steps=(10, 50), on_inconclusive=OnInconclusive.HOLD, **QUICK | {"deadline_seconds": 50.0})
ANN = {"id": "ann", "name": "Ann"}


def asking_state(its_plan=APPROVE, **more):
    begun = state_at(10, steps=its_plan.steps, **more)
    return watched(its_plan, begun, windows=8)


@pytest.fixture
def serving(world):
    """Version 2 gets 10 % beside version 1."""
    backend = world.serving
    backend.claim("m", "me")
    for version in ("1", "2"):
        backend.deploy("m", version, world.model_dir, holder="me")
        if version == "1":
            backend.promote("m", "1", holder="me")
    backend.set_traffic("m", "2", 10, holder="me")
    return backend


def ask(state):
    return AskRolloutOperator(
        task_id="ask", model="m", state=state.to_json(), answer_within=timedelta(hours=2), approvers=[ANN]
    )


def answered(state, option, user=ANN):
    event = {
        "chosen_options": [option],
        "params_input": {},
        "responded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "responded_by_user": user,
    }
    return ask(state).execute_complete({}, event)


def conclude(state, answer, its_plan=APPROVE, **more):
    known = {"model": "m", "plan": its_plan, "deferrable": False}
    return CanaryAnalysisSensor(task_id="c", state=state.to_json(), answer=answer, **known | more)


def test_question_says_what_a_person_has_to_know(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **said: seen.update(said)
    )
    state = asking_state()
    assert state.phase is Phase.WAITING_FOR_APPROVAL
    with pytest.raises(TaskAwaitingInput) as waits:
        ask(state).execute({"task_instance": SimpleNamespace(id="ti")})
    assert waits.value.timeout == timedelta(hours=2)
    assert seen["subject"] == "May version 2 of m go on from 10 %?"
    assert "waits for approval at 10 % beside version 1" in seen["body"]
    assert "0 of 240 requests failed in this step" in seen["body"]
    assert (seen["options"], seen["defaults"]) == (["Go on", "Roll back"], ["Roll back"])
    assert seen["assigned_users"] == [ANN]


def test_nothing_is_asked_when_the_step_was_passed():
    passed = watched(plan(**QUICK), state_at(10))
    assert passed.phase is Phase.PASSED
    assert ask(passed).execute({}) == {}


def test_who_agrees_lets_traffic_go_on(run, serving):
    state = asking_state()
    said = answered(state, approval.GO_ON)
    assert said == {"percent": 10, "go_on": True, "by": "Ann"}
    after = RolloutState.from_json(run(conclude(state, said)))
    assert after.phase is Phase.PASSED
    assert "Ann agreed" in after.reasons[0]


def test_who_rejects_rolls_back(run, serving, world):
    state = asking_state()
    with pytest.raises(AirflowFailException, match="rollback: Ann rolled back version 2 at 10 %"):
        run(conclude(state, answered(state, approval.ROLL_BACK)))
    assert world.evidence.runs["m__stage/run-1"].documents["canary/10pct_answered.json"]


def test_nobodys_answer_in_time_rolls_back(run, serving):
    state = asking_state()
    said = answered(state, approval.ROLL_BACK, user=None)
    with pytest.raises(AirflowFailException, match="nobody within 2:00:00 rolled back version 2"):
        run(conclude(state, said))


def test_step_that_asked_nothing_is_concluded_as_it_is(run, world):
    passed = watched(plan(**QUICK), state_at(10))
    assert run(conclude(passed, {}, plan(**QUICK))) == passed.to_json()
    assert world.evidence.runs == {}


def test_held_step_is_handed_over_with_a_lease_that_lasts_for_the_answer(run, serving):
    lease = serving.take_lease("m", "me", now=0.0, seconds=1e10)
    began = state_at(10, steps=HOLD.steps, at=1.0, on_inconclusive=OnInconclusive.HOLD)
    state = RolloutState.from_json(began.to_json() | {"lease": lease.to_json()})
    sensor = CanaryAnalysisSensor(
        task_id="a",
        model="m",
        plan=HOLD,
        state=state.to_json(),
        asks=True,
        answer_seconds=1e11,
        deferrable=False,
    )
    held = RolloutState.from_json(run(sensor))
    assert (held.phase, held.asks) == (Phase.HELD, True)
    assert serving.leases["m"].expires_at > 1e11
    said = answered(held, approval.GO_ON)
    assert RolloutState.from_json(run(conclude(held, said, HOLD))).phase is Phase.PASSED


def test_without_somebody_to_ask_a_held_step_waits_on_the_triggerer(run, serving):
    held = watched(HOLD, state_at(10, on_inconclusive=OnInconclusive.HOLD), windows=1, seconds=99.0)
    assert held.phase is Phase.HELD
    sensor = CanaryAnalysisSensor(task_id="a", model="m", plan=HOLD, state=held.to_json())
    with pytest.raises(TaskDeferred):
        run(sensor)


def test_intervention_is_said_in_the_log_and_the_step_waits_on(serving, world):
    state = state_at(10)
    sensor = CanaryAnalysisSensor(task_id="a", model="m", plan=plan(**QUICK), state=state.to_json())
    said = "INTERVENED: m's canary gets 40 %"
    event = state.to_json() | {"phase": "held", "intervened": True, "reasons": [said]}
    context = {
        "dag_run": SimpleNamespace(dag_id="m__stage", run_id="run-1", partition_key=""),
        "task": sensor,
    }
    with pytest.raises(TaskDeferred):
        sensor.execute_complete(context, event)
    assert world.evidence.runs["m__stage/run-1"].tags["mlops.rollout"] == "intervened"
