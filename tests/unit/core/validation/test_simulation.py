"""Error rates of the whole decision, by simulation: what docs/how-to/validation.md states."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from airflow_mlops.core.outcome import Outcome
from airflow_mlops.core.validation.compare import judge
from airflow_mlops.core.validation.report import Answer
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.validation.threshold import ValidationPolicy

pytestmark = pytest.mark.slow
ALPHA, REPETITIONS = 0.05, 300
PASSING = (Outcome.PASS, Outcome.WARN)
AREA = 0.85


def most(share, repetitions=REPETITIONS):
    """Greatest rate that a true rate of ``share`` gives in 99 of 100 simulations."""
    return stats.binom.ppf(0.99, repetitions, share) / repetitions


def answers(rng, rows, drop):
    """Accuracy .85; the champion alone is right on 6 % + drop / 2, the challenger alone on 6 % - drop / 2."""
    labels = rng.integers(0, 2, rows).astype(float)
    u = rng.random(rows)
    both_wrong = u >= 0.91
    mine = both_wrong | (u < 0.06 + np.asarray(drop) / 2)
    theirs = both_wrong | ((u >= 0.06 + np.asarray(drop) / 2) & (u < 0.12))
    return labels, np.where(mine, 1 - labels, labels), np.where(theirs, 1 - labels, labels)


def areas(rng, rows, drop):
    """Binormal scores, correlation .9; area .85, the challenger's less by ``drop``; one positive in five."""
    labels = (rng.random(rows) < 0.2).astype(float)
    shared, own = rng.normal(size=rows), rng.normal(size=rows)
    theirs = shared + labels * np.sqrt(2) * stats.norm.ppf(AREA)
    mine = 0.9 * shared + np.sqrt(0.19) * own + labels * np.sqrt(2) * stats.norm.ppf(AREA - np.asarray(drop))
    return labels, stats.norm.cdf(mine), stats.norm.cdf(theirs)


def errors(rng, rows, drop):
    """Absolute errors exponential with mean .3, the challenger's larger by ``drop``, two thirds shared."""
    labels, shared = rng.normal(0, 3, rows), rng.exponential(0.2, rows)
    mine = shared + rng.exponential(0.1 + np.asarray(drop), rows)
    return labels, labels + mine, labels + shared + rng.exponential(0.1, rows)


WORLDS = {"accuracy": answers, "roc_auc": areas, "mae": errors}


def trial(metric, rng, rows, drop, margin, *, segments=0, resamples=400, **more):
    parts = np.arange(rows) % segments if segments else np.zeros(rows, dtype=int)
    labels, mine, theirs = WORLDS[metric](rng, rows, np.asarray(drop)[parts] if segments else drop)
    baseline = np.full(rows, labels.mean())
    sample = Sample(
        labels,
        {CHALLENGER: mine, CHAMPION: theirs, BASELINE: baseline},
        {"part": np.array([f"p{i}" for i in range(segments)])[parts]} if segments else {},
        **more,
    )
    policy = ValidationPolicy(
        margin={metric: margin},
        max_segment_drop=margin,
        resamples=resamples,
        alpha=ALPHA,
        slices=None,
        seed=int(rng.integers(1 << 31)),
    )
    return judge(sample, policy)


def promoted(report):
    return report.verdict.outcome in PASSING


@pytest.mark.parametrize("metric", WORLDS)
@pytest.mark.parametrize("rows", [500, 2000])
def test_challenger_worse_by_exactly_the_margin_is_promoted_at_most_alpha_of_the_time(metric, rows):
    rng = np.random.default_rng(3)
    count = sum(promoted(trial(metric, rng, rows, 0.03, 0.03)) for _ in range(REPETITIONS))
    assert count / REPETITIONS <= most(ALPHA)


@pytest.mark.parametrize("metric", WORLDS)
def test_challenger_worse_by_the_margin_in_one_segment_only_is_promoted_at_most_alpha_of_the_time(metric):
    rng = np.random.default_rng(4)
    drop = np.array([0.04, 0, 0, 0, 0])
    count = sum(promoted(trial(metric, rng, 5000, drop, 0.04, segments=5)) for _ in range(150))
    assert count / 150 <= most(ALPHA, 150)


@pytest.mark.parametrize("metric", WORLDS)
def test_any_false_claim_over_segments_is_made_at_most_alpha_of_the_time(metric):
    """Worse by the margin in all ten: "not worse" of any; equal in all ten: "worse" of any."""
    rng, repetitions, false = np.random.default_rng(5), 120, np.zeros(2)
    for _ in range(repetitions):
        for side, drop in enumerate((0.04, 0.0)):
            report = trial(metric, rng, 3000, np.full(10, drop), 0.04, segments=10)
            told = {one.answer for one in report.comparisons if one.segment}
            wrong = {Answer.BETTER, Answer.NOT_WORSE} if side == 0 else {Answer.WORSE, Answer.BETTER}
            false[side] += bool(told & wrong)
    assert false[0] / repetitions <= most(ALPHA, repetitions)
    # two families of claims, each at alpha
    assert false[1] / repetitions <= most(2 * ALPHA, repetitions)


def test_rows_that_come_in_clusters_need_their_entity():
    """A customer has 20 rows, all alike: without the entity the decision would be far too sure."""
    rng, rates = np.random.default_rng(6), {}
    for known in (True, False):
        count = 0
        for _ in range(120):
            labels, mine, theirs = (np.repeat(x, 20) for x in errors(rng, 300, 0.03))
            customers = np.repeat(np.arange(300), 20) if known else None
            scores = {CHALLENGER: mine, CHAMPION: theirs, BASELINE: np.zeros(len(labels))}
            policy = ValidationPolicy(margin={"mae": 0.03}, resamples=200, slices=None)
            count += promoted(judge(Sample(labels, scores, entities=customers), policy))
        rates[known] = count / 120
    assert rates[True] <= most(ALPHA, 120)
    assert rates[False] > 0.25


# metric, margin, segments, rows: as docs/how-to/validation.md states them
POWER = [
    ("accuracy", 0.01, 0, 9_000),
    ("accuracy", 0.02, 0, 2_200),
    ("accuracy", 0.03, 5, 9_000),
    ("roc_auc", 0.01, 0, 4_000),
    ("roc_auc", 0.02, 0, 1_100),
    ("roc_auc", 0.03, 5, 5_000),
    ("mae", 0.01, 0, 1_600),
]


@pytest.mark.parametrize(("metric", "margin", "segments", "rows"), POWER)
def test_equal_challenger_is_promoted_in_four_of_five_cases_at_the_stated_rows(
    metric, margin, segments, rows
):
    rng, repetitions = np.random.default_rng(8), 100
    drop = np.zeros(segments) if segments else 0.0
    count = sum(
        promoted(trial(metric, rng, rows, drop, margin, segments=segments)) for _ in range(repetitions)
    )
    assert count / repetitions >= 0.8
