"""Declared segments that are too small to be judged by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from builders import sample

from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.estimate import Estimate
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.validation.segments import shrunken
from airflow_mlops.core.verdict import Outcome

POLICY = ValidationPolicy(margin={"brier": 0.01}, resamples=200, slices=None)


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def markets(rng, ruined, *, small=9, each=60, rows=4000):
    """One large market and some small ones, in some of which the challenger is wrong nine times in ten."""
    names = np.repeat(["large", *(f"s{i}" for i in range(small))], [rows - small * each, *[each] * small])
    data = sample(rng, rows=rows, noise=0.05, segments={"market": names})
    wrong = np.isin(names, [f"s{i}" for i in range(ruined)]) & (rng.random(rows) < 0.9)
    data.scores[CHALLENGER][wrong] = 1 - data.labels[wrong]
    return data


def test_losses_in_many_small_segments_are_found_together(rng):
    report = judge_candidate(markets(rng, ruined=9), ValidationPolicy(margin={"brier": 0.2}, resamples=200))
    (together,) = [one for one in report.comparisons if one.pooled]
    assert (together.segment, together.rows) == ("market: 9 small segments together", 540)
    assert together.answer is ComparisonAnswer.WORSE
    assert report.verdict.outcome is Outcome.FAIL


def test_small_segments_are_warned_of_with_count_rows_and_share(rng):
    verdict = judge_candidate(markets(rng, ruined=0), POLICY).verdict
    (warned,) = [one for one in verdict.findings if one.check == "small_segments"]
    assert verdict.outcome is Outcome.WARN
    assert warned.reason.startswith(
        "market: 9 of 10 segments are too small to tell, 540 rows (13.5% of all): market=s0 (60), "
    )


def test_ruined_small_segment_is_named_after_shrinkage(rng):
    verdict = judge_candidate(markets(rng, ruined=1), POLICY).verdict
    (likely,) = [one.reason for one in verdict.findings if "likely worse than allowed" in one.reason]
    assert "market=s0 -" in likely
    assert "market=s1" not in likely


def test_segments_that_are_all_large_are_not_warned_of(rng):
    data = sample(rng, segments={"market": np.repeat(["a", "b"], 2000)})
    assert judge_candidate(data, POLICY).verdict.outcome is Outcome.PASS


def test_uncertain_gains_are_shrunk_more_and_equal_ones_to_their_mean(rng):
    def estimate(point, error):
        return Estimate(point, point + error * rng.normal(size=500), np.zeros(100), 100)

    precise, vague = shrunken([estimate(0.0, 0.01)] * 8 + [estimate(-0.5, 0.02), estimate(-0.5, 0.5)])[-2:]
    assert precise < -0.4 < vague < 0
    alike = shrunken([estimate(x, 0.1) for x in (-0.02, 0.0, 0.02)])
    assert np.ptp(alike) < 0.001


@pytest.mark.slow
def test_nine_ruined_small_segments_are_never_promoted_and_equal_ones_rarely_refused():
    rng, outcomes = np.random.default_rng(3), {0: [], 9: []}
    for ruined, seen in outcomes.items():
        for _ in range(60):
            data = markets(rng, ruined=ruined, each=150)
            seen.append(judge_candidate(data, POLICY).verdict.outcome)
    assert all(outcome is Outcome.FAIL for outcome in outcomes[9])
    assert sum(not outcome.is_accepted for outcome in outcomes[0]) <= 6


def test_class_of_four_rows_is_too_small_to_tell_whatever_the_mean_over_classes_says(rng):
    labels = rng.integers(0, 2, 600).astype(float)
    labels[:4] = 2
    sure = np.eye(3)[labels.astype(int)] * 0.8 + 0.2 / 3
    scores = {CHALLENGER: sure, CHAMPION: sure.copy(), BASELINE: np.full((600, 3), 1 / 3)}
    policy = ValidationPolicy(margin={"balanced_accuracy": 0.2}, resamples=100)
    verdict = judge_candidate(Sample(labels, scores), policy).verdict
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any("balanced_accuracy rests on 4 units" in reason for reason in verdict.reasons)
