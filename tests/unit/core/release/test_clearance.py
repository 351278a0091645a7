from __future__ import annotations

import pytest
from builders import VALIDATED

from airflow_mlops.core.release.clearance import (
    APPROVAL_ASKED,
    Clearance,
    ReleaseGate,
    ReleaseRule,
    clearance,
    overridden,
)

EVERYTHING = ReleaseRule(required=(ReleaseGate.READINESS, ReleaseGate.CARD, ReleaseGate.APPROVAL))
ALL_TAGS = VALIDATED | {"mlops.readiness": "warn", "mlops.card": "pass", "mlops.approval": "approved"}
REFUSED = Clearance(allowed=False, reason="m version 2 must not receive traffic: it failed")


@pytest.mark.parametrize("outcome", ["pass", "warn"])
def test_accepted_validation_suffices_where_no_more_is_required(outcome):
    assert clearance("m version 2", {"mlops.validation": outcome}, ReleaseRule()) == Clearance(allowed=True)


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({}, "no validation is recorded with it"),
        ({"mlops.validation": "fail"}, "its validation ended with 'fail', allowed: pass, warn"),
        ({"mlops.validation": "inconclusive"}, "its validation ended with 'inconclusive'"),
        ({"mlops.validation": "error"}, "its validation ended with 'error'"),
        ({"mlops.validation": "passed"}, "its validation ended with 'passed'"),
        (VALIDATED | {"mlops.readiness": "fail"}, "its readiness ended with 'fail'"),
        (VALIDATED | {"mlops.card": "fail"}, "its card ended with 'fail'"),
        (VALIDATED | {"mlops.approval": APPROVAL_ASKED}, "a person was asked to approve it and has not"),
    ],
    ids=["none", "fail", "inconclusive", "error", "unknown", "not ready", "no card", "asked"],
)
def test_recorded_outcome_that_is_not_accepted_refuses_though_it_is_not_required(tags, why):
    found = clearance("m version 2", tags, ReleaseRule())
    assert not found.allowed
    assert found.reason.startswith(f"m version 2 must not receive traffic: {why}")


def test_every_missing_gate_is_named_when_it_is_required():
    found = clearance("m version 2", VALIDATED, EVERYTHING)
    why = "nobody approved it; no readiness is recorded with it; no card is recorded with it"
    assert found.reason == f"m version 2 must not receive traffic: {why}"


def test_version_that_passed_everything_is_cleared():
    assert clearance("m version 2", ALL_TAGS, EVERYTHING, answer="approved").allowed


@pytest.mark.parametrize("rule", [ReleaseRule(), EVERYTHING], ids=["not required", "required"])
def test_rejection_refuses_whether_or_not_approval_is_required(rule):
    found = clearance(
        "m version 2", ALL_TAGS, rule, answer="rejected", said="rejected by bob: not on a Friday"
    )
    assert (found.allowed, found.reason) == (
        False,
        "m version 2 must not receive traffic: rejected by bob: not on a Friday",
    )


def test_approval_in_the_ledger_counts_though_the_tag_was_not_written():
    assert clearance(
        "m version 2", VALIDATED | {"mlops.approval": APPROVAL_ASKED}, ReleaseRule(), answer="approved"
    ).allowed


def test_override_by_a_named_approver_allows_and_keeps_what_was_refused():
    found = overridden(REFUSED, by="ann", reason="hotfix", approvers=("ann",))
    assert found.allowed
    assert found.override == f"overridden by ann: hotfix ({REFUSED.reason})"


@pytest.mark.parametrize(
    ("by", "reason", "why"),
    [
        ("ann", "", "start the rollout with an override"),
        ("", "hotfix", "needs a user who is known by name"),
        ("eve", "hotfix", "eve may not override it, allowed: ann, bob"),
    ],
    ids=["no reason", "nobody", "no approver"],
)
def test_override_is_refused_and_says_what_to_do(by, reason, why):
    found = overridden(REFUSED, by=by, reason=reason, approvers=("bob", "ann"))
    assert not found.allowed
    assert found.reason.startswith(REFUSED.reason)
    assert why in found.reason


def test_whoever_is_known_by_name_may_override_where_no_approver_is_named():
    assert overridden(REFUSED, by="eve", reason="hotfix", approvers=()).allowed


def test_override_that_is_not_needed_is_not_recorded():
    assert overridden(Clearance(allowed=True), by="", reason="hotfix", approvers=("ann",)) == Clearance(
        allowed=True
    )
