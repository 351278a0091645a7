from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from airflow_mlops.core.validation import bootstrap
from airflow_mlops.core.validation.bootstrap import Resampling
from airflow_mlops.core.validation.estimate import Estimate
from airflow_mlops.core.validation.metrics.base import Metric, Scored
from airflow_mlops.core.validation.metrics.registry import metric


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def mean_of(values, **more):
    drawn = Resampling.of(len(values), resamples=2000, seed=1, **more)
    return drawn.draws(metric("mae"), Scored.of(np.zeros(len(values)), values), 1)[0]


def test_resamples_are_paired_and_repeatable(rng):
    labels, scores = rng.integers(0, 2, 500).astype(float), rng.random(500)
    drawn, again = (Resampling.of(500, resamples=200, seed=1) for _ in range(2))
    one, other, repeated = (
        resampling.draws(metric("brier"), Scored.of(labels, scores), 1)[0].draws
        for resampling in (drawn, drawn, again)
    )
    assert np.array_equal(one, other)
    assert np.array_equal(one, repeated)


@pytest.mark.parametrize("rows", [500, 60_000])
def test_spread_of_resamples_is_the_standard_error_with_and_without_blocks(rng, rows):
    values = rng.exponential(size=rows)
    assert mean_of(values).draws.std() == pytest.approx(values.std() / np.sqrt(rows), rel=0.06)


def test_rows_of_an_entity_are_drawn_together(rng):
    customers = np.repeat(np.arange(200), 50)
    values = 5 + np.repeat(rng.normal(size=200), 50)
    alone, together = mean_of(values), mean_of(values, entities=customers)
    assert (alone.units, together.units) == (bootstrap.MOST_BLOCKS, 200)
    assert together.draws.std() == pytest.approx(values.std() / np.sqrt(200), rel=0.1)
    assert together.draws.std() > 5 * alone.draws.std()


def test_parts_computed_some_at_a_time_are_the_same(rng, monkeypatch):
    labels, scores, cells = rng.integers(0, 2, 900).astype(float), rng.random(900), rng.integers(-1, 7, 900)
    drawn = Resampling.of(900, resamples=100, seed=1)
    at_once = drawn.draws(metric("roc_auc"), Scored(labels, scores, cells), 7)
    monkeypatch.setattr(bootstrap, "_NUMBERS_AT_ONCE", 1)
    one_by_one = drawn.draws(metric("roc_auc"), Scored(labels, scores, cells), 7)
    for one, other in zip(at_once, one_by_one, strict=True):
        assert np.allclose(one.draws, other.draws)
        assert one.point == pytest.approx(other.point)
        assert one.units == other.units


def test_function_is_called_with_the_same_weights_as_terms_are_summed_with(rng):
    labels, scores, cells = rng.normal(size=600), rng.normal(size=600), rng.integers(0, 2, 600)
    own = Metric(name="own", sign=-1, function=lambda y, p, w: float(np.average(np.abs(y - p), weights=w)))
    drawn = Resampling.of(600, resamples=150, seed=1)
    scored = Scored(labels, scores, cells)
    for ours, theirs in zip(drawn.draws(metric("mae"), scored, 2), drawn.draws(own, scored, 2), strict=True):
        assert theirs.draws == pytest.approx(ours.draws)
        assert theirs.point == pytest.approx(ours.point)


def test_metric_without_a_value_is_not_known_and_proves_nothing(rng):
    drawn = Resampling.of(50, resamples=100, seed=1)
    (area,) = drawn.draws(metric("roc_auc"), Scored.of(np.ones(50), rng.random(50)), 1)
    assert not area.is_known
    assert np.isnan(area.lower(0.05))
    assert (area.p_value_above(0.0), area.p_value_below(0.0)) == (1.0, 1.0)


def test_p_value_is_the_level_at_which_the_bound_reaches_the_threshold(rng):
    value = mean_of(rng.exponential(size=80))
    for alpha in (0.02, 0.05, 0.2):
        assert value.p_value_above(value.lower(alpha)) == pytest.approx(alpha, rel=0.1)
        assert value.p_value_below(value.upper(alpha)) == pytest.approx(alpha, rel=0.1)


def test_p_value_far_beyond_the_resamples_goes_on_falling(rng):
    value = mean_of(1 + 0.1 * rng.random(300))
    p_values = [value.p_value_above(threshold) for threshold in (1.04, 1.03, 1.0, 0.9)]
    assert p_values == sorted(p_values, reverse=True)
    assert 0 < p_values[1] < 1 / 2000


def test_constant_gain_is_sure():
    value = Estimate(0.0, np.zeros(500), np.zeros(100), 100)
    assert (value.lower(0.05), value.upper(0.05)) == (0.0, 0.0)
    assert value.p_value_above(-0.01) == pytest.approx(0.0)
    assert value.p_value_above(0.01) == pytest.approx(1.0)
    assert value.p_value_above(0.0) == pytest.approx(0.5)


@pytest.mark.slow
def test_bounds_of_skewed_means_miss_at_most_as_often_as_said(rng):
    """Means of 60 exponentials, below and above; plain percentiles miss 7 % and 3.5 %."""
    missed = np.zeros(2)
    repetitions = 1500
    for _ in range(repetitions):
        drawn = Resampling.of(60, resamples=500, seed=int(rng.integers(1 << 30)))
        (value,) = drawn.draws(metric("mae"), Scored.of(np.zeros(60), rng.exponential(size=60)), 1)
        missed += value.lower(0.05) > 1.0, value.upper(0.05) < 1.0
    most = stats.binom.ppf(0.995, repetitions, 0.06)
    assert missed.max() <= most, missed / repetitions


