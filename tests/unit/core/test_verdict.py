from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
from builders import finding

from airflow_mlops.core.errors import GateFailedError, InvalidRecordError
from airflow_mlops.core.verdict import (
    LIMIT_BYTES,
    LONGEST_TEXT,
    Finding,
    Outcome,
    Severity,
    Verdict,
    summary,
)

REPORT = {"evidence_run": "r" * 32, "path": "schema_report.json"}


@pytest.mark.parametrize(
    ("outcomes", "concluded"),
    [
        ([], Outcome.INCONCLUSIVE),
        ([Outcome.PASS], Outcome.PASS),
        ([Outcome.PASS, Outcome.WARN], Outcome.WARN),
        ([Outcome.WARN, Outcome.INCONCLUSIVE], Outcome.INCONCLUSIVE),
        ([Outcome.FAIL, Outcome.INCONCLUSIVE], Outcome.FAIL),
        ([Outcome.FAIL, Outcome.ERROR], Outcome.ERROR),
    ],
)
def test_worst_finding_decides_and_nothing_measured_is_no_success(outcomes, concluded):
    assert Verdict.of("gate", map(finding, outcomes)).outcome is concluded


def test_reasons_name_what_is_wrong_once_and_worst_first():
    verdict = Verdict.of(
        "gate",
        [
            finding(Outcome.PASS, reason="fine"),
            finding(Outcome.WARN, reason="odd"),
            finding(Outcome.FAIL, reason="bad"),
            finding(Outcome.FAIL, reason="bad"),
        ],
    )
    assert verdict.reasons == ("bad", "odd")
    assert verdict.sentence() == "gate: fail: bad; odd"


def test_verdict_that_is_not_accepted_stops_with_its_reasons():
    verdict = Verdict.of("schema", [finding(Outcome.FAIL, reason="dep_delay: no such column")])
    with pytest.raises(GateFailedError, match="dep_delay: no such column"):
        verdict.require(Outcome.PASS, Outcome.WARN)
    verdict.require(Outcome.FAIL)


@pytest.mark.parametrize("outcome", Outcome)
def test_only_pass_and_warn_are_accepted(outcome):
    accepted = outcome in (Outcome.PASS, Outcome.WARN)
    assert outcome.is_accepted is accepted
    verdict = Verdict.of("schema", [finding(outcome)])
    with nullcontext() if accepted else pytest.raises(GateFailedError):
        verdict.require()


def test_record_survives_json_and_ignores_what_a_newer_writer_added():
    verdict = Verdict.of("gate", [finding(Outcome.WARN, observed=0.31, allowed=0.05)])
    assert Verdict.from_json(verdict.to_json() | {"added_later": 1}) == verdict


@pytest.mark.parametrize(
    "data", [{}, {"check": "c", "subject": "s", "reason": "r", "outcome": "splendid"}], ids=["empty", "enum"]
)
def test_record_of_another_shape_is_refused_by_field(data):
    with pytest.raises(InvalidRecordError, match="outcome"):
        Finding.from_json(data)


def verdict(*findings):
    return Verdict.of("schema", findings)


def many(outcome, number, **more):
    return [
        finding(outcome, subject=f"c{i}", reason=f"c{i}: said so at some length", **more)
        for i in range(number)
    ]


def test_what_did_not_pass_is_handed_over():
    whole = verdict(finding(), finding(Outcome.WARN, "y", "y: odd"))
    short = summary(whole, REPORT)
    assert short.findings == whole.findings[1:]
    assert (short.outcome, short.findings_total, short.report) == (Outcome.WARN, 2, REPORT)
    assert short.sentence() == "schema: warn: y: odd; 1 more findings in schema_report.json"


def test_nothing_measured_is_told_from_everything_passed():
    assert summary(verdict(), REPORT).sentence() == "schema: inconclusive; nothing was measured"
    assert (
        summary(verdict(finding()), REPORT).sentence()
        == "schema: pass; 1 more findings in schema_report.json"
    )


def test_worst_findings_are_kept_when_not_all_fit():
    bad = many(Outcome.FAIL, 3, severity=Severity.WARNING) + many(Outcome.FAIL, 1)
    short = summary(verdict(*many(Outcome.WARN, 10_000), *bad), REPORT)
    assert [f.severity for f in short.findings[:4]] == ["critical", *["warning"] * 3]
    assert {f.outcome for f in short.findings[4:]} == {Outcome.WARN}
    assert short.findings_total == 10_004
    left = short.findings_total - len(short.findings)
    assert short.sentence().endswith(f"; {left} more findings in schema_report.json")


@pytest.mark.parametrize("text", ["ordinary", "é" * 1000, '"\\' * 1000, "x" * 10**6])
def test_json_never_exceeds_the_limit_whatever_the_findings_say(text):
    findings = [finding(Outcome.FAIL, text, text, observed=text, allowed=text) for _ in range(10_000)]
    short = summary(verdict(*findings), REPORT)
    assert len(json.dumps(short.to_json())) <= LIMIT_BYTES
    assert len(short.findings) >= 1
    assert max(len(f.reason) for f in short.findings) <= LONGEST_TEXT


def test_summary_is_read_back_as_a_verdict():
    short = summary(verdict(*many(Outcome.FAIL, 500)), REPORT)
    back = Verdict.from_json(short.to_json())
    assert (back.outcome, back.findings) == (Outcome.FAIL, short.findings)
