from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput, TaskDeferred
from builders import candidate, comparison, measurements, promotion, report, verdict
from fakes.task_instance import TaskInstance

from airflow_mlops.backends.serving.readiness import probe as readiness
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.release.card import Statement
from airflow_mlops.core.release.readiness import (
    Difference,
    ReadinessMeasurements,
)
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.links import FullReportLink
from airflow_mlops.operators.approval import ApproveModelOperator
from airflow_mlops.operators.card import WriteModelCardOperator
from airflow_mlops.operators.readiness import CheckReadinessOperator
from airflow_mlops.runtime.paths import VALIDATION_PATH

RUN = "m__stage/run-1"
FOUND = measurements()
REFUSED = verdict(Outcome.FAIL, "validation").to_json()
PASSED = verdict(Outcome.PASS, "validation").to_json()
WARNED = verdict(Outcome.WARN, "readiness").to_json()
CANDIDATE = candidate(version="1").to_json()


@pytest.fixture
def registered(world):
    world.registry.register("m", RUN, str(world.model_dir), {"mlops.git_sha": "abc"})
    return world


def with_evidence(world, run_report):
    world.evidence.runs[RUN].documents["validation_report.json"] = run_report.to_json()


@pytest.fixture
def try_found(monkeypatch):
    def set_found(found):
        keys = []
        monkeypatch.setattr(readiness, "probe_version", lambda *a, key: keys.append(key) or found)
        return keys

    return set_found


def check(run, **more):
    return run(CheckReadinessOperator(task_id="ready", model="m", candidate=CANDIDATE, **more))


def test_ready_version_returns_its_verdict_and_keeps_what_was_measured(registered, run, try_found):
    keys = try_found(FOUND)
    assert check(run, verdict=PASSED)["outcome"] == "pass"
    assert keys == ["m__stage/run-1/ready/-1"]
    kept = registered.evidence.runs[RUN]
    assert kept.documents["readiness_report.json"]["measured"]["one_by_one"]["p99_ms"] == 10.0
    assert kept.metrics["readiness_p99_ms"] == 10.0
    assert kept.tags["mlops.readiness"] == "pass"


def test_version_that_is_not_ready_fails_without_retry_after_the_report_is_kept(registered, run, try_found):
    try_found(ReadinessMeasurements(model="m", version="1", unusable="ended while starting"))
    with pytest.raises(AirflowFailException, match="readiness: fail: ended while starting"):
        check(run)
    assert registered.evidence.read_json(RUN, "readiness_report.json")["verdict"]["outcome"] == "fail"
    assert registered.evidence.tags(RUN)["mlops.readiness"] == "fail"
    assert registered.registry.version("m", "1").tags["mlops.readiness"] == "fail"
    assert registered.evidence.runs[RUN].status == "FAILED"


def card(run, **more):
    return run(WriteModelCardOperator(task_id="card", model="m", candidate=CANDIDATE, **more))


def test_card_is_kept_on_the_candidates_run_and_linked(registered, run, tmp_path):
    rules = "expectations: [{type: expect_table_row_count_to_be_between, kwargs: {min_value: 1}}]"
    (tmp_path / "s.yaml").write_text(f"name: flights\nmeta: {{version: 3}}\n{rules}\n")
    kept = card(run, schema=str(tmp_path / "s.yaml"), statement=Statement(intended_use="Ranks."))
    assert kept == {"evidence_run": RUN, "path": "model_card.html"}
    documents = registered.evidence.runs[RUN].documents
    assert "- Suite: flights\n- Version: 3\n- Digest: sha256:" in documents["model_card.md"]
    assert "Ranks." in documents["model_card.html"]
    assert registered.context["ti"].link(FullReportLink).endswith("/artifacts/model_card.html")


def test_card_without_a_required_section_is_kept_and_then_fails_naming_it(registered, run):
    with pytest.raises(AirflowFailException, match="required section limitations, metrics is empty"):
        card(run, required=("limitations", "metrics", "data"))
    kept = registered.evidence.runs[RUN]
    assert "model_card.html" in kept.documents
    assert kept.status == "FAILED"


def approve(**more):
    options = {"task_id": "approve", "model": "m", "candidate": CANDIDATE, "verdicts": [PASSED, WARNED]}
    return ApproveModelOperator(**options | more)


def event(option, **more):
    at = datetime(2026, 1, 2, tzinfo=UTC)
    answer = {"chosen_options": [option], "params_input": {"comment": "looks fine"}, "responded_at": at}
    return answer | {"responded_by_user": {"id": "7", "name": "ann"}, "timedout": False} | more


