from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.monitoring.performance import Promise
from airflow_mlops.core.monitoring.performance import judge_performance as judge
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.validation.bootstrap import Resampling
from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.metrics.registry import metric
from airflow_mlops.core.verdict import Outcome

POLICY = PerformancePolicy(metric="roc_auc", max_drop=0.02, min_rows=100, resamples=300)


def judge_performance(labels, scores, promised, policy):
    """Judge by a promise whose own error is not known."""
    return judge(labels, scores, None if promised is None else Promise(value=promised), policy)


def production(rng, rows=2000, noise=0.1):
    truth = rng.random(rows)
    return (rng.random(rows) < truth).astype(float), np.clip(truth + rng.normal(0, noise, rows), 0, 1)


def test_champion_as_promised_passes():
    labels, scores = production(np.random.default_rng(1))
    verdict, seen = judge_performance(labels, scores, metric("roc_auc").point(labels, scores), POLICY)
    assert verdict.outcome is Outcome.PASS
    assert seen.lower < seen.value < seen.upper


def test_degraded_champion_fails_with_figures():
    labels, scores = production(np.random.default_rng(1), noise=2.0)
    verdict, _ = judge_performance(labels, scores, 0.85, POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert "validation 0.8500, whose own error is not known, allowed drop 0.02" in verdict.reasons[0]


def test_lower_is_better_metrics_degrade_upwards():
    labels, scores = production(np.random.default_rng(1))
    policy = PerformancePolicy(metric="log_loss", max_drop=0.02, resamples=300)
    assert judge_performance(labels, scores, 0.2, policy)[0].outcome is Outcome.FAIL
    assert judge_performance(labels, scores, 3.0, policy)[0].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("labels", "scores", "promised", "reason"),
    [
        ([0.0, 1.0], [0.1, 0.9], 0.9, "2 requests have a label and a prediction, needs 100"),
        ([1.0] * 200, [0.5] * 200, 0.9, "all labels are 1"),
        ([0.0, 1.0] * 100, [np.nan] * 200, 0.9, "200 of 200 labelled requests lack"),
        ([0.0, 1.0, np.nan, 1.0] * 100, [0.1, 0.9] * 200, 0.9, "(share 0.25, allowed 0.05)"),
        ([0.0, 1.0] * 100, [0.1, 0.9] * 100, None, "nothing to compare with"),
        ([0.0] * 196 + [1.0] * 4, [0.1] * 200, 0.9, "it rests on 4 requests of the rarest class, needs 20"),
    ],
)
def test_too_little_to_know_is_inconclusive(labels, scores, promised, reason):
    verdict, _ = judge_performance(np.array(labels), np.array(scores), promised, POLICY)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert reason in verdict.reasons[0]


def test_many_classes_are_judged_on_their_matrix_of_scores():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 600).astype(float)
    good = np.eye(3)[labels.astype(int)] * 0.6 + 0.4 / 3
    policy = PerformancePolicy(metric="accuracy", max_drop=0.02, resamples=200)
    assert judge_performance(labels, good, 1.0, policy)[0].outcome is Outcome.PASS
    assert judge_performance(labels, rng.permutation(good), 1.0, policy)[0].outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("bar", "reason"),
    [
        ({"max_drop": -1}, "monitor.max_drop: -1, allowed: 0 or more"),
        ({"max_missing": 1.0}, "monitor.max_missing: 1.0"),
        ({"metric": "rok_auc"}, "roc_auc"),
        ({"metric": "ndcg@5"}, "metrics of single rows"),
        ({"metric": "sklearn:r2"}, "metrics of single rows"),
    ],
)
def test_bar_that_cannot_be_meant_is_refused(bar, reason):
    with pytest.raises(InvalidConfigError, match=re.escape(reason)):
        PerformancePolicy(**bar)


def held_back(rng, rows, share):
    """Scores of a model whose AUC is the same whatever the sample, of few positives."""
    labels = (rng.random(rows) < share).astype(float)
    return labels, rng.normal(labels, 1.0)


@pytest.mark.parametrize("alpha", [0.05 / 30, 0.01, 0.2])
def test_promise_at_another_level_is_brought_to_that_of_the_window(alpha):
    rng = np.random.default_rng(5)
    held, window = held_back(rng, 2000, 0.1), held_back(rng, 2000, 0.1)
    usual, other = (promise_of(*held, level) for level in (0.05, alpha))
    wanted, found, unscaled = (
        judge(*window, promised, POLICY)[1].drop_lower
        for promised in (usual, other, replace(other, alpha=0.05))
    )
    assert abs(found - wanted) < 0.6 * abs(unscaled - wanted)  # bounds are not exactly normal


def promise_of(labels, scores, alpha=0.05):
    drawn = Resampling.of(len(labels), resamples=300, seed=1)
    found = drawn.draws(metric("roc_auc"), Scored.of(labels, scores), 1)[0]
    return Promise(value=found.point, lower=found.lower(alpha), upper=found.upper(alpha), alpha=alpha)


