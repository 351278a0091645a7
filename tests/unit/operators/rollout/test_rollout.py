from __future__ import annotations

import jinja2
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from builders import plan

from airflow_mlops.assets import champion_asset
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, DecisionEntry
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.evidence.share import StepDecision
from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.dag_factories.rollout import ROLLOUT_VERSION
from airflow_mlops.links import FullReportLink
from airflow_mlops.operators.rollout import (
    CleanUpRolloutOperator,
    DeployCanaryOperator,
    PromoteModelOperator,
    RollbackOperator,
    SetTrafficOperator,
)
from airflow_mlops.sensors.canary import CanaryAnalysisSensor
from airflow_mlops.triggers.canary import CanaryAnalysisTrigger

PLAN = plan(bake_seconds=0.0, window_seconds=0.001, deadline_seconds=60.0)
COMMON = {"model": "m", "version": "2"}


def deploy(**more):
    return DeployCanaryOperator(task_id="deploy", plan=PLAN, **COMMON | more)


def shift(state, percent=10):
    return SetTrafficOperator(task_id="shift", percent=percent, state=state, **COMMON)


def analyse(state, **more):
    return CanaryAnalysisSensor(task_id="analyse", model="m", plan=PLAN, state=state, **more)


def asking(world, *, canary=100, errors=0, stable=900):
    """Let clients ask both versions before every reading."""
    real = world.serving.counters

    def counters(endpoint):
        world.serving.count("m", "2", requests=canary, errors=errors)
        world.serving.count("m", "1", requests=stable)
        return real(endpoint)

    world.serving.counters = counters


def shape(traffic):
    return traffic.stable, traffic.canary, traffic.canary_percent, traffic.holder


def test_rollout_moves_traffic_then_alias_and_frees_the_endpoint(champion, run):
    state = run(shift(run(deploy())))
    assert shape(champion.serving.traffic("m")) == ("1", "2", 10, "m__stage/run-1")
    asking(champion)
    state = run(analyse(state, deferrable=False))
    approved = {"decision": "approved", "actor": "ann", "comment": "good on storms"}
    champion.registry.decide(DecisionEntry(model="m", version="2", **approved))
    promote = PromoteModelOperator(task_id="p", state=state, outlets=[champion_asset("m")], **COMMON)
    entry = run(promote)
    assert entry["approval"] == "approved by ann: good on storms"
    assert champion.context["outlet_events"][champion_asset("m")].partitions == ["2"]
    run(CleanUpRolloutOperator(task_id="c", **COMMON))
    assert shape(champion.serving.traffic("m")) == ("2", None, 0, None)
    assert (entry["from_version"], entry["to_version"]) == ("1", "2")
    assert champion.registry.alias("m", CHAMPION_ALIAS) == "2"
    assert champion.evidence.runs["m__stage/run-1"].status == "FINISHED"


def test_waiting_on_the_worker_keeps_the_same_live_state(champion, run):
    state = run(shift(run(deploy())))
    asking(champion)
    run(analyse(state, deferrable=False))
    live = champion.serving.live("m")
    assert (live.version, live.percent, live.phase) == ("2", 10, Phase.PASSED)
    assert (live.holder, live.step_counts.canary_requests > 0) == ("m__stage/run-1", True)


def test_every_task_done_twice_is_done_once(champion, run):
    first = run(deploy())
    assert run(deploy()) == first
    state = run(shift(first))
    again = run(shift(first))
    assert RolloutState.from_json(again).last == RolloutState.from_json(state).last
    asking(champion)
    state = run(analyse(again, deferrable=False))
    for _ in range(2):
        run(PromoteModelOperator(task_id="p", state=state, **COMMON))
    assert len(champion.registry.ledger("m")) == 2


def test_failing_canary_fails_without_retry_after_the_evidence_is_kept(champion, run):
    state = run(shift(run(deploy())))
    champion.serving.count("m", "1", requests=900)
    champion.serving.count("m", "2", requests=100, errors=30)
    state = RolloutState.from_json(state)
    asking(champion, canary=10, errors=5, stable=90)
    with pytest.raises(AirflowFailException, match="rollback: version 2 at 10 %: canary fails more"):
        run(analyse(state.to_json(), deferrable=False))
    kept = champion.evidence.runs["m__stage/run-1"].documents["canary/10pct.json"]
    assert kept["decision"] == "rollback"
    assert kept["trace"][0]["window"]["canary_errors"] == 35


