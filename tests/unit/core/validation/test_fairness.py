from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import CalibrationPolicy, FairnessPolicy, ValidationPolicy
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, Sample
from airflow_mlops.core.verdict import Outcome


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def fair(rng, rates, rows=2000, limit=0.05, groups=None):
    """Selection rates by group; labels do not matter."""
    group = np.repeat([f"g{i}" for i in range(len(rates))], rows)
    scores = (rng.random(len(group)) < np.repeat(rates, rows)).astype(float)
    labels = rng.integers(0, 2, len(group)).astype(float)
    sample = Sample(labels, {CHALLENGER: scores, BASELINE: np.full(len(group), 0.5)}, groups={"sex": group})
    rule = FairnessPolicy(column=groups or "sex", metric="selection_rate", limit=limit)
    policy = ValidationPolicy(margin={"accuracy": 1}, resamples=400, fairness=(rule,))
    (found,) = [f for f in judge_candidate(sample, policy).verdict.findings if f.check == "fairness"]
    return found


@pytest.mark.parametrize(
    ("rates", "rows", "outcome"),
    [
        ((0.30, 0.31), 4000, Outcome.PASS),
        ((0.30, 0.45), 2000, Outcome.FAIL),
        ((0.30, 0.36), 300, Outcome.INCONCLUSIVE),
    ],
)
def test_disparity_is_judged_on_its_interval(rng, rates, rows, outcome):
    found = fair(rng, rates, rows)
    assert found.outcome is outcome
    assert "sex=g0" in found.reason
    assert "limit 0.05" in found.reason


def test_group_of_a_few_rows_is_left_out(rng):
    assert fair(rng, (0.3, 0.9), rows=50).outcome is Outcome.INCONCLUSIVE
    assert "0 groups are large enough" in fair(rng, (0.3, 0.9), rows=50).reason


def test_column_that_is_not_there_is_a_named_error(rng):
    with pytest.raises(InvalidConfigError, match="no column 'sexx'; columns: sex"):
        fair(rng, (0.3, 0.4), groups="sexx")


@pytest.mark.slow
def test_many_equal_groups_alone_are_never_a_disparity_and_one_at_the_limit_rarely_within_it():
    rng, repetitions = np.random.default_rng(2), 200
    beyond = sum(fair(rng, [0.3] * 12, 300, limit=0.0).outcome is Outcome.FAIL for _ in range(repetitions))
    within = sum(fair(rng, [0.3, 0.4], 1500, limit=0.1).outcome is Outcome.PASS for _ in range(repetitions))
    assert max(beyond, within) / repetitions <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / repetitions)


def calibrated(rng, tilt=1.0, shift=0.0, rows=4000, classes=2, **limits):
    truth = rng.beta(2, 3, rows)
    labels = (rng.random(rows) < truth).astype(float)
    scores = np.clip(0.5 + tilt * (truth - 0.5) + shift, 0, 1)
    if classes == 3:
        labels = np.where(labels > 0, 0.0, rng.integers(1, 3, rows).astype(float))
        scores = np.column_stack([scores, (1 - scores) * 0.5, (1 - scores) * 0.5])
    prior = np.full(scores.shape, 1 / classes if classes == 3 else labels.mean())
    policy = ValidationPolicy(margin={"log_loss": 1}, resamples=300, calibration=CalibrationPolicy(**limits))
    verdict = judge_candidate(Sample(labels, {CHALLENGER: scores, BASELINE: prior}), policy).verdict
    return [f for f in verdict.findings if f.check == "calibration"]


@pytest.mark.parametrize(
    ("case", "limits", "outcome"),
    [
        ({}, {"ece": 0.05, "in_the_large": 0.03}, Outcome.PASS),
        ({"classes": 3}, {"ece": 0.05, "in_the_large": 0.03}, Outcome.PASS),
        ({"shift": 0.15}, {"ece": 0.05, "in_the_large": 0.03}, Outcome.FAIL),
        ({"shift": -0.15}, {"in_the_large": 0.03}, Outcome.FAIL),
        ({"tilt": 2.0}, {"ece": 0.05}, Outcome.FAIL),
        ({"rows": 300}, {"in_the_large": 0.03}, Outcome.INCONCLUSIVE),
    ],
)
def test_calibration_is_judged_on_its_interval(rng, case, limits, outcome):
    assert {f.outcome for f in calibrated(rng, **case, **limits)} == {outcome}


def test_overconfidence_without_a_shift_shows_in_bins_only(rng):
    binned, large = calibrated(rng, tilt=2.0, shift=0.1, ece=0.05, in_the_large=0.05)
    assert binned.outcome is Outcome.FAIL
    assert large.outcome is Outcome.PASS


def test_predictions_that_are_no_probabilities_fail(rng):
    sample = Sample(
        rng.integers(0, 2, 500).astype(float),
        {CHALLENGER: rng.normal(size=500), BASELINE: np.full(500, 0.5)},
    )
    policy = ValidationPolicy(margin={"roc_auc": 1}, resamples=100, calibration=CalibrationPolicy(ece=0.1))
    assert any("no probabilities" in reason for reason in judge_candidate(sample, policy).verdict.reasons)


@pytest.mark.slow
def test_perfect_calibration_is_called_off_at_most_alpha_of_the_time():
    rng, repetitions = np.random.default_rng(3), 200
    fails = sum(calibrated(rng, rows=600, ece=1e-6)[0].outcome is Outcome.FAIL for _ in range(repetitions))
    assert fails / repetitions <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / repetitions)


@pytest.mark.parametrize("wrong", [{}, {"ece": 0}, {"in_the_large": 2}, {"ece": 0.1, "bins": 1}])
def test_limits_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(InvalidConfigError, match="allowed"):
        CalibrationPolicy(**wrong)
    with pytest.raises(InvalidConfigError, match="allowed"):
        FairnessPolicy(column="sex", metric="recall", limit=-1)


def test_precision_of_groups_of_which_nobody_is_called_is_no_parity(rng):
    labels = (rng.random(4000) < 0.3).astype(float)
    sample = Sample(
        labels,
        {CHALLENGER: np.clip(0.1 + 0.3 * labels, 0, 0.49), BASELINE: np.full(4000, 0.5)},
        groups={"sex": np.repeat(["a", "b"], 2000)},
    )
    rule = FairnessPolicy(column="sex", metric="precision", limit=0.1)
    policy = ValidationPolicy(margin={"brier": 0.05}, resamples=200, fairness=(rule,))
    (found,) = [f for f in judge_candidate(sample, policy).verdict.findings if f.check == "fairness"]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "0 groups are large enough to compare precision" in found.reason
