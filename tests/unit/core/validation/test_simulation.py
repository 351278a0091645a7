"""Error rates of the whole decision, by simulation: what docs/how-to/validation.md states."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))
from decisions import WORLDS, areas, errors
from promotions import World, follow

pytestmark = pytest.mark.slow
ALPHA, REPETITIONS = 0.05, 500
DOCUMENT = Path(__file__).parents[4] / "docs" / "how-to" / "validation.md"


def most(share, repetitions=REPETITIONS):
    """Greatest rate that a true rate of ``share`` gives in 99 of 100 simulations."""
    return stats.binom.ppf(0.99, repetitions, share) / repetitions


def trial(metric, rng, rows, drop, margin, *, segments=0, resamples=400, times=1):
    """Judge once.

    :param times: like rows per customer; customers are drawn together.
    """
    parts = np.arange(rows) % segments if segments else np.zeros(rows, dtype=int)
    labels, mine, theirs = WORLDS[metric](rng, rows, np.asarray(drop)[parts] if segments else drop)
    baseline = np.full(rows, labels.mean())
    scores = {CHALLENGER: mine, CHAMPION: theirs, BASELINE: baseline}
    sample = Sample(
        np.repeat(labels, times),
        {name: np.repeat(values, times) for name, values in scores.items()},
        {"part": np.array([f"p{i}" for i in range(segments)])[np.repeat(parts, times)]} if segments else {},
        entities=np.repeat(np.arange(rows), times) if times > 1 else None,
    )
    policy = ValidationPolicy(
        margin={metric: margin},
        max_segment_drop=margin,
        resamples=resamples,
        alpha=ALPHA,
        slices=None,
        seed=int(rng.integers(1 << 31)),
    )
    return judge_candidate(sample, policy)


def promoted(report):
    return report.verdict.outcome.is_accepted


@pytest.mark.parametrize("metric", WORLDS)
@pytest.mark.parametrize(("rows", "times"), [(100, 1), (200, 1), (400, 1), (150, 4)])
def test_challenger_worse_by_exactly_the_margin_is_promoted_at_most_alpha_of_the_time(metric, rows, times):
    """Of 100 rows 20 are positive, the hardest case; (150, 4) are customers with four rows each."""
    rng, drop, repetitions = np.random.default_rng(3), 0.03, REPETITIONS * (2 if rows == 100 else 1)
    count = sum(promoted(trial(metric, rng, rows, drop, drop, times=times)) for _ in range(repetitions))
    assert count / repetitions <= most(ALPHA, repetitions)


@pytest.mark.parametrize("metric", WORLDS)
@pytest.mark.parametrize("times", [1, 2])
def test_challenger_worse_by_the_margin_in_one_segment_only_is_promoted_at_most_alpha_of_the_time(
    metric, times
):
    """It is better in the other two, so that nothing but the one segment stands in its way."""
    rng, drop = np.random.default_rng(4), np.array([0.04, -0.02, -0.02])
    count = sum(
        promoted(trial(metric, rng, 600, drop, 0.04, segments=3, resamples=300, times=times))
        for _ in range(REPETITIONS)
    )
    assert count / REPETITIONS <= most(ALPHA)


def test_one_class_that_is_rare_makes_the_bound_of_the_area_wider():
    """20 positives among 1,000 rows: bounds that trust the row count let 9.7 % through."""
    rng, count, repetitions = np.random.default_rng(3), 0, 1000
    for _ in range(repetitions):
        labels, mine, theirs = areas(rng, 1000, 0.02, share=0.02)
        scores = {CHALLENGER: mine, CHAMPION: theirs, BASELINE: np.full(1000, 0.02)}
        policy = ValidationPolicy(
            margin={"roc_auc": 0.02}, resamples=300, slices=None, seed=int(rng.integers(1 << 31))
        )
        count += promoted(judge_candidate(Sample(labels, scores), policy))
    assert count / repetitions <= most(ALPHA, repetitions)


@pytest.mark.parametrize("metric", WORLDS)
def test_any_false_claim_over_segments_is_made_at_most_alpha_of_the_time(metric):
    """Worse by the margin in all ten: "not worse" of any; equal in all ten: "worse" of any."""
    rng, repetitions, false = np.random.default_rng(5), 120, np.zeros(2)
    for _ in range(repetitions):
        for side, drop in enumerate((0.04, 0.0)):
            report = trial(metric, rng, 3000, np.full(10, drop), 0.04, segments=10)
            told = {one.answer for one in report.comparisons if one.segment}
            wrong = (
                {ComparisonAnswer.BETTER, ComparisonAnswer.NOT_WORSE}
                if side == 0
                else {ComparisonAnswer.WORSE, ComparisonAnswer.BETTER}
            )
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
            count += promoted(judge_candidate(Sample(labels, scores, entities=customers), policy))
        rates[known] = count / 120
    assert rates[True] <= most(ALPHA, 120)
    assert rates[False] > 0.25


def stated():
    """Rows of the document's table: metric, margin, segments, rows."""
    row = r"^\| (\w+) \|[^|]*\| ([\d.]+) \| (\d?)[^|]*\| ([\d,]+) \|$"
    found = re.findall(row, DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return [(m, float(margin), int(parts or 0), int(n.replace(",", ""))) for m, margin, parts, n in found]


def test_document_states_rows_for_every_metric_that_is_simulated():
    assert {metric for metric, *_ in stated()} == set(WORLDS)


@pytest.mark.parametrize(("metric", "margin", "segments", "rows"), stated())
def test_equal_challenger_is_promoted_in_four_of_five_cases_at_the_stated_rows(
    metric, margin, segments, rows
):
    rng, repetitions = np.random.default_rng(8), 100
    drop = np.zeros(segments) if segments else 0.0
    count = sum(
        promoted(trial(metric, rng, rows, drop, margin, segments=segments)) for _ in range(repetitions)
    )
    assert count / repetitions >= 0.8


def test_of_thirty_inferior_challengers_on_the_same_rows_any_is_promoted_at_most_twice_alpha_of_the_time():
    """Each exactly at the margin; `make bench-promotions` repeats it more often."""
    world = World(loss=1.0, fresh=False)
    count = sum(follow(world, seed).promoted > 0 for seed in range(40))
    assert count / 40 <= most(2 * ALPHA, 40)


@pytest.mark.parametrize("loss", [0.25, 0.5])
def test_small_losses_of_thirty_challengers_add_up_to_one_margin_and_no_further(loss):
    world = World(loss=loss, fresh=True)
    lost = [follow(world, seed).lost for seed in range(10)]
    assert 0.4 <= np.mean(lost) <= 1.0
    assert follow(world, 2, anchored=False).lost > 2
