from __future__ import annotations

import json

import pytest
from builders import finding

from airflow_mlops.core.summary import LIMIT_BYTES, LONGEST_TEXT, brief
from airflow_mlops.core.verdict import Outcome, Severity, Verdict

REPORT = {"evidence_run": "r" * 32, "path": "schema_report.json"}


def verdict(*findings):
    return Verdict.of("schema", findings)


def many(outcome, number, **more):
    return [
        finding(outcome, subject=f"c{i}", reason=f"c{i}: said so at some length", **more)
        for i in range(number)
    ]


def test_what_did_not_pass_is_handed_over():
    whole = verdict(finding(), finding(Outcome.WARN, "y", "y: odd"))
    short = brief(whole, REPORT)
    assert short.findings == whole.findings[1:]
    assert (short.outcome, short.findings_total, short.report) == (Outcome.WARN, 2, REPORT)
    assert short.sentence() == "schema: warn: y: odd; 1 more findings in schema_report.json"


def test_nothing_measured_is_told_from_everything_passed():
    assert brief(verdict(), REPORT).sentence() == "schema: inconclusive; nothing was measured"
    assert (
        brief(verdict(finding()), REPORT).sentence() == "schema: pass; 1 more findings in schema_report.json"
    )


def test_worst_findings_are_kept_when_not_all_fit():
    bad = many(Outcome.FAIL, 3, severity=Severity.WARNING) + many(Outcome.FAIL, 1)
    short = brief(verdict(*many(Outcome.WARN, 10_000), *bad), REPORT)
    assert [f.severity for f in short.findings[:4]] == ["critical", *["warning"] * 3]
    assert {f.outcome for f in short.findings[4:]} == {Outcome.WARN}
    assert short.findings_total == 10_004
    left = short.findings_total - len(short.findings)
    assert short.sentence().endswith(f"; {left} more findings in schema_report.json")


@pytest.mark.parametrize("text", ["ordinary", "é" * 1000, '"\\' * 1000, "x" * 10**6])
def test_json_never_exceeds_the_limit_whatever_the_findings_say(text):
    findings = [finding(Outcome.FAIL, text, text, observed=text, allowed=text) for _ in range(10_000)]
    short = brief(verdict(*findings), REPORT)
    assert len(json.dumps(short.to_json())) <= LIMIT_BYTES
    assert len(short.findings) >= 1
    assert max(len(f.reason) for f in short.findings) <= LONGEST_TEXT


def test_brief_is_read_back_as_a_verdict():
    short = brief(verdict(*many(Outcome.FAIL, 500)), REPORT)
    back = Verdict.from_json(short.to_json())
    assert (back.outcome, back.findings) == (Outcome.FAIL, short.findings)