def test_form_has_the_comparison_links_who_may_answer_and_what_holds_then(registered, run, forms):
    with pytest.raises(AirflowSkipException):  # opens the evidence run
        run(approve(verdicts=[REFUSED]))
    registered.evidence.open(SimpleNamespace(model="m", dag_id="m__stage", run_id="run-1"))
    with_evidence(registered, report(comparison()))
    wanted = {"approvers": {"7": "ann"}, "timeout": timedelta(hours=1), "default": "approve"}
    operator = approve(card={"evidence_run": RUN, "path": "model_card.html"}, **wanted)
    with pytest.raises(TaskAwaitingInput) as waits:
        run(operator, task_instance=TaskInstance())
    assert waits.value.timeout == timedelta(hours=1)
    (form,) = forms
    assert form["subject"] == "Make version 1 of m a challenger?"
    assert "| all | roc\\_auc | 1000 | 0.8100 | champion |" in form["body"]
    assert f"[model card](http://mlflow/{RUN}/artifacts/model_card.html)" in form["body"]
    assert (form["assigned_users"], form["defaults"]) == ([{"id": "7", "name": "ann"}], ["Approve"])
    assert list(form["params"]) == ["comment"]


@pytest.mark.parametrize(
    ("answer", "decided"),
    [
        (event("Approve"), ("approved", "ann", "person", "looks fine")),
        (event("Reject"), ("rejected", "ann", "person", "looks fine")),
        (
            event("Reject", responded_by_user=None, timedout=True, params_input={}),
            ("rejected", "", "timeout", ""),
        ),
    ],
)
def test_decision_and_comment_are_kept_as_evidence_and_tags(registered, run, answer, decided):
    operator = approve()
    operator.execute = lambda context: operator.execute_complete(context, answer)
    kept = run(operator)
    assert (kept["answer"], kept["by"], kept["because"], kept["comment"]) == decided
    assert kept["at"] == "2026-01-02T00:00:00+00:00"
    assert registered.evidence.read_json(RUN, "approval.json") == kept
    tags = registered.registry.version("m", "1").tags
    assert (tags["mlops.approval"], tags["mlops.approval_by"]) == (decided[0], decided[1] or "timeout")
    assert tags["mlops.approval_comment"] == decided[3]
    assert registered.evidence.runs[RUN].status == ("FINISHED" if decided[0] == "rejected" else "RUNNING")
    (entry,) = registered.registry.decisions("m")
    assert (entry.decision, entry.actor, entry.because, entry.comment) == decided
    assert (entry.dag_id, entry.run_id, entry.version) == ("m__stage", "run-1", "1")
    assert (entry.user, entry.at) == ("7" if decided[1] else "", answer["responded_at"].timestamp())
    assert (registered.registry.ledger("m"), registered.registry.alias("m", "champion")) == ([], None)


def test_version_is_marked_as_asked_about_until_somebody_answers(registered, run, forms):
    with pytest.raises(TaskAwaitingInput):
        run(approve(), task_instance=TaskInstance())
    assert registered.registry.version("m", "1").tags["mlops.approval"] == "asked"


@pytest.fixture
def overtaken(registered, run, forms):
    """The question about version 1 waits, and version 2 has become champion meanwhile."""

    def ask(versions):
        registered.evidence.open(SimpleNamespace(model="m", dag_id="m__stage", run_id="run-1"))
        if versions is not None:
            with_evidence(registered, replace(report(comparison()), versions=versions))
        with pytest.raises(TaskAwaitingInput):
            run(approve(), task_instance=TaskInstance())
        registered.registry.register("m", "another", str(registered.model_dir), {})
        registered.registry.promote(promotion("m", None, "2"))
        operator = approve()
        operator.execute = lambda context: operator.execute_complete(context, event(ask.option))
        return run(operator)

    ask.option = "Approve"
    return ask


@pytest.mark.parametrize(
    "versions", [{"challenger": "1"}, None], ids=["compared with nothing", "asked beside nothing"]
)
def test_approval_of_a_stale_comparison_is_refused_with_the_new_facts(overtaken, registered, versions):
    facts = "not approved: m version 1 was compared with no champion, and champion is now 2; clear validate"
    with pytest.raises(AirflowFailException, match=facts):
        overtaken(versions)
    assert registered.registry.decisions("m") == []
    assert registered.registry.version("m", "1").tags["mlops.approval"] == "asked"


def test_rejection_of_a_stale_comparison_is_kept(overtaken, registered):
    overtaken.option = "Reject"
    assert overtaken({"challenger": "1"})["answer"] == "rejected"
    assert [one.decision for one in registered.registry.decisions("m")] == ["rejected"]


def test_approval_of_a_comparison_with_the_present_champion_holds(overtaken, registered):
    assert overtaken({"challenger": "1", "champion": "2"})["answer"] == "approved"


@pytest.mark.parametrize("option", ["Approve", "Reject"])
def test_decision_holds_when_the_task_was_killed_before_it_ended(registered, run, forms, option):
    operator = approve()
    operator.execute = lambda context: operator.execute_complete(context, event(option))
    kept = run(operator)
    assert run(approve()) == kept
    assert forms == []
    assert len(registered.registry.decisions("m")) == 1


