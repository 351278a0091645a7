from __future__ import annotations

import pytest
import yaml
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from pydantic import TypeAdapter, ValidationError

from airflow_mlops.core.errors import InvalidConfigError, InvalidPlanError
from airflow_mlops.core.input_errors import explain
from airflow_mlops.core.rollout.freeze import FreezePeriod, WeeklyFreeze
from airflow_mlops.core.rollout.plan import RolloutMetric, Step, Strategy
from airflow_mlops.dag_factories.rollout import People, canary_rollout
from airflow_mlops.dag_factories.rollout_config import RolloutConfig

TEXT = """
steps: [5, {percent: 25, approve: true, bake: 1h, deadline: 3h}, 100]
metrics: [errors, latency]
keep_old: 1h
warm_up: 10s
lease: 2m
on_inconclusive: hold
freeze:
  - {days: [fri, sat], start: "16:00", hours: 62, timezone: Europe/Zurich}
  - {start: "2026-12-23T16:00+01:00", end: "2027-01-04T08:00+01:00"}
"""


def load(text):
    try:
        return TypeAdapter(RolloutConfig).validate_python(yaml.safe_load(text))
    except ValidationError as error:
        raise InvalidConfigError(explain(error, RolloutConfig)) from error


def test_all_that_a_plan_can_say_is_said_in_yaml():
    plan = load(TEXT).plan()
    assert plan.percents == (5, 25, 100)
    assert plan.optional_metrics == ()  # metrics that are given are the only ones
    second = Step(percent=25, approve=True, bake_seconds=3600, deadline_seconds=10800, min_requests=50)
    assert plan.step_at(25) == second
    assert plan.metrics == (RolloutMetric.ERRORS, RolloutMetric.LATENCY)
    assert (plan.keep_old_seconds, plan.warm_up_seconds, plan.lease_seconds) == (3600, 10, 120)
    assert [type(freeze) for freeze in plan.freeze] == [WeeklyFreeze, FreezePeriod]
    assert plan.freeze[0].hours == 62


@pytest.mark.parametrize(
    ("strategy", "percents"), [("blue_green", (100,)), ("ab", (50,)), ("canary", (5, 25, 50))]
)
def test_strategy_brings_its_steps(strategy, percents):
    plan = load(f"strategy: {strategy}").plan()
    assert (plan.strategy, plan.percents) == (Strategy(strategy), percents)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (
            "approve:",
            "aprove:",
            r"unknown key 'steps\.1\.aprove'; one of: percent, .*bake.*did you mean 'approve'",
        ),
        ("percent: 25", "percent: a lot", r"steps\.1\.percent: .*'a lot'"),
        ("bake: 1h", "bake: an hour", r"steps\.1\.bake: 'an hour' is no duration"),
        ("days:", "dayz:", r"unknown key 'freeze\.0\.dayz'; one of: days, .*did you mean 'days'"),
        ("hours:", "huors:", r"unknown key 'freeze\.0\.huors'.*did you mean 'hours'"),
        ("[fri, sat]", "[friday]", r"freeze\.0\.days\.0: 'friday', one of: mon, .*did you mean 'fri'"),
        ("Europe/Zurich", "Europe/Zurch", r"freeze\.0: .*'Europe/Zurch', allowed: names such as"),
        ("end:", "ends:", r"unknown key 'freeze\.1\.ends'; one of: start, end; did you mean 'end'"),
        ("freeze:\n", "freeze: friday\nspare:\n", "freeze: 'friday', allowed: a list"),
        (
            "  - {start",
            "  - friday\n  - {start",
            r"freeze\.1: 'friday', allowed: keys start and end, or days",
        ),
        ("[5, {", "[true, {", r"steps\.0: True, allowed: a whole percent, or keys"),
        ("keep_old", "keep_odl", "unknown key 'keep_odl'; one of: .*did you mean 'keep_old'"),
        (
            "[errors, latency]",
            "[errors, latencies]",
            r"metrics\.1: 'latencies', one of: errors, .*did you mean 'latency'",
        ),
        (
            "steps:",
            "strategy: green\nsteps:",
            "strategy: 'green', one of: canary, blue_green, ab; did you mean 'blue_green'",
        ),
    ],
)
def test_mistake_is_named_with_what_is_allowed(before, after, named):
    with pytest.raises(InvalidConfigError, match=named):
        load(TEXT.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("lease: 2m", "lease: 5s", r"rollout.lease: 5.0 s, allowed: above window \(5.0 s\)"),
        ("lease: 2m", "answer_within: 0", "rollout.answer_within: 0 s, allowed: above 0"),
        ("deadline: 3h", "deadline: 1h", r"rollout.steps\[1\].deadline: 3600.0 s, allowed: above bake"),
        ("steps:", "strategy: blue_green\nsteps:", r"strategy blue_green, allowed: \[100\]"),
        ("5, {", "50, {", "25 % after 50 %, allowed: strictly rising"),
        ("steps:", "alpha: 0.7\nsteps:", "rollout.alpha: 0.7, allowed: above 0 up to 0.5"),
    ],
)
def test_plan_that_must_not_be_carried_out_is_refused_when_it_is_read(before, after, named):
    with pytest.raises(InvalidPlanError, match=named):
        load(TEXT.replace(before, after))


