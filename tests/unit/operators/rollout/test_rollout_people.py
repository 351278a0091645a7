from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.standard.triggers import hitl
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from builders import VALIDATED, plan, promotion, state_at, watched
from fakes.task_instance import TaskInstance

from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.machine import abort, intervene
from airflow_mlops.core.rollout.plan import OnInconclusive, Step
from airflow_mlops.core.rollout.state import Phase, RolloutAnswer, RolloutState
from airflow_mlops.observe import first_reading
from airflow_mlops.operators import rollout_approval as approval
from airflow_mlops.operators.rollout_approval import AskRolloutOperator
from airflow_mlops.sensors.canary import CanaryAnalysisSensor
from airflow_mlops.triggers.canary import AskedRolloutTrigger

QUICK = {"bake_seconds": 0.0, "window_seconds": 0.001, "lease_seconds": 60.0}
APPROVE = plan(steps=(Step(percent=10, approve=True), 50), **QUICK)
HOLD = plan(steps=(10, 50), on_inconclusive=OnInconclusive.HOLD, **QUICK | {"deadline_seconds": 50.0})
ANN = {"id": "ann", "name": "Ann"}
TASK = "0198c6f2-0000-7000-8000-000000000000"


def asking_state(its_plan=APPROVE, **more):
    begun = state_at(10, steps=its_plan.steps, **more)
    return watched(its_plan, begun, windows=8)


@pytest.fixture
def serving(world):
    """Version 2 gets 10 % beside version 1, which is champion."""
    backend = world.serving
    for number in ("1", "2", "3"):
        world.registry.register("m", f"run-of-{number}", str(world.model_dir), VALIDATED)
    world.registry.promote(promotion("m", None, "1"))
    backend.claim("m", "me")
    for version in ("1", "2"):
        backend.deploy("m", version, world.model_dir, holder="me")
        if version == "1":
            backend.promote("m", "1", holder="me")
    backend.set_traffic("m", "2", 10, holder="me")
    return backend


def ask(state, its_plan=APPROVE):
    known = {"model": "m", "plan": its_plan, "state": state.to_json()}
    return AskRolloutOperator(task_id="ask", answer_within=timedelta(hours=2), approvers=[ANN], **known)


def answered(state, option, user=ANN, its_plan=APPROVE):
    event = {
        "chosen_options": [option],
        "params_input": {},
        "responded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "responded_by_user": user,
    }
    task = ask(state, its_plan)
    return task.execute_complete(context_of(task), event)


def conclude(state, its_plan=APPROVE, **more):
    known = {"model": "m", "plan": its_plan, "deferrable": False}
    return CanaryAnalysisSensor(task_id="c", state=state, **known | more)


def context_of(task, *, try_number=1):
    dag_run = SimpleNamespace(dag_id="m__stage", run_id="run-1", partition_key="")
    ti = TaskInstance(TASK, try_number=try_number)
    return {"dag_run": dag_run, "task": task, "ti": ti, "task_instance": ti}


@pytest.fixture
def questions(monkeypatch):
    """What was put into Airflow's database."""
    put = []
    monkeypatch.setattr(approval, "upsert_hitl_detail", lambda **said: put.append(said))
    return put


def test_question_says_what_a_person_has_to_know(questions):
    state = asking_state()
    assert state.phase is Phase.WAITING_FOR_APPROVAL
    task = ask(state)
    with pytest.raises(TaskDeferred) as waits:
        task.execute(context_of(task))
    (seen,) = questions
    assert seen["subject"] == "May version 2 of m go on from 10 %?"
    assert "waits for approval at 10 % beside version 1" in seen["body"]
    assert "0 of 240 requests failed in this step" in seen["body"]
    assert (seen["options"], seen["defaults"]) == (["Go on", "Roll back"], ["Roll back"])
    assert seen["assigned_users"] == [ANN]
    trigger, until = waits.value.trigger, waits.value.kwargs["until"]
    assert (trigger.ti_id, trigger.until, trigger.state) == (TASK, until, state.to_json())
    assert timedelta(hours=1, minutes=59).total_seconds() < until - time.time() <= 7200