def test_requests_of_one_entity_are_drawn_together_and_entities_have_to_be_many():
    rng = np.random.default_rng(3)
    labels, scores = (np.repeat(one, 10) for one in production(rng, 100))
    promised, whose = Promise(value=0.85, lower=0.83, upper=0.87), np.repeat(np.arange(100), 10)
    _, alone = judge(labels, scores, promised, POLICY)
    _, together = judge(labels, scores, promised, POLICY, entities=whose)
    assert together.upper - together.lower > 2 * (alone.upper - alone.lower)
    assert (together.units < alone.units, together.counts) == (True, True)
    verdict, few = judge(labels, scores, promised, POLICY, entities=whose // 10)
    assert (verdict.outcome, few.counts) == (Outcome.INCONCLUSIVE, False)
    assert "entities, needs 20" in verdict.reasons[0]


@pytest.mark.slow
def test_promise_from_few_rows_is_an_estimate_too():
    """At the limit: by a promise taken as exact, windows of some models fail time and again."""
    rng, models, windows = np.random.default_rng(4), 60, 4
    own, exact = np.zeros((2, models))
    policy = PerformancePolicy(metric="roc_auc", max_drop=0.0, min_rows=100, resamples=300)
    for model in range(models):
        promised = promise_of(*held_back(rng, 500, 0.1))
        for _ in range(windows):
            verdict, seen = judge(*held_back(rng, 2000, 0.1), promised, policy)
            own[model] += verdict.outcome is Outcome.FAIL
            exact[model] += seen.upper < promised.value
    rate = own.mean() / windows
    assert rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / models)
    assert exact.mean() / windows > 0.15
    assert (exact == windows).mean() > (own == windows).mean()


def test_large_drop_is_found_though_the_promise_is_an_estimate():
    rng = np.random.default_rng(5)
    promised = promise_of(*held_back(rng, 2000, 0.1))
    labels, scores = held_back(rng, 4000, 0.1)
    verdict, seen = judge(labels, np.where(rng.random(4000) < 0.5, 0.0, scores), promised, POLICY)
    assert verdict.outcome is Outcome.FAIL
    assert seen.drop_lower > 0.02
    assert f"validation {promised.value:.4f} ({promised.lower:.4f} to " in verdict.reasons[0]


@pytest.mark.slow
def test_champion_worse_by_exactly_the_allowed_drop_is_called_degraded_at_most_alpha_of_the_time():
    rng, truth, failed, repetitions = np.random.default_rng(2), 0.25, 0, 300
    policy = PerformancePolicy(metric="mae", max_drop=0.05, min_rows=50, resamples=400)
    for _ in range(repetitions):
        labels = rng.normal(size=400)
        scores = labels + rng.exponential(truth + 0.05, 400)
        failed += judge_performance(labels, scores, truth, policy)[0].outcome is Outcome.FAIL
    assert failed / repetitions <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repetitions)


@pytest.mark.parametrize("unit", [1e-4, 1e6], ids=["small numbers", "large numbers"])
@pytest.mark.parametrize(("worse", "outcome"), [(1.0, Outcome.PASS), (1.3, Outcome.FAIL)])
def test_what_a_loss_may_rise_goes_with_its_unit(unit, worse, outcome):
    rng = np.random.default_rng(3)
    labels, errors = rng.normal(size=2000), rng.normal(size=2000)
    policy = PerformancePolicy(metric="rmse", resamples=300)
    promised = unit * float(np.sqrt((errors**2).mean()))
    verdict, _ = judge_performance(unit * labels, unit * (labels + worse * errors), promised, policy)
    assert verdict.outcome is outcome
    assert f"allowed drop {0.05 * promised:.4g}" in verdict.findings[0].reason


def test_metric_in_points_may_lose_two_points_unless_given():
    labels, scores = production(np.random.default_rng(1))
    policy = PerformancePolicy(metric="roc_auc", resamples=300)
    assert "allowed drop 0.02" in judge_performance(labels, scores, 0.85, policy)[0].findings[0].reason


def test_metric_of_other_predictions_is_inconclusive_and_named():
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 3, 400).astype(float), rng.dirichlet(np.ones(3), 400)
    verdict, seen = judge_performance(labels, scores, 0.9, POLICY)
    assert (verdict.outcome, seen) == (Outcome.INCONCLUSIVE, None)
    assert "roc_auc does not fit: predictions are of 3 classes, allowed: " in verdict.reasons[0]


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        (lambda y: 100 * y, "predictions lie between 0 and 100, brier needs probabilities"),
        (lambda y: 8 * y - 4, "predictions lie between -4 and 4, brier needs probabilities"),
        (
            lambda y: np.stack([0.5 + 0 * y, 0.2 + 0.5 * y], axis=1),
            "probabilities of 400 of 400 rows do not sum to 1",
        ),
    ],
    ids=["percent", "logits", "rows"],
)
def test_scores_that_are_no_probabilities_are_not_measured(scores, why):
    labels = np.arange(400) % 2 * 1.0
    policy = PerformancePolicy(metric="brier", max_drop=0.1)
    verdict, seen = judge_performance(labels, scores(labels), 0.1, policy)
    assert (verdict.outcome, seen) == (Outcome.INCONCLUSIVE, None)
    assert why in verdict.reasons[0]
