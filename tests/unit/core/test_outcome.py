from __future__ import annotations

from contextlib import nullcontext

import pytest
from builders import finding

from airflow_mlops.core.errors import GateFailedError, InvalidRecordError
from airflow_mlops.core.verdict import Finding, Outcome, Verdict


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
