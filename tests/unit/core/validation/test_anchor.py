"""Several tries on the same rows, several promotions in a row: what they may cost is bounded."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from airflow_mlops.core.validation.anchor import next_anchor
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.sample import ANCHOR, BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.verdict import Outcome


@pytest.fixture
def rng():
    return np.random.default_rng(42)


def descended(rng, *wrong, rows=4000):
    """Labels, and the answers of challenger, champion and anchor: wrong on shares of the rows, nested."""
    labels, u = rng.integers(0, 2, rows).astype(float), rng.random(rows)
    roles = (CHALLENGER, CHAMPION, ANCHOR)
    scores = {role: np.where(u < share, 1 - labels, labels) for role, share in zip(roles, wrong, strict=True)}
    return Sample(labels, {**scores, BASELINE: np.full(rows, labels.mean())})


def without(sample, *roles):
    scores = {role: answers for role, answers in sample.scores.items() if role not in roles}
    return replace(sample, scores=scores)


STEPS = ValidationPolicy(margin={"accuracy": 0.02}, resamples=300, slices=None)
ROLES = {CHALLENGER: "9", CHAMPION: "8", ANCHOR: "5"}


def test_small_losses_of_several_promotions_count_from_the_best_earlier_champion(rng):
    report = judge_candidate(descended(rng, 0.20, 0.19, 0.15), STEPS)
    told = {f.check: f for f in report.verdict.findings if f.subject == "accuracy"}
    assert told["against_champion"].outcome is Outcome.PASS
    assert told["against_anchor"].outcome is Outcome.FAIL
    assert re.search(
        r"against anchor 0\.8\d+: worse \(gain .*, allowed -0\.04\)", told["against_anchor"].reason
    )
    assert report.verdict.outcome is Outcome.FAIL


def test_loss_within_the_total_margin_passes_and_the_anchor_stays(rng):
    report = judge_candidate(descended(rng, 0.18, 0.17, 0.16), STEPS)
    assert report.verdict.outcome is Outcome.PASS
    assert next_anchor(replace(report, versions=ROLES)) == "5"


def test_version_that_is_shown_better_than_the_anchor_becomes_it(rng):
    report = judge_candidate(descended(rng, 0.10, 0.17, 0.16), STEPS)
    assert next_anchor(replace(report, versions=ROLES)) == "9"


def test_champion_is_the_anchor_of_what_is_not_shown_better_than_it(rng):
    found = without(descended(rng, 0.16, 0.16, 0.16), ANCHOR)
    report = judge_candidate(found, STEPS)
    assert next_anchor(replace(report, versions={CHALLENGER: "9", CHAMPION: "8"})) == "8"


def test_first_version_is_its_own_anchor(rng):
    report = judge_candidate(without(descended(rng, 0.16, 0.16, 0.16), CHAMPION, ANCHOR), STEPS)
    assert next_anchor(replace(report, versions={CHALLENGER: "1"})) == "1"


def test_anchor_that_cannot_be_compared_with_is_told_and_the_champion_takes_its_place(rng):
    found = without(descended(rng, 0.16, 0.16, 0.16), ANCHOR)
    found.unusable[ANCHOR] = "version 5 cannot score the held-back rows"
    report = judge_candidate(found, STEPS)
    assert report.verdict.outcome is Outcome.WARN
    (reason,) = report.verdict.reasons
    assert reason.endswith("the loss over several promotions counts from the champion now")
    assert next_anchor(replace(report, versions=ROLES)) == "8"


def test_relative_margin_and_segments_have_the_total_margin_against_the_anchor(rng):
    found = descended(rng, 0.20, 0.19, 0.15)
    policy = replace(STEPS, margin={}, relative_margin={"accuracy": 0.02}, total_margin=3.0)
    parts = replace(found, segments={"part": np.where(np.arange(4000) % 2, "a", "b")})
    report = judge_candidate(parts, policy)
    allowed = {
        (c.rival, c.segment): round(c.allowed / c.other, 3) for c in report.comparisons if c.rival != BASELINE
    }
    assert {allowed[ANCHOR, part] for part in ("", "part=a", "part=b")} == {0.06}
    assert {allowed[CHAMPION, part] for part in ("", "part=a", "part=b")} == {0.02}


def test_further_tries_on_the_same_rows_have_less_of_alpha_and_say_so(rng):
    found = descended(rng, 0.175, 0.16, 0.16)
    first, fifth = (judge_candidate(found, STEPS, tries=tries) for tries in (1, 5))
    assert (first.alpha, first.tries, fifth.alpha, fifth.tries) == (0.05, 1, 0.0025, 5)
    said = [f.reason for f in fifth.verdict.findings if f.subject == "tries"]
    assert said == ["try 5 on these held-back rows: claims at alpha 0.0025, of a first try 0.05"]
    bounds = [one.lower for report in (first, fifth) for one in report.comparisons if one.rival == CHAMPION]
    assert bounds[1] < bounds[0]
    assert not [f for f in first.verdict.findings if f.subject == "tries"]
