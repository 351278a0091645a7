from __future__ import annotations

import math

import pytest

from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.training.replay import require_tolerance, same_data, same_metrics, same_software
from airflow_mlops.core.verdict import Outcome


@pytest.mark.parametrize(
    ("recorded", "now", "outcome"),
    [
        (0.8, 0.801, Outcome.PASS),
        (0.8, 0.802, Outcome.FAIL),
        (100.0, 100.1, Outcome.PASS),
        (100.0, 100.2, Outcome.FAIL),
        (0.8, math.nan, Outcome.INCONCLUSIVE),
        (0.8, None, Outcome.INCONCLUSIVE),
    ],
    ids=str,
)
def test_metric_may_be_off_by_the_tolerance_times_its_size(recorded, now, outcome):
    found = same_metrics({"m": recorded}, {} if now is None else {"m": now}, 0.001 + 1e-12)
    assert [finding.outcome for finding in found] == [outcome]


def test_no_recorded_metric_is_not_success():
    assert [finding.outcome for finding in same_metrics({}, {"m": 1.0}, 0.1)] == [Outcome.INCONCLUSIVE]


@pytest.mark.parametrize(
    ("recorded", "now", "outcome"),
    [("a", "a", Outcome.PASS), ("a", "b", Outcome.INCONCLUSIVE), ("", "", Outcome.INCONCLUSIVE)],
)
def test_only_data_with_the_recorded_digest_is_the_same(recorded, now, outcome):
    assert same_data(Window(uri="u", digest=recorded), Window(uri="u", digest=now)).outcome is outcome


def test_package_that_is_missing_or_other_is_named():
    found = same_software({"numpy": "1", "gone": "1", "same": "1"}, {"numpy": "2", "same": "1", "new": "1"})
    assert [finding.subject for finding in found] == ["gone", "new", "numpy"]


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_tolerance_that_is_no_number_from_zero_is_refused(wrong):
    with pytest.raises(InvalidConfigError, match="tolerance"):
        require_tolerance(wrong)