@pytest.fixture
def group():
    def build(text):
        with DAG("d", schedule=None) as dag:
            canary_rollout(model="m", version="2", plan=load(text).plan(), people=People(approvers=("ann",)))
        return dag

    return build


def test_step_that_needs_a_person_asks_one_and_any_failure_rolls_back(group):
    dag = group("steps: [5, {percent: 25, approve: true}]")
    assert {t for t in dag.task_ids if t.startswith("step_1")} == {
        "step_1_5pct.set_traffic",
        "step_1_5pct.analyse",
    }
    ask = dag.get_task("step_2_25pct.ask")
    assert ask.upstream_task_ids == {"step_2_25pct.analyse"}
    assert (ask.response_timeout.days, ask.assigned_users) == (1, [{"id": "ann", "name": "ann"}])
    assert dag.get_task("step_2_25pct.conclude").downstream_task_ids >= {"promote", "roll_back"}
    assert {"step_2_25pct.ask", "step_2_25pct.conclude"} <= dag.get_task("roll_back").upstream_task_ids
    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert set(back.task_ids) == set(dag.task_ids)


@pytest.mark.parametrize("text", ["on_inconclusive: hold", "metrics: [errors, predictions]"])
def test_every_step_asks_where_evidence_alone_may_not_decide(group, text):
    assert len([task for task in group(text).task_ids if task.endswith(".ask")]) == 3


SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"


def test_notifier_in_yaml_is_built_and_reaches_every_task_that_tells():
    rollout = load(f"notifiers: [{{class: {SMTP}, to: a@example.org, subject: '{{{{ rollout.subject }}}}'}}]")
    (notifier,) = rollout.notifiers
    assert (type(notifier).__name__, notifier.to) == ("SmtpNotifier", "a@example.org")
    with DAG("notified", schedule=None) as dag:
        canary_rollout(
            model="m", version="2", plan=rollout.plan(), people=People(notifiers=rollout.notifiers)
        )
    tell = [task for task in dag.tasks if task.task_id.split(".")[-1] not in ("ask",)]
    assert {task.notifiers for task in tell} == {(notifier,)}
    DagSerialization.to_dict(dag)
    assert notifier.subject == "{{ rollout.subject }}"


@pytest.mark.parametrize(
    ("notifier", "named"),
    [
        ("{to: ann}", r"notifiers\.0: .*no class ''.*allowed: 'class', the path"),
        ("{class: nowhere.At}", r"no class 'nowhere.At' \(No module named 'nowhere'\)"),
        ("{class: pathlib.Path}", "pathlib.Path is no notifier"),
        (f"{{class: {SMTP}, reciever: ann}}", "unexpected keyword argument|missing 1 required"),
        ("ann@example.org", r"notifiers\.0: .*instance of BaseNotifier"),
    ],
)
def test_notifier_that_cannot_be_built_is_named(notifier, named):
    with pytest.raises(InvalidConfigError, match=named):
        load(f"notifiers: [{notifier}]")


@pytest.mark.parametrize("text", ["lease: 2m", "{strategy: blue_green}", "{strategy: ab}"])
def test_client_errors_and_latency_are_watched_where_they_can_be(text):
    plan = load(text).plan()
    assert plan.metrics == (RolloutMetric.ERRORS,)
    assert plan.optional_metrics == (RolloutMetric.CLIENT_ERRORS, RolloutMetric.LATENCY)


def test_metrics_may_be_demanded_and_others_wished():
    plan = load("{metrics: [errors, latency], optional_metrics: [client_errors]}").plan()
    assert plan.watched((RolloutMetric.CLIENT_ERRORS,), champion="1") == (
        RolloutMetric.ERRORS,
        RolloutMetric.LATENCY,
        RolloutMetric.CLIENT_ERRORS,
    )