def test_gain_that_differs_by_rounding_only_is_constant(rng):
    noise = 1e-17 * rng.normal(size=500)
    value = Estimate(0.02, 0.02 + noise, 0.02 + 1e-17 * rng.exponential(size=100), 100)
    assert value.p_value_above(0.0) < 1e-6
    assert value.p_value_above(0.03) > 1 - 1e-6


def gains(losses, rows):
    """Accuracy's gain where the challenger is wrong on some rows and the other model never is."""
    drawn = Resampling.of(rows, resamples=2000, seed=1)
    mine = np.r_[np.zeros(losses), np.ones(rows - losses)]
    labels, parts = np.ones(rows), []
    for scores in (mine, labels):
        parts += drawn.draws(metric("accuracy"), Scored.of(labels, scores), 1)
    return parts[0] - parts[1]


@pytest.mark.parametrize("losses", [0, 1, 2, 3, 5, 10, 30])
def test_bound_of_a_gain_that_rests_on_few_rows_is_that_of_an_exact_test(losses):
    """Clopper-Pearson's; a normal interval of 2 losses among 500 would end at 4.3 of them, not at 6.3."""
    exact = stats.binomtest(losses, 500, alternative="less").proportion_ci(0.95, method="exact").high
    assert -gains(losses, 500).lower(0.05) >= 0.94 * exact


def test_rows_that_all_agree_exclude_only_what_they_would_have_shown():
    assert gains(0, 50).p_value_above(-0.03) > 0.2  # 1 in 33 rows lost: none among 50 in 22 % of the cases
    assert gains(0, 200).p_value_above(-0.03) < 0.005


def test_contributions_of_few_rows_leave_few_degrees_of_freedom(rng):
    labels, scores = np.r_[np.ones(20), np.zeros(980)], rng.random(1000)
    drawn = Resampling.of(1000, resamples=500, seed=1)
    (area,) = drawn.draws(metric("roc_auc"), Scored.of(labels, scores), 1)
    assert 8 < area._freedom < 40
    assert mean_of(1000 + rng.normal(size=1000))._freedom > 500


def test_function_that_does_not_weigh_its_rows_has_the_same_spread(rng):
    labels, scores = rng.normal(size=400), rng.normal(size=400)
    own = Metric(name="own", sign=-1, function=lambda y, p, w: float(np.abs(y - p).mean()))
    drawn, scored = Resampling.of(400, resamples=200, seed=1), Scored.of(labels, scores)
    (ours,), (theirs,) = drawn.draws(metric("mae"), scored, 1), drawn.draws(own, scored, 1)
    assert theirs.draws == pytest.approx(ours.draws)
    assert theirs._freedom == pytest.approx(ours._freedom, rel=0.5)


def test_own_metric_is_given_how_often_each_row_was_drawn(rng):
    labels, scores, seen = rng.normal(size=60), rng.normal(size=60), []

    def cost(y, p, w):
        seen.append(w)
        return float(np.average(np.abs(y - p), weights=w))

    drawn = Resampling.of(60, resamples=50, seed=1)
    drawn.draws(Metric(name="cost", sign=-1, function=cost), Scored.of(labels, scores), 1)
    assert {1.0, 2.0} <= set(np.unique(np.concatenate(seen[-260:-60])))
    assert all(w.sum() == times.sum() for w, times in zip(seen[7:57], drawn.weights, strict=True))


def nearly(losses, noise, rows=150):
    """A gain of nearly identical scores: small differences everywhere, and some total losses."""
    rng = np.random.default_rng(1)
    mine = np.r_[np.zeros(losses), np.ones(rows - losses)] + noise * rng.normal(size=rows)
    drawn = Resampling.of(rows, resamples=1000, seed=1)
    return drawn.draws(replace(metric("mae"), sign=1, max_influence=1.0), Scored.of(np.zeros(rows), mine), 1)[
        0
    ]


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_nearly_identical_scores_exclude_no_more_than_identical_ones(noise):
    """Rule of three: 150 units exclude a share of 2 % and more of total losses, not one of 1 %."""
    gain = nearly(0, noise)
    assert gain.p_value_above(gain.point - 0.01) > 0.14
    assert 0.0185 < gain.point - gain.lower(0.05) < 0.025


def test_noise_larger_than_two_units_needs_no_allowance_for_what_was_not_seen():
    gain = nearly(0, 0.3)
    assert gain.lower(0.05) == pytest.approx(replace(gain, reach=0.0).lower(0.05), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "scores", "units"),
    [
        ("accuracy", 2, 400),
        ("precision", 2, 12),
        ("recall", 2, 200),
        ("f1", 2, 12),
        ("false_positive_rate", 2, 200),
        ("matthews_corrcoef", 2, 12),
        ("balanced_accuracy", 3, 5),
        ("recall_macro", 3, 5),
        ("f1_macro", 3, 5),
        ("roc_auc_ovr", 3, 5),
        ("f1_weighted", 3, 400),
    ],
)
def test_value_rests_on_its_own_denominator_or_its_rarest_class(name, scores, units):
    labels = np.arange(400) % 2 * 1.0
    given = (np.arange(400) < 12) * 0.9
    if scores == 3:
        labels[:5] = 2
        given = np.random.default_rng(1).dirichlet(np.ones(3), 400)
    drawn = Resampling.of(400, resamples=100, seed=1)
    (value,) = drawn.draws(metric(name), Scored.of(labels, given), 1)
    assert value.units == units


def test_no_row_called_positive_leaves_a_precision_of_zero_that_rests_on_all_rows():
    drawn = Resampling.of(400, resamples=100, seed=1)
    (value,) = drawn.draws(metric("precision"), Scored.of(np.arange(400) % 2 * 1.0, np.zeros(400)), 1)
    assert (value.point, value.units) == (0.0, 400)
