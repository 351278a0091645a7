from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.outcome import Outcome
from airflow_mlops.core.validation.bootstrap import resampled
from airflow_mlops.core.validation.compare import BASELINE, CHALLENGER, CHAMPION, Sample, judge
from airflow_mlops.core.validation.metrics import METRICS, metric, summary
from airflow_mlops.core.validation.threshold import ValidationPolicy

POLICY = ValidationPolicy(margin={"brier": 0.005}, resamples=300, min_segment_rows=100)


def sample(rng, rows=4000, *, noise=0.1, champion_noise=0.1, segments=None, champion=True):
    truth = rng.uniform(0.05, 0.95, rows)
    labels = (rng.random(rows) < truth).astype(float)
    scores = {
        CHALLENGER: np.clip(truth + rng.normal(0, noise, rows), 0, 1),
        BASELINE: np.full(rows, labels.mean()),
    }
    if champion:
        scores[CHAMPION] = np.clip(truth + rng.normal(0, champion_noise, rows), 0, 1)
    return Sample(labels, scores, segments or {})


@pytest.fixture
def rng():
    return np.random.default_rng(42)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("roc_auc", sk.roc_auc_score),
        ("log_loss", sk.log_loss),
        ("brier", sk.brier_score_loss),
        ("accuracy", lambda y, p, sample_weight: sk.accuracy_score(y, p >= 0.5, sample_weight=sample_weight)),
        ("mae", sk.mean_absolute_error),
        ("mse", sk.mean_squared_error),
    ],
)
def test_metrics_are_scikit_learns_for_any_weights(rng, name, theirs):
    labels = rng.integers(0, 2, 200).astype(float)
    scores = rng.random(200).round(1).clip(0.05, 0.95)  # many ties
    weights = rng.poisson(1.0, (5, 200)).astype(float)
    expected = [theirs(labels, scores, sample_weight=row) for row in weights]
    assert METRICS[name].of(labels, scores, weights) == pytest.approx(expected)


def test_unknown_metric_is_refused_with_those_there():
    with pytest.raises(InvalidConfigError, match="'roc_au' is not known; one of: roc_auc"):
        metric("roc_au")


def test_summary_fits_the_labels(rng):
    assert set(summary(np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.8, 0.6]))) >= {"roc_auc", "log_loss"}
    assert set(summary(rng.normal(size=9), rng.normal(size=9))) == {"mae", "mse"}


def test_resamples_are_paired_and_repeatable(rng):
    data = sample(rng)
    same = {"one": data.scores[CHALLENGER], "other": data.scores[CHALLENGER]}
    draws = resampled(data.labels, same, [METRICS["brier"]], resamples=200, seed=1)
    again = resampled(data.labels, same, [METRICS["brier"]], resamples=200, seed=1)
    assert np.array_equal(draws["one", "brier"], draws["other", "brier"])
    assert np.array_equal(draws["one", "brier"], again["one", "brier"])


def test_spread_of_resamples_is_the_standard_error(rng):
    data = sample(rng)
    draws = resampled(data.labels, {"m": data.scores[CHALLENGER]}, [METRICS["brier"]], resamples=2000, seed=1)
    losses = (data.labels - data.scores[CHALLENGER]) ** 2
    assert draws["m", "brier"].std() == pytest.approx(losses.std() / np.sqrt(len(losses)), rel=0.1)


def test_equal_model_passes_and_says_so(rng):
    verdict = judge(sample(rng), POLICY)
    assert verdict.outcome is Outcome.PASS
    assert any("not worse" in finding.reason for finding in verdict.findings)


def test_better_model_is_called_better(rng):
    verdict = judge(sample(rng, noise=0.02, champion_noise=0.3), POLICY)
    assert verdict.outcome is Outcome.PASS
    assert any("against champion" in f.reason and ": better" in f.reason for f in verdict.findings)


