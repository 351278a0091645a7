"""People decide in Airflow's own form, in a real browser; the ledger, its API and its page tell it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import mlflow
import pytest
from standing import state_of, wait_for_form, wait_for_state

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, ROLLBACK, LedgerEntry
from airflow_mlops.cli import main
from airflow_mlops.runtime.ends import NOMINATED_AT

pytestmark = [pytest.mark.integration, pytest.mark.slow]
TRAINING, UNANSWERED = "careful__training", "careful__unanswered"
SHOTS = Path(__file__).parents[2] / "build" / "browser"
SUBJECT = "Make version {} of careful a challenger?"


def shot(page, name):
    """Keep what a person sees, for the documents and for whoever looks into a failure."""
    page.wait_for_load_state("networkidle")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def open_form(page, version):
    """Go where a person finds it: Browse, Required Actions, the question."""
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Required Actions").click()
    page.get_by_text(SUBJECT.format(version)).first.click()
    page.get_by_role("heading", name="What the checks say").wait_for()


def decide(airflow, page, run, button, comment):
    page.locator("[name=element_comment]").fill(comment)
    page.get_by_role("button", name=button, exact=True).click()
    wait_for_state(airflow, TRAINING, run, "approve_model", "success")
    assert airflow.api.wait_for_run(TRAINING, run)["state"] == "success"


def form_of(run):
    return f"dags/{TRAINING}/dagRuns/{run}/taskInstances/approve_model/-1/hitlDetails"


def document(registry, version, name):
    """Return what the evidence run of a version keeps under a name."""
    read = mlflow.artifacts.load_dict if name.endswith(".json") else mlflow.artifacts.load_text
    with registry.server.session():
        return read(f"runs:/{registry.version('careful', version).evidence_run}/{name}")


@pytest.fixture(scope="module")
def approved(airflow, chromium):
    """The run whose candidate is approved; the form waits."""
    return wait_for_form(airflow, "careful", "2013-01")


@pytest.fixture(scope="module")
def decided(airflow, approved):
    """Both runs, once the tests above decided on them."""
    assert len(airflow.registry.decisions("careful")) == 2
    return airflow


def test_person_who_is_no_approver_sees_the_form_and_cannot_decide(airflow, approved, signed_in):
    page = signed_in("op")
    open_form(page, 1)
    page.get_by_role("button", name="Approve", exact=True).click()
    page.get_by_text("You do not have permission to perform this action.").wait_for()
    assert state_of(airflow, TRAINING, approved, "approve_model") == "awaiting_input"
    assert airflow.registry.decisions("careful") == []


def test_form_names_the_documents_and_who_may_answer(airflow, approved, api_of):
    asked = airflow.api.get(form_of(approved))
    assert asked["subject"] == SUBJECT.format(1)
    assert "| all | roc\\_auc |" in asked["body"]
    assert "/artifacts/model_card.html)" in asked["body"]
    assert "/artifacts/update_report.html)" in asked["body"]
    assert [user["id"] for user in asked["assigned_users"]] == ["admin"]
    answer = {"chosen_options": ["Approve"], "params_input": {"comment": "me too"}}
    assert api_of("op").patch(f"/api/v2/{form_of(approved)}", json=answer).status_code == 403


def test_person_sees_the_comparison_and_the_links_and_approves_with_a_comment(airflow, approved, signed_in):
    page = signed_in("admin")
    open_form(page, 1)
    form = page.locator("table", has=page.get_by_role("columnheader", name="Gain, with bounds"))
    cells = form.locator("tbody tr").first.locator("td").all_inner_texts()
    assert (cells[0], cells[1], cells[4], cells[7]) == ("all", "roc_auc", "baseline", "better")
    for name, path in {"validation": "validation_report.json", "model card": "model_card.html"}.items():
        address = page.get_by_role("link", name=name, exact=True).get_attribute("href")
        assert address.startswith(airflow.services.mlflow_url)
        assert address.endswith(f"/artifacts/{path}")
    shot(page, "approval-form")
    decide(airflow, page, approved, "Approve", "good on storms")
    assert airflow.api.tasks(TRAINING, approved)["nominate_challenger"]["state"] == "success"


def given_up(registry, version):
    """Take a nomination for an old one: a version that waits for its rollout is a limit to training."""
    with registry.server.session():
        mlflow.MlflowClient().set_model_version_tag("careful", version, NOMINATED_AT, "0")


def test_person_rejects_the_next_candidate_and_nothing_follows(airflow, approved, signed_in):
    given_up(airflow.registry, "1")
    run = wait_for_form(airflow, "careful", "2013-02")
    page = signed_in("admin")
    open_form(page, 2)
    decide(airflow, page, run, "Reject", "not on a Friday")
    assert airflow.api.tasks(TRAINING, run)["nominate_challenger"]["state"] == "skipped"


def test_both_decisions_are_in_the_ledger_and_no_champion_changed(decided, capsys):
    one, two = decided.registry.decisions("careful")
    assert (one.decision, one.version, one.comment) == ("approved", "1", "good on storms")
    assert (two.decision, two.version, two.comment) == ("rejected", "2", "not on a Friday")
    for entry, month in ((one, "2013-01"), (two, "2013-02")):
        assert (entry.actor, entry.user, entry.because, entry.dag_id) == (
            "admin",
            "admin",
            "person",
            TRAINING,
        )
        assert decided.api.run(TRAINING, entry.run_id)["partition_key"] == month
        assert f"{entry.evidence_run}/validation_report.json" in entry.verdicts
    assert 0 < two.at - one.at < 600
    assert (decided.registry.ledger("careful"), decided.registry.settle("careful")) == ([], None)
    assert main(["ledger", "careful", "--tracking-uri", decided.services.mlflow_url]) == 0
    said = capsys.readouterr().out
    assert "approved: version 1 by admin\n" in said
    assert "rejected: version 2 by admin\n" in said
    assert "  comment not on a Friday\n" in said


def test_documents_of_both_candidates_tell_the_decision(decided):
    registry = decided.registry
    tags = registry.version("careful", "1").tags
    assert (tags["mlops.approval"], tags["mlops.approval_by"]) == ("approved", "admin")
    assert tags["mlops.approval_comment"] == "good on storms"
    assert registry.version("careful", "2").tags["mlops.approval_comment"] == "not on a Friday"
    decision = document(registry, "2", "approval.json")
    assert (decision["answer"], decision["by"], decision["because"]) == ("rejected", "admin", "person")
    card = document(registry, "2", "model_card.md")
    assert "- 1: A test." in card
    assert "- Latency: p50" in card
    assert document(registry, "2", "readiness_report.json")["verdict"]["outcome"] in ("pass", "warn")
    before, after = (document(registry, version, "update_report.json") for version in ("1", "2"))
    assert (before["state"], after["state"]) == ("challenger", "rejected")
    missing = ["rollout", "calibration", "fairness", "behaviour", "security"]
    assert [one["part"] for one in before["missing"]] == missing
    assert "rejected by admin: not on a Friday" in document(registry, "2", "update_report.html")
    run = registry.decisions("careful")[-1].run_id
    link = decided.api.get(f"dags/{TRAINING}/dagRuns/{run}/taskInstances/write_model_card/links")
    assert link["extra_links"]["Full report"].endswith("/artifacts/model_card.html")
    assert link["extra_links"]["Update report"].endswith("/artifacts/update_report.html")


@pytest.mark.parametrize(
    ("user", "status"), [(None, 401), ("guest", 403), ("viewer", 200)], ids=["nobody", "guest", "viewer"]
)
@pytest.mark.parametrize("path", ["ledger?model=careful", "models"])
def test_ledger_is_read_by_whoever_may_read_dags(decided, api_of, user, status, path):
    client = api_of(user) if user else httpx.Client(base_url=decided.url)
    answer = client.get(f"/mlops/{path}")
    assert answer.status_code == status
    assert ("careful" in answer.text) == (status == 200)


def test_script_of_the_page_needs_a_signed_in_user(decided, api_of):
    assert httpx.get(f"{decided.url}/mlops/models.js").status_code == 401
    assert "globalThis.Models" in api_of("viewer").get("/mlops/models.js").text


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_ledger_cannot_be_written_through_the_api(decided, api_of, method):
    assert getattr(api_of("admin"), method)("/mlops/ledger?model=careful").status_code == 405


@pytest.mark.parametrize(
    ("name", "status"), [("no' OR 1=1", 422), ("a/b", 422), ("", 422), ("x" * 201, 422), ("unheard", 404)]
)
def test_name_that_is_none_is_refused(decided, api_of, name, status):
    answer = api_of("viewer").get("/mlops/ledger", params={"model": name})
    assert answer.status_code == status


def test_question_that_nobody_answers_is_answered_by_its_default_and_by_no_person(decided):
    api, registry = decided.api, decided.registry
    run = registry.decisions("careful")[-1].run_id
    told = {
        "candidate": api.xcom(TRAINING, run, "train_model"),
        "verdict": api.xcom(TRAINING, run, "validate_model"),
    }
    again = api.trigger(UNANSWERED, conf=told)
    assert api.wait_for_run(UNANSWERED, again, 120)["state"] == "success"
    last = registry.decisions("careful")[-1]
    assert (last.decision, last.because, last.actor, last.user) == ("rejected", "timeout", "", "")
    assert (last.run_id, last.by) == (again, "the default, without an answer in time")
    assert (registry.ledger("careful"), registry.settle("careful")) == ([], None)


def test_entry_changed_by_hand_and_an_mlflow_that_is_away_are_named(decided, api_of):
    with decided.registry.server.session() as client:
        client.create_registered_model("broken")
        client.create_registered_model("broken.mlops-ledger")
        client.create_model_version(
            "broken.mlops-ledger", "x:/y", tags={"mlops.entry": "{"}, await_creation_for=None
        )
    viewer = api_of("viewer")
    answer = viewer.get("/mlops/ledger?model=broken")
    assert (answer.status_code, answer.json()["detail"][:18]) == (502, "InvalidRecordError")
    decided.services.processes["mlflow"].stop()
    try:
        away = [viewer.get(f"/mlops/{path}") for path in ("ledger?model=careful", "models")]
    finally:
        decided.services.run("mlflow")
        decided.services._wait("mlflow", f"{decided.services.mlflow_url}/health")
    for answer in away:
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("ServiceUnavailableError: MLflow cannot be read")
        assert decided.services.mlflow_url not in answer.text
    assert viewer.get("/mlops/ledger?model=careful").status_code == 200


def test_page_shows_champions_and_decisions_and_leads_to_the_run(decided, signed_in):
    promoted, _, last = decided.registry.decisions("careful")
    known = {"model": "careful", "dag_id": TRAINING, "run_id": promoted.run_id, "actor": "admin"}
    decided.registry.promote(
        LedgerEntry(
            from_version=None,
            to_version="1",
            reason="50 %: error share and rate shown",
            at=last.at + 60,
            approval=promoted.sentence,
            **known,
        )
    )
    again = {"kind": ROLLBACK, "reason": "complaints <b>since noon</b>", "at": last.at + 120}
    decided.registry.promote(LedgerEntry(from_version="1", to_version="2", **known | again))
    assert decided.registry.alias("careful", CHAMPION_ALIAS) == "2"
    page = signed_in("viewer")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Models").click()
    page.get_by_label("Model", exact=True).select_option("careful")
    table = page.get_by_role("table", name="Ledger of careful")
    table.wait_for()
    page.get_by_text("Champion now: version 2").wait_for()
    rows = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
    assert [(row[1].lower(), row[2], row[3]) for row in rows] == [
        ("rollback", "1 → 2", "admin"),
        ("promotion", "none → 1", "admin"),
        ("rejected", "2", "the default, without an answer in time"),
        ("rejected", "2", "admin"),
        ("approved", "1", "admin"),
    ]
    assert rows[0][5] == "complaints <b>since noon</b>"
    assert "before it approved by admin: good on storms" in rows[1][5]
    assert rows[3][5] == "not on a Friday"
    page.set_viewport_size({"width": 1400, "height": 580})
    shot(page, "ledger-page")
    table.get_by_role("link").last.click()
    page.wait_for_url(f"**/dags/{TRAINING}/runs/**")
    page.get_by_text("approve_model").first.wait_for()


def test_page_says_why_when_a_ledger_cannot_be_read(decided, signed_in):
    page = signed_in("viewer")
    page.goto(f"{decided.url}/plugin/mlops-models?model=unheard")
    page.get_by_role("alert").filter(has_text="MLflow has no model 'unheard'").wait_for()


def test_names_of_all_models_are_in_the_list(decided, api_of):
    assert {"broken", "careful"} <= set(json.loads(api_of("viewer").get("/mlops/models").text)["models"])