def test_rollback_gives_requests_back_and_frees_the_endpoint(champion, run):
    run(shift(run(deploy())))
    run(RollbackOperator(task_id="r", **COMMON))
    assert shape(champion.serving.traffic("m")) == ("1", None, 0, None)
    assert set(champion.serving.counters("m").versions) == {"1"}
    assert champion.registry.alias("m", CHAMPION_ALIAS) == "1"
    assert champion.evidence.runs["m__stage/run-1"].status == "FAILED"


def test_rollback_of_a_half_done_promotion_brings_the_champion_back(champion, run):
    run(shift(run(deploy())))
    champion.serving.promote("m", "2", holder="m__stage/run-1")
    run(RollbackOperator(task_id="r", **COMMON))
    assert shape(champion.serving.traffic("m")) == ("1", None, 0, None)


def test_rollback_keeps_its_hands_off_what_another_rollout_holds(champion, run):
    champion.serving.claim("m", "other/run")
    with pytest.raises(AirflowSkipException, match=r"not mine: .* held by other/run.*; nothing was changed"):
        run(RollbackOperator(task_id="r", **COMMON))
    assert shape(champion.serving.traffic("m")) == ("1", None, 0, "other/run")


def test_rollout_without_a_version_is_refused_with_what_there_is_and_has_nothing_to_roll_back(champion, run):
    version = jinja2.Template(ROLLOUT_VERSION).render(
        params={"version": None}, dag_run={"partition_key": None}
    )
    with pytest.raises(AirflowFailException, match="'m' was given no version, one is needed; versions: 2, 1"):
        run(deploy(version=version))
    with pytest.raises(AirflowSkipException, match="no version was named: none was deployed"):
        run(RollbackOperator(task_id="r", **COMMON | {"version": version}))
    assert shape(champion.serving.traffic("m")) == ("1", None, 0, None)
    assert champion.registry.ends("m") == []


def test_second_rollout_fails_at_once_with_the_holders_name(champion, run):
    run(deploy())
    with pytest.raises(AirflowFailException, match="held by m__stage/run-1"):
        run(deploy(), run_id="run-2")


def test_champion_is_not_rolled_out_again(champion, run):
    with pytest.raises(AirflowSkipException, match="already is champion"):
        run(deploy(version="1"))


def test_version_that_does_not_exist_is_named(champion, run):
    with pytest.raises(AirflowFailException, match="no version '9'"):
        run(deploy(version="9"))


def test_champion_that_is_not_served_any_more_is_brought_back_first(champion, run):
    champion.serving.__init__()
    run(deploy())
    assert shape(champion.serving.traffic("m"))[:2] == ("1", "2")


def test_stranger_in_service_stops_the_rollout_and_stays(champion, run):
    champion.serving.claim("m", "hand")
    champion.serving.deploy("m", "7", champion.model_dir, holder="hand")
    champion.serving.promote("m", "7", holder="hand")
    champion.serving.release("m", "hand")
    with pytest.raises(AirflowFailException, match="version 7 serves but the registry's champion is 1"):
        run(deploy())
    assert champion.serving.traffic("m").stable == "7"


def test_champion_that_moved_meanwhile_stops_the_promotion_before_traffic_moves(champion, run):
    state = run(shift(run(deploy())))
    champion.registry._aliases["m", CHAMPION_ALIAS] = "5"
    with pytest.raises(AirflowFailException, match="champion is version 5"):
        run(PromoteModelOperator(task_id="p", state=state, **COMMON))
    assert champion.serving.traffic("m").stable == "1"


