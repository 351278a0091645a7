from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from airflow_mlops.core.monitoring.coverage import coverage_of
from airflow_mlops.core.monitoring.performance import Promise, judge_performance
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.validation.metrics.registry import metric
from airflow_mlops.core.verdict import Outcome

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))
from monitoring import answered, lacking, outcomes

POLICY = PerformancePolicy(metric="accuracy", max_drop=0.02, resamples=200)
PROMISE = Promise(value=0.85, lower=0.835, upper=0.865)


def all_bounds(name, labels, scores, unlabelled):
    """Worst and best over every labelling there is."""
    together = np.r_[scores, unlabelled]
    values = [
        metric(name).point(np.r_[labels, guess], together)
        for guess in itertools.product((0.0, 1.0), repeat=len(unlabelled))
    ]
    return sorted((min(values), max(values)), reverse=metric(name).sign < 0)


@pytest.mark.parametrize(
    "name", ["accuracy", "roc_auc", "recall", "precision", "f1", "brier", "log_loss", "false_positive_rate"]
)
def test_bounds_are_those_of_every_labelling(name):
    rng = np.random.default_rng(2)
    labels, scores = answered(rng, 60)
    unlabelled = answered(rng, 8)[1]
    found = coverage_of(name, labels, scores, unlabelled)
    assert [found.worst, found.best] == pytest.approx(all_bounds(name, labels, scores, unlabelled))


def test_bounds_of_many_classes_take_the_least_and_the_greatest_score():
    rng = np.random.default_rng(2)
    scores = rng.dirichlet(np.ones(3), 100)
    labels = scores[:80].argmax(axis=1).astype(float)
    found = coverage_of("accuracy", labels, scores[:80], scores[80:])
    assert (found.worst, found.best, found.missing) == (0.8, 1.0, 0.2)


def test_numbers_have_no_bounds():
    found = coverage_of("rmse", np.zeros(50), np.ones(50), np.ones(50))
    assert (found.worst, found.best) == (None, None)
    assert found.told() == "50.0% of 100 predictions have no label; what they could be has no bounds"


def test_nothing_is_missing_where_every_prediction_has_a_label():
    labels, scores = answered(np.random.default_rng(1))
    found = coverage_of("accuracy", labels, scores, scores[:0])
    assert (found.missing, found.is_selective, found.is_representative(0.0)) == (0.0, False, True)


def test_labels_missing_at_random_are_called_selective_once_in_a_hundred_times():
    rng, selective, repetitions = np.random.default_rng(4), 0, 1000
    for _ in range(repetitions):
        labels, scores = answered(rng, 600)
        there = rng.random(600) < 0.7
        selective += coverage_of("rmse", labels[there], scores[there], scores[~there]).is_selective
    assert selective / repetitions <= stats.binom.ppf(0.99, repetitions, 0.01) / repetitions


@pytest.mark.parametrize(
    ("most", "share", "outcome"),
    [(0.02, 0.05, Outcome.INCONCLUSIVE), (0.02, 0.01, Outcome.PASS), (0.10, 0.05, Outcome.PASS)],
)
def test_missing_labels_that_could_turn_a_pass_leave_it_open_above_the_limit(most, share, outcome):
    rng = np.random.default_rng(3)
    labels, scores = answered(rng, 4000)
    there = np.arange(4000) >= 4000 * share
    policy = PerformancePolicy(metric="accuracy", max_drop=0.02, resamples=200, max_unlabelled=most)
    verdict, seen = judge_performance(
        labels[there], scores[there], PROMISE, policy, unlabelled=scores[~there]
    )
    assert verdict.outcome is outcome
    assert f"{share:.1%} of 4000 predictions have no label" in verdict.findings[0].reason
    assert seen.counts  # the others speak for it over time, whatever they say


def test_labels_of_predicted_positives_only_say_so_and_are_no_evidence():
    labels, scores, without = lacking("called", np.random.default_rng(3))
    policy = PerformancePolicy(metric="roc_auc", max_drop=0.02, resamples=200)
    alone, _ = judge_performance(labels, scores, Promise(value=0.92), policy)
    verdict, seen = judge_performance(labels, scores, Promise(value=0.92), policy, unlabelled=without)
    assert (alone.outcome, verdict.outcome) == (Outcome.FAIL, Outcome.INCONCLUSIVE)
    assert "their scores differ from those that have one (Kolmogorov-Smirnov 1.00" in verdict.reasons[0]
    assert verdict.reasons[0].endswith("the missing labels could turn a fail")
    assert not seen.counts


def test_failure_that_missing_labels_cannot_explain_stays_one():
    rng = np.random.default_rng(3)
    labels, scores = answered(rng, 3000)
    labels = np.where(rng.random(3000) < 0.4, 1 - labels, labels)
    verdict, _ = judge_performance(labels[100:], scores[100:], PROMISE, POLICY, unlabelled=scores[:100])
    assert verdict.outcome is Outcome.FAIL


def test_numbers_without_bounds_are_open_above_the_limit():
    rng = np.random.default_rng(3)
    labels, errors = rng.normal(0, 3, 2000), rng.normal(size=2000)
    policy = PerformancePolicy(metric="rmse", resamples=200)
    verdict, _ = judge_performance(
        labels[200:], (labels + errors)[200:], Promise(value=1.0), policy, unlabelled=(labels + errors)[:200]
    )
    assert verdict.outcome is Outcome.INCONCLUSIVE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "recall"])
@pytest.mark.parametrize("kind", ["errors", "called"])
def test_window_whose_labels_are_missing_for_a_reason_neither_passes_nor_fails(kind, name):
    repetitions = 200
    passes, fails = outcomes(kind, name, repetitions)
    assert passes + fails <= stats.binom.ppf(0.99, repetitions, 0.05) / repetitions


@pytest.mark.slow
def test_few_labels_missing_at_random_change_nothing():
    passes, fails = outcomes("at random", "accuracy", 200)
    assert passes >= 0.95
    assert fails <= stats.binom.ppf(0.99, 200, 0.05) / 200
