"""Several tries on the same rows, several promotions in a row: what they may cost is bounded."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.anchor import anchor_of, next_anchor, since_anchor
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import ValidationPolicy, alpha_against_anchor
from airflow_mlops.core.validation.sample import ANCHOR, BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.dag_factories.validate import ValidateConfig


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


STEPS = ValidationPolicy(margin={"accuracy": 0.02}, resamples=300, slices=None, total_margin=2.0)
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


def test_total_loss_that_is_allowed_by_default_is_one_margin(rng):
    policy = ValidationPolicy(margin={"accuracy": 0.02}, resamples=300, slices=None)
    report = judge_candidate(descended(rng, 0.19, 0.18, 0.15), policy)
    (one,) = (c for c in report.comparisons if c.rival == ANCHOR)
    assert one.allowed == pytest.approx(0.02)
    assert report.verdict.outcome is Outcome.FAIL


def test_further_comparisons_with_one_anchor_have_less_of_alpha_on_new_rows_too(rng):
    found = descended(rng, 0.175, 0.165, 0.16)
    first, late = (judge_candidate(found, STEPS, anchor_tries=tries) for tries in (1, 100))
    bounds = {
        (name, one.rival): one.lower
        for name, report in (("first", first), ("late", late))
        for one in report.comparisons
    }
    assert (first.anchor_alpha, late.alpha, late.anchor_tries) == (0.05, 0.05, 100)
    assert late.anchor_alpha == pytest.approx(0.05 * 0.03)
    assert bounds["late", ANCHOR] < bounds["first", ANCHOR]
    assert bounds["late", CHAMPION] == bounds["first", CHAMPION]


def test_all_comparisons_with_one_anchor_together_spend_a_finite_level():
    levels = [alpha_against_anchor(0.05, number) for number in (1, 9, 10, 100, 1000)]
    assert levels[:2] == [0.05, 0.05]
    assert levels == sorted(levels, reverse=True)
    assert sum(alpha_against_anchor(1.0, number) for number in range(1, 100_000)) < 29


@pytest.mark.parametrize(
    ("rule", "recorded", "anchor"),
    [
        ("best", "", "9"),
        ("best", "3", "3"),
        ("4", "3", "4"),
        ("90d", "8", "8"),  # the best known served within the 90 days
        ("90d", "3", "7"),  # it did not: 7 is the first that did
        ("1d", "3", "9"),
        ("200d", "3", "3"),
    ],
)
def test_anchor_is_the_best_known_of_all_of_the_last_days_or_a_named_version(rule, recorded, anchor):
    day = 86400.0
    served = [("3", 0.0), ("7", 100 * day), ("8", 150 * day), ("9", 180 * day)]
    assert anchor_of(rule, "9", recorded, served, now=195 * day) == anchor


def test_report_says_the_gain_since_the_anchor_and_how_many_tries_there_were(rng):
    report = judge_candidate(descended(rng, 0.18, 0.17, 0.16), STEPS, tries=2, anchor_tries=12)
    total, tries = since_anchor(replace(report, versions=ROLES))
    assert re.fullmatch(
        r"gain since the anchor, version 5: accuracy -0\.0\d+ \(at least -0\.0\d+, allowed -0\.04\); "
        r"comparison 12 with it at alpha 0\.025",
        total,
    )
    assert tries == "try 2 on these held-back rows, at alpha 0.025"
    alone = judge_candidate(without(descended(rng, 0.16, 0.16, 0.16), ANCHOR), STEPS)
    said = since_anchor(replace(alone, versions={CHALLENGER: "9", CHAMPION: "8"}))
    assert said[0].startswith("gain since the anchor, version 8, the champion: accuracy ")
    assert since_anchor(replace(alone, comparisons=())) == []


@pytest.mark.parametrize(("given", "read"), [(7, "7"), ("90d", "90d"), ("best", "best")])
def test_anchor_of_the_configuration_may_be_a_number_as_yaml_reads_it(given, read):
    assert ValidateConfig(margin={"accuracy": 0.02}, anchor=given).policy().anchor == read


@pytest.mark.parametrize("wrong", ["newest", "0d", "12h", True])
def test_anchor_that_is_none_is_refused_with_what_is_allowed(wrong):
    with pytest.raises(InvalidConfigError, match="anchor"):
        ValidateConfig(margin={"accuracy": 0.02}, anchor=wrong)
