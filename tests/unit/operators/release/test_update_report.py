"""The update report grows with what the tasks of a DAG run keep, and never stops one of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from builders import VALIDATED, candidate, comparison, plan, report, verdict

from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.release.readiness import ReadinessMeasurements
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.links import UpdateReportLink
from airflow_mlops.operators.approval import ApproveModelOperator
from airflow_mlops.operators.card import WriteModelCardOperator
from airflow_mlops.operators.readiness import CheckReadinessOperator
from airflow_mlops.operators.rollout import DeployCanaryOperator, RollbackOperator
from airflow_mlops.operators.validation import NominateChallengerOperator, ValidateModelOperator

RUN = "m__stage/run-1"
CANDIDATE = candidate(version="1").to_json()
PASSED, REFUSED = (verdict(outcome, "validation").to_json() for outcome in (Outcome.PASS, Outcome.FAIL))
COMMON = {"model": "m", "candidate": CANDIDATE}


@pytest.fixture
def judged(world, run, monkeypatch):
    """A validated candidate; the comparison itself is tested elsewhere."""

    def say(outcome=Outcome.PASS):
        said = report(comparison(), outcome=outcome)
        monkeypatch.setattr(ValidateModelOperator, "_judge", lambda self, *known: said)
        task = ValidateModelOperator(task_id="v", data=None, policy=None, **COMMON)
        return run(task), task

    world.registry.register("m", RUN, str(world.model_dir), {})
    key = EvidenceKey(model="m", dag_id="m__stage", run_id="run-1")
    world.evidence.write_json(world.evidence.open(key), "candidate.json", CANDIDATE)
    world.say = say
    return world


def written(world):
    documents = world.evidence.runs[RUN].documents
    return documents["update_report.json"], documents["update_report.html"]


def nominate(run, said=PASSED):
    return run(NominateChallengerOperator(task_id="n", verdict=said, **COMMON))


def answered(run, option, comment):
    task = ApproveModelOperator(task_id="a", verdicts=[PASSED], **COMMON)
    answer = {"chosen_options": [option], "params_input": {"comment": comment}, "timedout": False}
    answer |= {"responded_at": datetime(2026, 1, 2, tzinfo=UTC), "responded_by_user": {"id": "7"}}
    task.execute = lambda context: task.execute_complete(context, answer)
    return run(task)


def test_report_is_there_and_linked_as_soon_as_validation_spoke(judged):
    judged.say()
    document, page = written(judged)
    assert (document["state"], document["version"]) == ("undecided", "1")
    assert "Not decided yet" in page
    assert judged.context["ti"].link(UpdateReportLink) == f"http://mlflow/{RUN}/artifacts/update_report.html"
    missing = {one["part"]: one["reason"] for one in document["missing"]}
    assert missing["readiness"] == missing["approval"] == "no task of this run stored it"


def test_refusal_is_reported_though_nomination_skips(judged, run):
    judged.say(Outcome.FAIL)
    with pytest.raises(AirflowSkipException):
        nominate(run, REFUSED)
    document, page = written(judged)
    assert (document["state"], document["reasons"]) == ("refused", ["validation fail"])
    assert "Refused by validation" in page


def test_version_that_is_not_ready_is_reported_before_its_task_fails(judged, run, monkeypatch):
    judged.say()
    gone = ReadinessMeasurements(model="m", version="1", unusable="ended while starting")
    monkeypatch.setattr("airflow_mlops.backends.serving.readiness.probe.probe_version", lambda *a, key: gone)
    with pytest.raises(AirflowFailException, match="ended while starting"):
        run(CheckReadinessOperator(task_id="r", **COMMON))
    assert written(judged)[0]["state"] == "not ready"


def test_decision_and_comment_are_in_the_report(judged, run):
    judged.say()
    answered(run, "Reject", "not on a <script>Friday")
    document, page = written(judged)
    assert (document["state"], document["approval"]["comment"]) == ("rejected", "not on a <script>Friday")
    assert "<script" not in page
    answered(run, "Approve", "good on storms")
    nominate(run)
    document, page = written(judged)
    assert document["state"] == "challenger"
    assert "good on storms" in page


def test_answer_about_another_version_is_not_taken_for_this_one(judged, run):
    judged.say()
    answered(run, "Approve", "fine")
    judged.evidence.runs[RUN].documents["approval.json"]["version"] = "9"
    nominate(run)
    document, _ = written(judged)
    assert document["approval"] is None
    assert {one["part"]: one["reason"] for one in document["missing"]}["approval"].endswith(
        "it is about version 9"
    )


def test_written_twice_it_is_the_same_but_for_the_time(judged, run):
    judged.say()
    first = nominate(run) and written(judged)[0]
    again = nominate(run) and written(judged)[0]
    assert first | {"written_at": ""} == again | {"written_at": ""}
    assert sum("update_report" in path for path in judged.evidence.runs[RUN].documents) == 2


def test_part_that_cannot_be_read_is_named_and_the_others_are_there(judged, run):
    judged.evidence.runs[RUN].documents |= {"skew_report.json": {"odd": 1}, "profile.json": {"format": 1}}
    judged.say()
    document, page = written(judged)
    missing = {one["part"]: one["reason"] for one in document["missing"]}
    assert "skew_report.json cannot be read" in missing["skew"]
    assert "profile.json cannot be read" in missing["data"]
    assert document["validation"]["verdict"]["outcome"] == "pass"
    assert "skew_report.json cannot be read" in page


@pytest.mark.parametrize("error", [ServiceUnavailableError("MLflow is away"), ZeroDivisionError("a bug")])
def test_report_that_fails_changes_nothing_that_was_decided(judged, run, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("airflow_mlops.backends.reporting.update.render_update", fail)
    said, _ = judged.say(Outcome.FAIL)
    assert said["outcome"] == "fail"
    kept = judged.evidence.runs[RUN].documents
    assert kept["validation_report.json"]["verdict"] == said
    assert not [path for path in kept if path.startswith("update_report")]


def test_rollout_is_added_to_the_report_of_the_training(judged, run):
    judged.say()
    nominate(run)
    steps = plan()
    rollout = {"run_id": "run-9", "dag_id": "m__rollout"}
    run(DeployCanaryOperator(task_id="d", plan=steps, model="m", version="1"), **rollout)
    nominate(run)
    assert written(judged)[0]["state"] == "rolling out"
    task = RollbackOperator(task_id="r", model="m", version="1")
    run(task, **rollout)
    document, page = written(judged)
    assert document["state"] == "rolled back"
    assert document["rollouts"][0]["evidence_run"] == "m__rollout/run-9"
    assert "before traffic moved" in page
    assert "update_report.json" not in judged.evidence.runs["m__rollout/run-9"].documents
    assert judged.context["ti"].link(UpdateReportLink) == f"http://mlflow/{RUN}/artifacts/update_report.html"


def test_rollout_of_a_version_trained_elsewhere_is_a_rollout(judged, run):
    judged.registry.set_tags("m", "1", VALIDATED)
    run(DeployCanaryOperator(task_id="d", plan=plan(), model="m", version="1"))
    run(RollbackOperator(task_id="r", model="m", version="1"))
    assert "rollout_report.json" in judged.evidence.runs[RUN].documents
    assert "update_report.json" not in judged.evidence.runs[RUN].documents


def test_card_is_rendered_once_and_its_gaps_are_in_the_report_before_they_stop_the_run(
    judged, run, monkeypatch
):
    from airflow_mlops.backends.reporting import page as reporting

    real, times = reporting.render_card, []
    monkeypatch.setattr(reporting, "render_card", lambda card: times.append(1) or real(card))
    judged.say()
    elsewhere = {**CANDIDATE, "evidence_run": "m__stage/run-0"}
    judged.evidence.open(EvidenceKey(model="m", dag_id="m__stage", run_id="run-0"))
    with pytest.raises(AirflowFailException, match="required section limitations is empty"):
        run(WriteModelCardOperator(task_id="c", model="m", candidate=elsewhere, required=("limitations",)))
    assert len(times) == 1
    assert "model_card.html" in judged.evidence.runs["m__stage/run-0"].documents
    document, page = written(judged)
    assert "Limitations" in document["card"]["empty"]
    assert "Not stated: " in page


def test_approval_in_a_dag_of_its_own_finds_what_validation_kept(judged, run):
    judged.say()
    task = ApproveModelOperator(task_id="a", verdicts=[PASSED], when="on_warning", **COMMON)
    run(task, run_id="later")
    document = judged.evidence.runs["m__stage/later"].documents["update_report.json"]
    assert document["validation"]["verdict"]["outcome"] == "pass"
    assert document["approval"]["because"] == "no warning"
    run(DeployCanaryOperator(task_id="d", plan=plan(), model="m", version="1"), dag_id="m__rollout")
    run(RollbackOperator(task_id="r", model="m", version="1"), dag_id="m__rollout")
    document = judged.evidence.runs["m__stage/later"].documents["update_report.json"]
    assert (document["state"], document["validation"]["verdict"]["outcome"]) == ("rolled back", "pass")
