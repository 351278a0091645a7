from __future__ import annotations

from dataclasses import replace

import pytest
from builders import measurements

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.release.readiness import (
    Difference,
    LoadPolicy,
    ProbeAnswer,
    ProbeKind,
    ReadinessMeasurements,
    ReadinessPolicy,
    Reply,
    judge_readiness,
)
from airflow_mlops.core.verdict import Outcome

GOOD = measurements(version="2", inputs=2, requirements=3, start_seconds=4.0, rss_mb=300.0, model_mb=1.0)
FAST = GOOD.at_once


def judged(policy=None, **changes):
    return judge_readiness(replace(GOOD, **changes), policy or ReadinessPolicy())


def answered(kind, status, problem=""):
    return (ProbeAnswer(kind=kind, subject=f"{kind} in x", status=status, problem=problem),)


def test_version_that_answers_passes_and_says_what_it_needs():
    verdict = judged()
    assert verdict.outcome is Outcome.PASS
    assert any("p99_ms 10 ms" in finding.reason for finding in verdict.findings)


@pytest.mark.parametrize(
    ("kind", "status", "policy", "outcome"),
    [
        (ProbeKind.NULLS, 200, {}, "pass"),
        (ProbeKind.NULLS, 400, {}, "pass"),
        (ProbeKind.NULLS, 500, {}, "fail"),
        (ProbeKind.NULLS, None, {}, "fail"),
        (ProbeKind.NULLS, 302, {}, "fail"),
        (ProbeKind.NULLS, 400, {"nulls": Reply.PREDICT}, "fail"),
        (ProbeKind.UNSEEN, 200, {"unseen": Reply.REFUSE}, "fail"),
        (ProbeKind.EXTREMES, 503, {"extremes": Reply.REFUSE}, "fail"),
        (ProbeKind.EXAMPLE, 400, {}, "fail"),
        (ProbeKind.MALFORMED, 400, {}, "pass"),
        (ProbeKind.MALFORMED, 200, {}, "fail"),
    ],
)
def test_row_is_judged_as_the_policy_says_and_a_5xx_never_passes(kind, status, policy, outcome):
    verdict = judged(ReadinessPolicy(**policy), answers=answered(kind, status))
    assert verdict.outcome == outcome


def test_answer_without_a_valid_prediction_fails_although_its_status_is_200():
    verdict = judged(answers=answered(ProbeKind.NULLS, 200, "1 predictions are null, NaN or infinite"))
    assert "nulls in x: status 200 (1 predictions are null" in verdict.reasons[0]


def test_probe_requests_that_are_not_sent_are_named():
    verdict = judged(ReadinessPolicy(nulls=Reply.UNTESTED))
    assert any("nulls: not tested" in finding.reason for finding in verdict.findings)


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ({"max_p50_ms": 2.0}, {}),
        ({"max_p99_ms": 9.0}, {}),
        ({"min_per_second": 101.0}, {}),
        ({"max_rss_mb": 299.0}, {}),
        ({"max_model_mb": 0.5}, {}),
        ({"max_start_seconds": 3.0}, {}),
        ({}, {"at_once": replace(FAST, failed=1)}),
        ({"load": LoadPolicy(per_second=50)}, {"load": replace(FAST, per_second=40.0)}),
        ({"load": LoadPolicy(per_second=50, max_p99_ms=9)}, {"load": replace(FAST, per_second=50.0)}),
    ],
)
def test_limit_that_is_not_met_fails(limit, changes):
    assert judged(ReadinessPolicy(**limit), **changes).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ({"max_rss_mb": 1.0}, {"rss_mb": None}),
        ({"max_p99_ms": 100.0}, {"one_by_one": None}),
        ({"max_p99_ms": 100.0}, {"one_by_one": replace(FAST, requests=19)}),
        ({"load": LoadPolicy(per_second=50)}, {}),
        ({}, {"answers": ()}),
        ({}, {"inputs": None}),
        ({}, {"requirements": None}),
    ],
)
def test_what_was_not_measured_is_inconclusive(limit, changes):
    assert judged(ReadinessPolicy(**limit), **changes).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("outcome", [Outcome.WARN, Outcome.FAIL, Outcome.PASS])
def test_other_versions_are_named_and_weigh_what_the_policy_says(outcome):
    unmet = (Difference(package="scikit-learn", recorded="==1.6", found="1.9"),)
    verdict = judged(ReadinessPolicy(differences=outcome), differences=unmet)
    assert verdict.outcome is outcome
    assert verdict.findings[0].reason == "scikit-learn: recorded ==1.6, serving has 1.9"


def test_version_that_cannot_be_served_fails_with_the_reason():
    verdict = judged(unusable="ended while starting: ImportError", answers=())
    assert (verdict.outcome, verdict.reasons) == (Outcome.FAIL, ("ended while starting: ImportError",))


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        ({"max_p99_ms": 0}, "readiness.max_p99_ms: 0, allowed: above 0"),
        ({"requests": 20_000}, "readiness.requests: 20000, allowed: above 0 and at most 10000"),
        ({"differences": Outcome.ERROR}, "readiness.differences: error, allowed: pass, warn, fail"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(policy, named):
    with pytest.raises(InvalidConfigError, match=named):
        ReadinessPolicy(**policy)


def test_load_without_an_end_is_refused():
    with pytest.raises(InvalidConfigError, match=r"load.seconds: 3600, allowed: above 0 and at most 300"):
        LoadPolicy(per_second=5, seconds=3600)


def test_measurement_survives_json():
    assert ReadinessMeasurements.from_json(GOOD.to_json()) == GOOD