def test_nothing_is_asked_when_the_step_was_passed(questions):
    passed = watched(plan(**QUICK), state_at(10))
    assert passed.phase is Phase.PASSED
    task = ask(passed)
    assert task.execute(context_of(task)) == passed.to_json()
    assert questions == []


def test_who_agrees_lets_traffic_go_on(run, serving, world):
    after = answered(asking_state(), approval.GO_ON)
    state = RolloutState.from_json(after)
    assert (state.phase, state.said) == (Phase.PASSED, RolloutAnswer(percent=10, go_on=True, by="Ann"))
    assert "Ann agreed" in state.reasons[0]
    assert world.evidence.runs["m__stage/run-1"].documents["canary/10pct_answered.json"]["phase"] == "passed"
    assert run(conclude(after)) == after


def test_who_rejects_rolls_back(serving, world):
    with pytest.raises(AirflowFailException, match="rollback: Ann rolled back version 2 at 10 %"):
        answered(asking_state(), approval.ROLL_BACK)
    assert world.evidence.runs["m__stage/run-1"].documents["canary/10pct_answered.json"]


@pytest.mark.parametrize(
    ("option", "user", "decision", "because", "actor"),
    [
        (approval.GO_ON, ANN, "go on at 10 %", "person", "Ann"),
        (approval.ROLL_BACK, ANN, "roll back at 10 %", "person", "Ann"),
        (approval.ROLL_BACK, None, "roll back at 10 %", "timeout", ""),
    ],
    ids=["go on", "roll back", "nobody"],
)
def test_answer_is_in_the_ledger_once_and_says_who_where_and_what(
    serving, world, option, user, decision, because, actor
):
    state = asking_state()
    for _ in range(2):
        try:
            answered(state, option, user)
        except AirflowFailException:
            assert option == approval.ROLL_BACK
    (entry,) = world.registry.decisions("m")
    assert (entry.kind, entry.decision, entry.version) == ("answer", decision, "2")
    assert (entry.because, entry.actor, entry.run_id) == (because, actor, "run-1")
    assert entry.comment == "; ".join(state.reasons)


def test_agreement_to_a_comparison_with_a_former_champion_promotes_nothing(serving, world):
    world.registry.promote(promotion("m", "1", "3"))
    facts = "Ann agreed, but version 2 was compared with champion 1, and champion is now 3; nothing was"
    with pytest.raises(AirflowFailException, match=facts):
        answered(asking_state(), approval.GO_ON)
    (entry,) = world.registry.decisions("m")
    assert "refused: version 2 was compared with champion 1" in entry.comment


def test_rolling_back_needs_no_registry(serving, world, monkeypatch):
    def away(*_):
        raise ServiceUnavailableError("MLflow is away")

    monkeypatch.setattr(world.registry, "decide", away)
    monkeypatch.setattr(world.registry, "settle", away)
    with pytest.raises(AirflowFailException, match="Ann rolled back version 2"):
        answered(asking_state(), approval.ROLL_BACK)


def test_agreement_waits_for_a_registry_that_can_name_the_champion(serving, world, monkeypatch):
    def away(*_):
        raise ServiceUnavailableError("MLflow is away")

    monkeypatch.setattr(world.registry, "settle", away)
    with pytest.raises(ServiceUnavailableError):
        answered(asking_state(), approval.GO_ON)
    assert world.registry.decisions("m") == []


def test_question_that_is_asked_again_shows_counts_of_now(serving, questions):
    state = replace(asking_state(), last=first_reading(serving, "m", asking_state(), now=time.time()))
    serving.count("m", "2", requests=60, errors=1)
    serving.count("m", "1", requests=540)
    task = ask(state)
    with pytest.raises(TaskDeferred):
        task.execute_unless_answered(context_of(task, try_number=2), {})
    assert "1 of 300 requests failed in this step, as of" in questions[0]["body"]


def given(state, *, after):
    """An answer that Airflow holds, so many seconds after the state was looked at."""
    at = datetime.fromtimestamp(state.clock + after, UTC).isoformat()
    said = {"chosen_options": [approval.GO_ON], "params_input": {}, "responded_by_user": ANN}
    return {**said, "responded_at": at}


