"""Validation reports of earlier versions are read, and earlier versions read ours: JSON keys stay."""

from __future__ import annotations

from builders import comparison

from airflow_mlops.core.validation.report import Comparison, ComparisonAnswer, Report
from airflow_mlops.core.verdict import Outcome

OLD_COMPARISON = {
    "metric": "roc_auc",
    "rival": "champion",
    "segment": "day=mon",
    "rows": 619,
    "challenger": 0.8180552356623865,
    "other": 0.8272786281119808,
    "gain": -0.009223392449594359,
    "lower": -0.01802663349227193,
    "upper": -0.00036895917626250923,
    "allowed": 0.02,
    "doubt": 0.01912873494719465,
    "answer": "not worse",
}
OLD_REPORT = {
    "verdict": {
        "gate": "validation",
        "outcome": "pass",
        "findings": [
            {
                "check": "floor",
                "subject": "roc_auc",
                "outcome": "pass",
                "reason": "roc_auc 0.8184 (surely 0.7997), floor 0.6",
                "severity": "critical",
                "observed": 0.8184419014084505,
                "allowed": 0.6,
            },
        ],
    },
    "rows": 1200,
    "rows_digest": "sha256:00",
    "alpha": 0.05,
    "values": [
        {
            "metric": "roc_auc",
            "model": "challenger",
            "value": 0.8184419014084505,
            "lower": 0.7996524645990404,
            "upper": 0.8367569344480918,
        },
    ],
    "comparisons": [OLD_COMPARISON],
    "weak_slices": [
        {
            "name": "x is missing",
            "metric": "log_loss",
            "rows": 300,
            "gain": -0.05,
            "lower": -0.07,
            "upper": -0.03,
            "allowed": 0.02,
        },
    ],
    "versions": {"challenger": "4", "champion": "3"},
}


def test_report_of_an_earlier_version_is_read_whole():
    read = Report.from_json(OLD_REPORT)
    assert read.verdict.outcome is Outcome.PASS
    assert read.comparisons[0].answer is ComparisonAnswer.NOT_WORSE
    assert read.comparisons[0].p_value == 0.01912873494719465
    assert read.to_json() == OLD_REPORT | {
        "tries": 1,
        "anchor_tries": 1,
        "anchor_alpha": 0.05,
        "comparisons": [one | {"pooled": 0, "units": 0} for one in OLD_REPORT["comparisons"]],
    }


def test_p_value_keeps_its_json_key():
    written = comparison(p_value=0.03).to_json()
    assert (written["doubt"], "p_value" in written) == (0.03, False)
    assert Comparison.from_json(written).p_value == 0.03