def test_worse_model_fails_with_figures(rng):
    verdict = judge(sample(rng, noise=0.4), POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert any("against champion" in r and ": worse (gain -" in r for r in verdict.reasons)


def test_too_few_rows_to_tell_is_inconclusive_not_a_pass(rng):
    verdict = judge(sample(rng, rows=60, noise=0.12, champion_noise=0.1), POLICY)
    assert verdict.outcome is not Outcome.PASS


def test_cold_start_is_judged_by_baseline_and_floor_only(rng):
    verdict = judge(sample(rng, champion=False), POLICY)
    assert verdict.outcome is Outcome.PASS
    assert any("no champion" in finding.reason for finding in verdict.findings)


def test_model_no_better_than_the_baseline_fails_even_at_a_cold_start(rng):
    data = sample(rng, champion=False)
    data.scores[CHALLENGER] = rng.random(len(data.labels))
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert "against baseline" in verdict.reasons[0]


@pytest.mark.parametrize(("floor", "outcome"), [(0.25, Outcome.PASS), (0.10, Outcome.FAIL)])
def test_floor_is_judged_on_the_bound_in_the_metrics_own_direction(rng, floor, outcome):
    policy = ValidationPolicy(margin={"brier": 0.005}, floor={"brier": floor}, resamples=300)
    found = [f for f in judge(sample(rng), policy).findings if f.check == "floor"]
    assert [f.outcome for f in found] == [outcome]


def test_segment_that_loses_fails_the_whole_and_is_named(rng):
    segments = {"origin": np.repeat(["JFK", "LGA"], 2000)}
    data = sample(rng, segments=segments)
    data.scores[CHALLENGER][2000:] = np.clip(rng.normal(0.5, 0.3, 2000), 0, 1)
    data.scores[CHALLENGER][:2000] = data.labels[:2000] * 0.8 + 0.1
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reasons[0].startswith("origin=LGA: ")
    assert not any("JFK" in reason for reason in verdict.reasons)


def test_segment_of_three_rows_is_too_small_to_tell_and_decides_nothing(rng):
    data = sample(rng, segments={"origin": np.array(["EWR"] * 3 + ["JFK"] * 3997)})
    data.scores[CHALLENGER][:3] = 1 - data.labels[:3]
    verdict = judge(data, POLICY)
    assert verdict.outcome is Outcome.PASS
    assert "origin=EWR: 3 rows are too few to tell (needs 100)" in [f.reason for f in verdict.findings]


@pytest.mark.parametrize(("model", "outcome"), [(CHALLENGER, Outcome.FAIL), (CHAMPION, Outcome.INCONCLUSIVE)])
def test_prediction_that_is_no_number_is_counted(rng, model, outcome):
    data = sample(rng)
    data.scores[model][:7] = np.nan
    verdict = judge(data, POLICY)
    assert verdict.outcome is outcome
    assert f"{model}: 7 of 4000 predictions are NaN" in verdict.reasons[0]


def test_one_class_in_the_holdout_is_inconclusive(rng):
    data = sample(rng)
    data.labels[:] = 1.0
    assert judge(data, POLICY).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("wrong", [{"margin": {}}, {"margin": {"brier": -1}}, {"alpha": 0}, {"resamples": 5}])
def test_bar_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidConfigError, match="allowed"):
        ValidationPolicy(**wrong)


@pytest.mark.slow
def test_challenger_worse_by_exactly_the_margin_passes_at_most_alpha_of_the_time():
    """Absolute errors are exponential with means 0.30 and 0.35: the true difference is the margin."""
    rng, rows, passed, repetitions = np.random.default_rng(3), 1000, 0, 400
    policy = ValidationPolicy(margin={"mae": 0.05}, resamples=400)
    for _ in range(repetitions):
        labels = rng.normal(0, 3, rows)
        scores = {
            CHAMPION: labels + rng.exponential(0.30, rows),
            CHALLENGER: labels + rng.exponential(0.35, rows),
            BASELINE: np.zeros(rows),
        }
        verdict = judge(Sample(labels, scores, {}), policy)
        passed += all(f.outcome is Outcome.PASS for f in verdict.findings if f.check == "against_champion")
    assert passed / repetitions <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repetitions)