def test_analysis_waits_on_the_triggerer_with_all_it_needs(champion, run):
    state = run(shift(run(deploy())))
    with pytest.raises(TaskDeferred) as deferred:
        run(analyse(state))
    path, kwargs = deferred.value.trigger.serialize()
    assert path == "airflow_mlops.triggers.canary.CanaryAnalysisTrigger"
    assert CanaryAnalysisTrigger(**kwargs).serialize() == (path, kwargs)
    assert deferred.value.method_name == "execute_complete"


def fire(trigger):
    import asyncio

    async def first():
        return [event async for event in trigger.run()]

    return asyncio.run(first())


@pytest.mark.parametrize(
    ("errors", "decision"),
    [(0, StepDecision.ADVANCE), (40, StepDecision.ROLL_BACK)],
    ids=["healthy", "failing"],
)
def test_trigger_and_worker_decide_alike(champion, run, errors, decision):
    state = run(shift(run(deploy())))
    asking(champion, errors=errors)
    path = {"serving_conn_id": "x", "endpoint": "m", "plan": PLAN.to_json(), "state": state}
    events = fire(CanaryAnalysisTrigger(**path))
    assert [event.payload["decision"] for event in events] == [decision]


def test_gateway_that_does_not_answer_is_no_evidence_and_never_success(champion, run):
    state = run(shift(run(deploy())))

    def silent(endpoint):
        raise ServiceUnavailableError("gateway is gone")

    champion.serving.counters = silent
    short = plan(bake_seconds=0.0, window_seconds=0.001, deadline_seconds=0.05).to_json()
    events = fire(CanaryAnalysisTrigger(serving_conn_id="x", endpoint="m", plan=short, state=state))
    assert [event.payload["decision"] for event in events] == ["inconclusive"]


def test_step_does_not_begin_while_counters_cannot_be_read(champion, run):
    state = run(deploy())

    def silent(endpoint):
        raise ServiceUnavailableError("gateway is gone")

    champion.serving.counters = silent
    with pytest.raises(ServiceUnavailableError, match="gateway is gone"):
        run(shift(state))


def test_state_handed_over_is_small(champion, run):
    state = run(shift(run(deploy())))
    asking(champion)
    returned = run(analyse(state, deferrable=False))
    assert returned["trace"] == []
    assert len(str(returned)) < 3000


def test_report_of_a_promoted_version_is_kept_and_linked(champion, run):
    state = run(shift(run(deploy())))
    asking(champion)
    run(PromoteModelOperator(task_id="p", state=run(analyse(state, deferrable=False)), **COMMON))
    run(CleanUpRolloutOperator(task_id="c", **COMMON))
    kept = champion.evidence.runs["m__stage/run-1"].documents
    assert "Promoted" in kept["rollout_report.html"]
    assert [step["percent"] for step in kept["rollout_report.json"]["steps"]] == [10]
    assert champion.context["ti"].link(FullReportLink).endswith("/artifacts/rollout_report.html")


def test_report_after_a_rollback_says_why(champion, run):
    state = run(shift(run(deploy())))
    asking(champion, canary=10, errors=5, stable=90)
    with pytest.raises(AirflowFailException):
        run(analyse(state, deferrable=False))
    run(RollbackOperator(task_id="r", **COMMON))
    kept = champion.evidence.runs["m__stage/run-1"].documents
    assert "canary fails more than stable" in kept["rollout_report.json"]["reason"]
    assert "Rolled back" in kept["rollout_report.html"]


def test_rollback_without_a_report_is_a_rollback(champion, run, caplog):
    run(deploy())
    champion.evidence.runs["m__stage/run-1"].documents.clear()
    run(RollbackOperator(task_id="r", **COMMON))
    assert "no report of the rollout of m" in caplog.text
    assert shape(champion.serving.traffic("m")) == ("1", None, 0, None)


def test_old_version_is_kept_for_as_long_as_the_plan_says(champion, run):
    run(deploy())
    champion.serving.promote("m", "2", holder="m__stage/run-1")
    with pytest.raises(TaskDeferred) as deferred:
        run(CleanUpRolloutOperator(task_id="c", keep_old_seconds=3600.0, **COMMON))
    assert deferred.value.method_name == "execute_complete"
    assert set(champion.serving.counters("m").versions) == {"1", "2"}
