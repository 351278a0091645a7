"""Rows that are not independent: windows of time, undeclared clusters, repeated rows, a dominant entity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import sample
from scipy import stats

from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.dependence.clusters import design_effect
from airflow_mlops.core.validation.dependence.windows import spread_of
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.verdict import Outcome

POLICY = ValidationPolicy(margin={"brier": 0.01}, resamples=200, slices=None)


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def days(rng, count, each, *, effect, loss=0.05, known=True):
    """Absolute errors around 1; the challenger's mean is larger by ``loss``, and by what the day does."""
    day = np.repeat(np.arange(count), each)
    labels = rng.normal(0, 5, len(day))
    own = rng.normal(loss, effect, count)[day] + 0.2 * rng.normal(size=len(day))
    scores = {CHAMPION: labels + 1, CHALLENGER: labels + 1 + own, BASELINE: np.zeros(len(day))}
    names = np.array([f"day {one:02}" for one in day])
    return Sample(labels, scores, windows=names if known else None)


def outcome(data, margin=0.05):
    policy = ValidationPolicy(margin={"mae": margin}, resamples=200, slices=None)
    return judge_candidate(data, policy).verdict


def found(verdict, check):
    return [one for one in verdict.findings if one.check == check]


def most(share, repetitions):
    return stats.binom.ppf(0.99, repetitions, share) / repetitions


@pytest.mark.slow
@pytest.mark.parametrize(("count", "each"), [(30, 50), (3, 500)], ids=["thirty days", "three windows"])
def test_effects_of_days_as_large_as_the_margin_let_no_inferior_challenger_pass(count, each):
    rng, repetitions = np.random.default_rng(2), 200
    passed = {
        known: sum(
            outcome(days(rng, count, each, effect=0.05, known=known)).outcome.is_accepted
            for _ in range(repetitions)
        )
        for known in (True, False)
    }
    assert passed[True] / repetitions <= most(0.05, repetitions)
    assert passed[False] / repetitions > 0.12


def test_windows_that_agree_are_named_and_stop_nothing(rng):
    verdict = outcome(days(rng, 3, 500, effect=0.0, loss=0.0))
    assert verdict.outcome is Outcome.PASS
    (told,) = [one.reason for one in verdict.findings if one.subject == "windows"]
    assert told.startswith("claims are about these windows: day 00, day 01, day 02;")


def test_windows_that_differ_beyond_chance_but_all_within_the_margin_are_a_warning(rng):
    verdict = outcome(days(rng, 6, 500, effect=0.1, loss=-0.5))
    (told,) = found(verdict, "windows")
    assert told.outcome is Outcome.WARN
    assert "differ between windows beyond chance (Cochran's Q" in told.reason


def test_many_days_are_drawn_instead_of_rows(rng):
    verdict = outcome(days(rng, 25, 80, effect=0.0, loss=0.0))
    assert any("25 windows are drawn, not rows" in one.reason for one in verdict.findings)
    assert verdict.outcome is Outcome.PASS


def test_declared_entity_is_drawn_whatever_the_windows(rng):
    data = replace(days(rng, 25, 80, effect=0.0), entities=np.arange(2000) // 4)
    assert not any("windows are drawn" in one.reason for one in outcome(data).findings)


def test_cochrans_q_and_the_random_effects_mean():
    alike = spread_of(np.array([0.1, 0.1, 0.1]), np.array([0.02, 0.02, 0.02]))
    assert (alike.q, alike.p_value) == (pytest.approx(0.0), pytest.approx(1.0))
    apart = spread_of(np.array([0.0, 0.1, 0.2]), np.array([0.01, 0.01, 0.01]))
    assert apart.q == pytest.approx(200.0)
    assert apart.mean == pytest.approx(0.1)
    assert apart.lower(0.05) == pytest.approx(0.1 - 2.92 * 0.1 / 3**0.5, abs=1e-3)


def customers(rng, *, times=6, together=True):
    data = sample(rng, rows=600)
    who = np.repeat(np.arange(600), times)
    if not together:
        rng.shuffle(who)
    scores = {name: np.repeat(values, times) for name, values in data.scores.items()}
    return Sample(np.repeat(data.labels, times), scores, ids={"customer": who})


def test_rows_of_one_customer_that_move_together_are_warned_of(rng):
    (told,) = found(judge_candidate(customers(rng), POLICY).verdict, "clusters")
    assert told.outcome is Outcome.WARN
    assert told.reason.startswith("customer: gains of rows with one value move together (design effect 6.0)")
    assert told.reason.endswith("name it in validate.entity")


def test_customers_that_have_nothing_in_common_are_not_warned_of(rng):
    assert found(judge_candidate(customers(rng, together=False), POLICY).verdict, "clusters") == []
    data = customers(rng)
    declared = Sample(data.labels, data.scores, ids=data.ids, entities=data.ids["customer"])
    assert found(judge_candidate(declared, POLICY).verdict, "clusters") == []


@pytest.mark.slow
def test_independent_rows_are_hardly_ever_called_clustered():
    rng = np.random.default_rng(3)
    z = [design_effect(rng.exponential(size=900), rng.integers(0, 200, 900))[1] for _ in range(500)]
    assert np.mean(np.array(z) > 4) <= 0.01


def test_repeated_rows_are_warned_of_unless_few_values_make_them(rng):
    data = sample(rng, rows=1000)
    data.labels[50:100], data.scores[CHALLENGER][50:100] = data.labels[:50], data.scores[CHALLENGER][:50]
    ages, hours = rng.normal(size=1000), rng.integers(0, 6, 1000).astype(float)
    ages[50:100], hours[50:100] = ages[:50], hours[:50]
    verdict = judge_candidate(replace(data, columns={"age": ages, "hour": hours}), POLICY).verdict
    (told,) = found(verdict, "clusters")
    assert told.reason.startswith("5.0% of the held-back rows repeat another one in every feature")
    natural = judge_candidate(replace(data, columns={"hour": hours}), POLICY).verdict
    assert found(natural, "clusters") == []


def test_entity_that_owns_more_than_a_tenth_of_the_rows_is_warned_of(rng):
    owners = np.arange(4000)
    owners[:600] = 0
    (told,) = found(judge_candidate(replace(sample(rng), entities=owners), POLICY).verdict, "clusters")
    assert told.reason.startswith("one entity owns 15% of the held-back rows")