def test_next_try_looks_for_an_answer_before_it_would_delete_it(questions):
    task = ask(asking_state())
    with pytest.raises(TaskDeferred) as waits:
        task.execute(context_of(task, try_number=2))
    assert questions == []
    assert (waits.value.trigger.ti_id, waits.value.method_name) == (TASK, "execute_unless_answered")


def test_answer_that_airflow_dropped_holds_in_the_next_try(serving, questions):
    state = asking_state()
    task = ask(state)
    after = task.execute_unless_answered(context_of(task, try_number=2), given(state, after=1.0))
    assert RolloutState.from_json(after).said == RolloutAnswer(percent=10, go_on=True, by="Ann")
    assert questions == []


@pytest.mark.parametrize("after", [None, -1.0], ids=["no answer", "answer to an earlier question"])
def test_next_try_asks_when_nobody_answered_this_question(serving, questions, after):
    state = asking_state()
    task = ask(state)
    event = {} if after is None else given(state, after=after)
    with pytest.raises(TaskDeferred) as waits:
        task.execute_unless_answered(context_of(task, try_number=2), event)
    assert len(questions) == 1
    assert isinstance(waits.value.trigger, AskedRolloutTrigger)


def test_nobodys_answer_in_time_rolls_back(serving):
    with pytest.raises(
        AirflowFailException, match=r"the default \(no answer within 2:00:00\) rolled back version 2"
    ):
        answered(asking_state(), approval.ROLL_BACK, user=None)


def test_who_agrees_to_a_canary_that_just_got_bad_does_not_raise_its_traffic(serving):
    state = asking_state()
    state = replace(state, last=first_reading(serving, "m", state, now=0.0))
    serving.count("m", "1", requests=900)
    serving.count("m", "2", requests=100, errors=90)
    before_the_deadline = replace(state, step_since=time.time())
    after = RolloutState.from_json(answered(before_the_deadline, approval.GO_ON))
    assert (after.phase, after.approved_by, after.said.by) == (Phase.STEPPING, None, "Ann")
    with pytest.raises(AirflowFailException, match="inconclusive: no decision at 10 %"):
        answered(state, approval.GO_ON)


def test_who_agrees_after_the_lease_ran_out_comes_too_late(serving):
    lease = serving.take_lease("m", "me", now=0.0, seconds=60.0)
    with pytest.raises(AirflowFailException, match=r"rollback: version 2 at 10 %: lease of me .* ran out"):
        answered(replace(asking_state(), lease=lease), approval.GO_ON)


def test_what_was_seen_of_a_bad_canary_ends_the_question(serving, world):
    task, state = ask(asking_state()), asking_state()
    bad = abort(state, "canary fails more than stable", now=99.0)
    with pytest.raises(AirflowFailException, match="rollback: canary fails more than stable"):
        task.execute_complete(context_of(task), bad.to_json(), until=1.0)


def test_question_waits_on_when_somebody_changed_the_weights(serving, world):
    task = ask(asking_state())
    held = intervene(asking_state(), "INTERVENED: m's canary gets 40 %", now=99.0)
    with pytest.raises(TaskDeferred) as waits:
        task.execute_complete(context_of(task), held.to_json(), until=123.0)
    assert (waits.value.trigger.until, waits.value.trigger.state) == (123.0, held.to_json())
    assert world.evidence.runs["m__stage/run-1"].tags["mlops.rollout"] == "intervened"


def asked_trigger(monkeypatch, state, its_plan=APPROVE, *, answer=None, until=None):
    """A trigger whose question has, in Airflow's database, the answer; its last line is taken in time."""
    none = {"response_received": False, "chosen_options": None, "responded_by_user": None, "params_input": {}}
    given = {"response_received": True, "responded_at": datetime(2026, 1, 1, tzinfo=UTC), "params_input": {}}
    detail = {**none, **given, **answer} if answer else none
    monkeypatch.setattr(hitl, "get_hitl_detail_content_detail", lambda ti_id: SimpleNamespace(**detail))
    monkeypatch.setattr(hitl, "update_hitl_detail_response", lambda **_: SimpleNamespace(**given))
    known = {"endpoint": "m", "plan": its_plan.to_json(), "state": state.to_json(), "serving_conn_id": "x"}
    path, arguments = AskedRolloutTrigger(
        ti_id=TASK, until=until or time.time() + 60, options=["Go on", "Roll back"], **known
    ).serialize()
    assert path == "airflow_mlops.triggers.canary.AskedRolloutTrigger"
    return AskedRolloutTrigger(**arguments)