def test_decision_that_was_kept_but_not_written_to_the_ledger_is_written_by_the_next_try(registered, run):
    operator = approve()
    operator.execute = lambda context: operator.execute_complete(context, event("Reject"))
    kept = run(operator)
    registered.registry._decisions.clear()
    assert run(approve()) == kept
    assert [d.actor for d in registered.registry.decisions("m")] == ["ann"]


def test_decision_names_the_verdicts_it_rests_on(registered, run):
    ready = WARNED | {"report": {"evidence_run": RUN, "path": "readiness_report.json"}}
    operator = approve(verdicts=[PASSED, ready])
    operator.execute = lambda context: operator.execute_complete(context, event("Approve"))
    registered.evidence.open(SimpleNamespace(model="m", dag_id="m__stage", run_id="run-1"))
    with_evidence(registered, report(comparison()))
    run(operator)
    (entry,) = registered.registry.decisions("m")
    assert set(entry.verdicts) == {f"{RUN}/readiness_report.json", f"{RUN}/validation_report.json"}


def ask(run, **more):
    with pytest.raises(TaskAwaitingInput):
        run(approve(**more), task_instance=TaskInstance(), ti=TaskInstance())


HEARD = {key: value for key, value in event("Approve").items() if key != "timedout"} | {
    "responded_at": "2026-01-02T00:00:00+00:00"
}


def test_try_after_the_question_looks_for_an_answer_before_it_asks_again(registered, run, forms):
    ask(run)
    with pytest.raises(TaskDeferred) as deferred:
        run(approve(), ti=TaskInstance())
    path, kwargs = deferred.value.trigger.serialize()
    assert (path, kwargs) == ("airflow_mlops.triggers.answer.AnswerTrigger", {"ti_id": "ti"})
    assert deferred.value.method_name == "execute_unless_answered"
    assert len(forms) == 1


def test_answer_that_airflow_dropped_holds_and_nobody_is_asked_again(registered, run, forms):
    ask(run)
    operator = approve()
    operator.execute = lambda context: operator.execute_unless_answered(context, HEARD)
    kept = run(operator)
    assert (kept["answer"], kept["by"], kept["because"]) == ("approved", "ann", "person")
    assert [d.comment for d in registered.registry.decisions("m")] == ["looks fine"]
    assert len(forms) == 1


def test_form_comes_again_and_says_so_when_there_is_no_answer(registered, run, forms):
    ask(run)
    operator = approve()
    operator.execute = lambda context: operator.execute_unless_answered(context, {})
    with pytest.raises(TaskAwaitingInput):
        run(operator, task_instance=TaskInstance())
    first, again = forms
    assert "You may have answered this before" not in first["body"]
    assert again["body"].startswith("**You may have answered this before.**")


def test_lost_answer_does_not_fail_the_run_unless_the_author_wants_no_retries():
    assert approve().retries == 2
    assert approve(retries=0).retries == 0
    with DAG("d", schedule=None, default_args={"retries": 5}):
        assert (approve().retries, approve(task_id="other", retries=1).retries) == (5, 1)


def test_person_is_asked_again_after_nobody_answered_in_time(registered, run, forms):
    operator = approve()
    late = event("Reject", responded_by_user=None, timedout=True)
    operator.execute = lambda context: operator.execute_complete(context, late)
    run(operator)
    with pytest.raises(TaskAwaitingInput):
        run(approve(), task_instance=TaskInstance())
    assert [d.by for d in registered.registry.decisions("m")] == ["the default, without an answer in time"]


def test_nobody_is_asked_without_a_warning_if_only_warnings_matter(registered, run, forms):
    kept = run(approve(verdicts=[PASSED], when="on_warning"))
    assert (kept["answer"], kept["because"], forms) == ("approved", "no warning", [])
    assert [d.by for d in registered.registry.decisions("m")] == ["the configuration, without a warning"]
    with pytest.raises(TaskAwaitingInput):
        run(approve(when="on_warning"), task_instance=TaskInstance())


def test_form_without_a_report_is_shown_all_the_same(registered, run, forms):
    with pytest.raises(TaskAwaitingInput):
        run(approve(), task_instance=TaskInstance())
    with pytest.raises(InvalidRecordError):
        registered.evidence.read_json(RUN, VALIDATION_PATH)
    assert "**readiness: warn**" in forms[0]["body"]


@pytest.mark.parametrize("task", ["readiness", "card", "approval"])
def test_what_validation_refused_is_skipped(registered, run, task, try_found):
    try_found(FOUND)
    tasks = {
        "readiness": lambda: check(run, verdict=REFUSED),
        "card": lambda: card(run, verdict=REFUSED),
        "approval": lambda: run(approve(verdicts=[REFUSED])),
    }
    with pytest.raises(AirflowSkipException, match="validation: fail"):
        tasks[task]()


def test_other_versions_reach_the_report(registered, run, try_found):
    unmet = (Difference(package="numpy", recorded="==1", found="2"),)
    try_found(ReadinessMeasurements.from_json(FOUND.to_json() | {"differences": [unmet[0].to_json()]}))
    assert check(run)["findings"][0]["reason"] == "numpy: recorded ==1, serving has 2"
