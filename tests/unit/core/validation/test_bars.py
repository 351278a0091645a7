"""Floors, ceilings, and what a segment or a slice may lose where nothing is said."""

from __future__ import annotations

import numpy as np
import pytest
from builders import regression, sample

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.metrics.base import Metric
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import CHALLENGER, CHAMPION
from airflow_mlops.core.verdict import Outcome


def judge(sample, policy, **more):
    return judge_candidate(sample, policy, **more).verdict


@pytest.fixture
def rng():
    return np.random.default_rng(42)


@pytest.mark.parametrize(
    ("bars", "outcome"),
    [
        ({"ceiling": {"brier": 0.25}}, Outcome.PASS),
        ({"ceiling": {"brier": 0.10}}, Outcome.FAIL),
        ({"floor": {"neg_brier_score": -0.25}}, Outcome.PASS),
        ({"floor": {"neg_brier_score": -0.10}}, Outcome.FAIL),
    ],
)
def test_floor_or_ceiling_is_judged_on_the_bound_in_the_metrics_own_direction(rng, bars, outcome):
    policy = ValidationPolicy(margin={"brier": 0.005}, resamples=300, **bars)
    found = [f for f in judge(sample(rng), policy).findings if f.check in bars]
    assert [f.outcome for f in found] == [outcome]


@pytest.mark.parametrize("worse", [1.0, 1.3], ids=["alike", "worse in a segment"])
@pytest.mark.parametrize("unit", [1e-4, 1e6], ids=["small numbers", "large numbers"])
def test_what_a_segment_or_a_slice_of_a_regression_may_lose_goes_with_the_unit(unit, worse):
    """0.02 in the metric's unit would pass anything of small numbers, and nothing of large ones."""
    policy = ValidationPolicy(margin={"mae": 0.5 * unit}, resamples=300)
    found = judge_candidate(regression(np.random.default_rng(3), unit, worse), policy)
    segments = {c.segment: c for c in found.comparisons if c.rival == CHAMPION and c.segment}
    assert segments["origin=LGA"].allowed == pytest.approx(0.05 * segments["origin=LGA"].other)
    accepted = (ComparisonAnswer.BETTER, ComparisonAnswer.NOT_WORSE)
    assert segments["origin=JFK"].answer in accepted
    assert (segments["origin=LGA"].answer in accepted) is (worse == 1.0)
    assert [one.name for one in found.weak_slices] == ([] if worse == 1.0 else ["origin=LGA"])


@pytest.mark.parametrize(
    ("metric_name", "drop", "allowed"),
    [("roc_auc", None, 0.02), ("roc_auc", 0.1, 0.1), ("log_loss", 0.1, 0.1)],
)
def test_segment_may_lose_what_is_configured_or_two_points(rng, metric_name, drop, allowed):
    data = sample(rng, segments={"origin": np.repeat(["JFK", "LGA"], 2000)})
    policy = ValidationPolicy(margin={metric_name: 0.05}, max_segment_drop=drop, resamples=150)
    found = [c for c in judge_candidate(data, policy).comparisons if c.rival == CHAMPION and c.segment]
    assert [c.allowed for c in found] == pytest.approx([allowed] * 2)


def test_bar_on_the_wrong_side_of_an_author_s_metric_is_refused(rng):
    own = [Metric(name="cost", sign=-1, function=lambda labels, scores, weights: float(scores.mean()))]
    policy = ValidationPolicy(margin={"cost": 0.5}, floor={"cost": 0.05}, resamples=150)
    with pytest.raises(InvalidConfigError, match=r"validate\.floor\.cost: less is better.*give it a ceiling"):
        judge(sample(rng), policy, own=own)


def test_floor_between_point_and_bound_is_inconclusive(rng):
    data = sample(rng, rows=400)
    point = float(np.mean((data.labels - data.scores[CHALLENGER]) ** 2))
    policy = ValidationPolicy(margin={"brier": 0.05}, ceiling={"brier": point + 1e-4}, resamples=300)
    assert [f.outcome for f in judge(data, policy).findings if f.check == "ceiling"] == [Outcome.INCONCLUSIVE]


def test_floor_on_a_handful_of_rows_of_a_class_is_inconclusive(rng):
    data = sample(rng, champion=False)
    data.labels[:] = 0
    data.labels[:9] = 1
    policy = ValidationPolicy(margin={"brier": 0.05}, ceiling={"brier": 0.9}, resamples=100)
    assert [f.outcome for f in judge(data, policy).findings if f.check == "ceiling"] == [Outcome.INCONCLUSIVE]
