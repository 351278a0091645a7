from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.outcome import Outcome
from airflow_mlops.core.validation import compare
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.validation.threshold import ValidationPolicy

POLICY = ValidationPolicy(margin={"brier": 0.005}, resamples=300, min_segment_rows=100)


def judge(sample, policy, **more):
    return compare.judge(sample, policy, **more).verdict


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
    assert "origin=EWR: 3 rows are too few to tell (needs 100 rows, 20 of each class and 20 entities)" in [
        f.reason for f in verdict.findings
    ]


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
