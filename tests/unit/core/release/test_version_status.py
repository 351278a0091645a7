from __future__ import annotations

from dataclasses import replace

import pytest
from builders import comparison, finding, report, verdict

from airflow_mlops.core.release.approval import ApprovalAnswer, ApprovalDecision
from airflow_mlops.core.release.readiness import ReadinessMeasurements, ReadinessPolicy, ReadinessReport
from airflow_mlops.core.release.version_status import (
    REPORT_FORMAT,
    Missing,
    Parts,
    State,
    UpdateReport,
    UpdateRollout,
    missing_of,
    sections_of,
    update_report,
)
from airflow_mlops.core.rollout.history import RolloutHistory
from airflow_mlops.core.verdict import Outcome, Verdict

PASSED, WARNED, FAILED, UNSURE = (
    report(comparison(), outcome=outcome)
    for outcome in (Outcome.PASS, Outcome.WARN, Outcome.FAIL, Outcome.INCONCLUSIVE)
)
APPROVED = ApprovalDecision(model="m", version="2", answer=ApprovalAnswer.APPROVED, by="ann", comment="go")
REJECTED = replace(APPROVED, answer=ApprovalAnswer.REJECTED)
HISTORY = RolloutHistory(
    model="m", version="2", champion="1", promoted=False, reason="too many errors", bar=20, ended=9.0
)


def ready(outcome=Outcome.PASS):
    measured = ReadinessMeasurements(model="m", version="2")
    return ReadinessReport(verdict=verdict(outcome, "readiness"), measured=measured, policy=ReadinessPolicy())


def concluded(**parts):
    known = {"model": "m", "version": "2", "evidence_run": "e", "written_at": "2026-01-01T00:00:00Z"}
    return update_report(Parts(**parts), **known)


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        ({}, State.UNDECIDED),
        ({"validation": PASSED}, State.UNDECIDED),
        ({"validation": FAILED}, State.REFUSED),
        ({"validation": UNSURE}, State.REFUSED),
        ({"validation": FAILED, "nominated": True}, State.REFUSED),
        ({"validation": WARNED, "readiness": ready(Outcome.FAIL)}, State.NOT_READY),
        ({"validation": PASSED, "approval": REJECTED}, State.REJECTED),
        ({"validation": PASSED, "approval": APPROVED}, State.UNDECIDED),
        ({"validation": WARNED, "nominated": True}, State.CHALLENGER),
        ({"nominated": True, "rollouts": (UpdateRollout(evidence_run="r"),)}, State.ROLLING_OUT),
        ({"rollouts": (UpdateRollout(evidence_run="r", outcome="promoted"),)}, State.PROMOTED),
        ({"rollouts": (UpdateRollout(evidence_run="r", outcome="stopped"),)}, State.ROLLED_BACK),
        ({"rollouts": (UpdateRollout(evidence_run="r", outcome="intervened"),)}, State.ROLLING_OUT),
        ({"rollouts": (UpdateRollout(evidence_run="r", outcome="refused"),)}, State.UNDECIDED),
        (
            {"rollouts": (UpdateRollout(evidence_run="r", outcome="refused", history=HISTORY),)},
            State.ROLLED_BACK,
        ),
        (
            {
                "rollouts": (
                    UpdateRollout(evidence_run="b", outcome="rolled_back"),
                    UpdateRollout(evidence_run="a", outcome="promoted"),
                )
            },
            State.ROLLED_BACK,
        ),
    ],
)
def test_latest_word_says_where_a_version_stands(parts, state):
    assert concluded(**parts).state is state


def test_reasons_are_those_of_the_gate_that_stopped_it():
    assert concluded(validation=FAILED, approval=APPROVED).reasons == ("validation fail",)
    assert concluded(validation=WARNED, readiness=ready(Outcome.FAIL)).reasons == ("readiness fail",)
    assert concluded(validation=PASSED, approval=REJECTED).reasons[0] == "rejected by ann: go"
    rolled = UpdateRollout(evidence_run="r", outcome="rolled_back", history=HISTORY)
    assert concluded(validation=WARNED, rollouts=(rolled,)).reasons[:2] == (
        "too many errors",
        "validation warn",
    )


def test_what_passed_is_said_of_all_rows_only():
    told = [
        replace(finding(subject="roc_auc", reason="is better"), check="against_champion"),
        replace(finding(subject="origin=JFK", reason="is better at JFK"), check="against_champion"),
        replace(finding(subject="roc_auc", reason="above the floor"), check="floor"),
    ]
    validation = replace(PASSED, verdict=Verdict.of("validation", told))
    assert concluded(validation=validation, nominated=True).reasons == ("above the floor", "is better")


def test_gate_without_an_answer_is_there_and_has_none():
    gates = {gate.name: gate.outcome for gate in concluded(validation=PASSED).gates}
    assert gates == {
        "schema": None,
        "skew": None,
        "validation": Outcome.PASS,
        "readiness": None,
        "approval": None,
        "rollout": None,
    }


def test_part_that_was_not_configured_is_missing_not_passed():
    checked = Verdict.of("validation", [replace(finding(), check="calibration"), finding()])
    parts = Parts(
        validation=replace(PASSED, verdict=checked), missing=(Missing(part="approval", reason="none"),)
    )
    assert [one.part for one in missing_of(parts)] == ["approval", "fairness", "security"]
    assert missing_of(Parts()) == ()


def test_authors_findings_are_behaviour_whatever_they_are_called():
    checks = ("calibration", "fairness", "label_flips", "floor", "weak_slice", "my own")
    told = Verdict.of("validation", [replace(finding(), check=check) for check in checks])
    found = sections_of(replace(PASSED, verdict=told))
    assert {name: [one.check for one in rows] for name, rows in found.items()} == {
        "calibration": ["calibration"],
        "fairness": ["fairness"],
        "behaviour": ["my own"],
        "security": ["label_flips"],
    }


def test_report_survives_its_json():
    rolled = UpdateRollout(evidence_run="r", outcome="rolled_back", history=HISTORY)
    whole = concluded(validation=PASSED, readiness=ready(), approval=APPROVED, rollouts=(rolled,))
    document = whole.to_json()
    assert (document["format"], document["state"]) == (REPORT_FORMAT, "rolled back")
    assert UpdateReport.from_json(document) == whole
