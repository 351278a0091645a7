"""Between validation and nomination in a real Airflow: tried, described, and a person decides."""

from __future__ import annotations

import httpx
import mlflow
import pytest
from standing import wait_for_form

from airflow_mlops.demo.api import AirflowApi

pytestmark = [pytest.mark.integration, pytest.mark.slow]
TRAINING, ROLLOUT, UNANSWERED = "careful__training", "careful__rollout", "careful__unanswered"


def form_of(run):
    return f"dags/{TRAINING}/dagRuns/{run}/taskInstances/approve_model/-1/hitlDetails"


def answer(api, run, option, comment):
    api._send("PATCH", form_of(run), json={"chosen_options": [option], "params_input": {"comment": comment}})


def answer_once(airflow, run, option, comment):
    """Answer as soon as Airflow waits: it may drop the answer then, and it must hold all the same."""
    answer(airflow.api, run, option, comment)
    airflow.api.wait(
        lambda: airflow.api.tasks(TRAINING, run)["approve_model"]["state"] == "success", 120, "the answer"
    )


def states(airflow, run):
    return {name: task["state"] for name, task in airflow.api.tasks(TRAINING, run).items()}


def test_person_approves_one_candidate_and_rejects_the_next(airflow):
    airflow.api.wait_for_dags(TRAINING, ROLLOUT, UNANSWERED)
    airflow.api._send("PATCH", f"dags/{ROLLOUT}", json={"is_paused": True})
    first = wait_for_form(airflow, "careful", "2013-01")
    asked = airflow.api.get(form_of(first))
    assert asked["subject"] == "Make version 1 of careful a challenger?"
    assert "| all | roc\\_auc |" in asked["body"]
    assert "/artifacts/model_card.html)" in asked["body"]
    assert "/artifacts/update_report.html)" in asked["body"]
    assert [user["id"] for user in asked["assigned_users"]] == ["admin"]
    other = AirflowApi(airflow.services.airflow_url, "op", "op")
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        answer(other, first, "Approve", "me too")
    answer_once(airflow, first, "Approve", "good on storms")
    assert airflow.api.wait_for_run(TRAINING, first)["state"] == "success"
    assert states(airflow, first)["nominate_challenger"] == "success"
    tags = airflow.registry.version("careful", "1").tags
    assert (tags["mlops.approval"], tags["mlops.approval_by"]) == ("approved", "admin")
    assert tags["mlops.approval_comment"] == "good on storms"

    second = wait_for_form(airflow, "careful", "2013-02")
    answer_once(airflow, second, "Reject", "not on a Friday")
    assert airflow.api.wait_for_run(TRAINING, second)["state"] == "success"
    assert states(airflow, second)["nominate_challenger"] == "skipped"
    rejected = airflow.registry.version("careful", "2")
    assert rejected.tags["mlops.approval_comment"] == "not on a Friday"

    with airflow.registry.server.session():
        decision = mlflow.artifacts.load_dict(f"runs:/{rejected.evidence_run}/approval.json")
        card = mlflow.artifacts.load_text(f"runs:/{rejected.evidence_run}/model_card.md")
        tried = mlflow.artifacts.load_dict(f"runs:/{rejected.evidence_run}/readiness_report.json")
        update = mlflow.artifacts.load_dict(f"runs:/{rejected.evidence_run}/update_report.json")
        page = mlflow.artifacts.load_text(f"runs:/{rejected.evidence_run}/update_report.html")
        approved = airflow.registry.version("careful", "1").evidence_run
        before = mlflow.artifacts.load_dict(f"runs:/{approved}/update_report.json")
    assert (decision["answer"], decision["by"], decision["because"]) == ("rejected", "admin", "person")
    assert "- 1: A test." in card
    assert "- Latency: p50" in card
    assert tried["verdict"]["outcome"] in ("pass", "warn")
    link = airflow.api.get(f"dags/{TRAINING}/dagRuns/{second}/taskInstances/write_model_card/links")
    assert link["extra_links"]["Full report"].endswith("/artifacts/model_card.html")
    assert link["extra_links"]["Update report"].endswith("/artifacts/update_report.html")
    assert (before["state"], update["state"]) == ("challenger", "rejected")
    assert [one["part"] for one in before["missing"]] == [
        "rollout",
        "calibration",
        "fairness",
        "behaviour",
        "security",
    ]
    assert "rejected by admin: not on a Friday" in page

    assert [(d.decision, d.comment) for d in airflow.registry.decisions("careful")] == [
        ("approved", "good on storms"),
        ("rejected", "not on a Friday"),
    ]
    told = {
        "candidate": airflow.api.xcom(TRAINING, second, "train_model"),
        "verdict": airflow.api.xcom(TRAINING, second, "validate_model"),
    }
    third = airflow.api.trigger(UNANSWERED, conf=told)
    assert airflow.api.wait_for_run(UNANSWERED, third, 120)["state"] == "success"
    last = airflow.registry.decisions("careful")[-1]
    assert (last.decision, last.because, last.actor, last.user) == ("rejected", "timeout", "", "")
    assert (last.run_id, last.by) == (third, "the default: nobody answered in time")
    assert (airflow.registry.ledger("careful"), airflow.registry.settle("careful")) == ([], None)