def fired(trigger):
    async def events():
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(events())
    return payload


def test_canary_that_gets_bad_while_a_person_is_asked_is_heard_of_and_its_lease_renewed(serving, monkeypatch):
    lease = serving.take_lease("m", "me", now=time.time(), seconds=60.0)
    patient = plan(steps=APPROVE.steps, **QUICK | {"lease_seconds": 500.0})
    last = first_reading(serving, "m", asking_state(), now=0.0)
    counters = serving.counters

    def counted(endpoint):
        serving.count("m", "1", requests=900)
        serving.count("m", "2", requests=100, errors=60)
        return counters(endpoint)

    monkeypatch.setattr(serving, "counters", counted)
    state = replace(asking_state(), lease=lease, last=last)
    seen = fired(asked_trigger(monkeypatch, state, patient))
    assert (seen["phase"], seen["decision"]) == ("rolled_back", "rollback")
    assert serving.leases["m"].expires_at > time.time() + 400


def test_answer_that_came_before_the_task_was_deferred_is_found(serving, monkeypatch):
    answer = {"chosen_options": ["Go on"], "responded_by_user": SimpleNamespace(**ANN)}
    seen = fired(asked_trigger(monkeypatch, asking_state(), answer=answer))
    assert (seen["chosen_options"], seen["responded_by_user"]) == (["Go on"], ANN)


def test_default_is_fired_when_nobody_answered_in_time(serving, monkeypatch):
    seen = fired(asked_trigger(monkeypatch, asking_state(), until=time.time() - 1))
    assert (seen["chosen_options"], seen["responded_by_user"]) == (["Roll back"], None)


def test_held_step_is_handed_over(run, serving):
    began = state_at(10, steps=HOLD.steps, at=1.0, on_inconclusive=OnInconclusive.HOLD)
    known = {"task_id": "a", "model": "m", "plan": HOLD, "asks": True, "deferrable": False}
    held = RolloutState.from_json(run(CanaryAnalysisSensor(state=began.to_json(), **known)))
    assert (held.phase, held.asks) == (Phase.HELD, True)
    after = answered(held, approval.GO_ON, its_plan=HOLD)
    assert RolloutState.from_json(run(conclude(after, HOLD))).phase is Phase.PASSED


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
    with pytest.raises(TaskDeferred):
        sensor.execute_complete(context_of(sensor), event)
    assert world.evidence.runs["m__stage/run-1"].tags["mlops.rollout"] == "intervened"


def test_event_of_the_try_before_does_not_end_a_step_that_was_done_again(serving, world):
    """The row number of a deleted trigger is given to the next one by SQLite, and its event with it."""
    before, again = asking_state(), replace(asking_state(), step_since=5.0)
    lost = abort(before, "lease of me with token 1 is lost", now=99.0)
    sensor = CanaryAnalysisSensor(task_id="a", model="m", plan=APPROVE, state=again.to_json())
    task = ask(again)
    for waiting, more in ((sensor, {}), (task, {"until": 7.0})):
        with pytest.raises(TaskDeferred) as waits:
            waiting.execute_complete(context_of(waiting), lost.to_json(), **more)
        assert waits.value.trigger.state == again.to_json()
    assert waits.value.trigger.until == 7.0
    assert world.evidence.runs == {}


def test_question_is_tried_again_when_airflow_drops_its_answer_unless_the_author_wants_no_retries():
    known = {"model": "m", "plan": APPROVE, "state": {}, "answer_within": timedelta(hours=1)}
    assert AskRolloutOperator(task_id="a", **known).retries == 2
    assert AskRolloutOperator(task_id="b", retries=0, **known).retries == 0
