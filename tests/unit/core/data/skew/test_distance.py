from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from airflow_mlops.core.data.skew.bounds import measure, rises
from airflow_mlops.core.data.skew.distance import (
    Bins,
    jensen_shannon,
    join_rare,
    kolmogorov_smirnov,
    largest_change,
    population_stability,
    total_variation,
    wasserstein,
)
from airflow_mlops.core.data.skew.policy import Distance


def bins(*columns, points=None):
    """Bins of columns given as (reference counts, current counts)."""
    flat = [np.concatenate([np.asarray(column[i], float) for column in columns]) for i in (0, 1)]
    sizes = np.array([len(column[0]) for column in columns])
    line = np.concatenate([np.arange(size, dtype=float) for size in sizes]) if points is None else points
    return Bins(sizes=sizes, reference=flat[0], current=flat[1], points=np.asarray(line, float))


def population(name):
    weights = {"even": np.ones(64), "two": np.array([97.0, 3.0]), "zipf": 1 / np.arange(1, 51) ** 1.2}[name]
    return weights / weights.sum()


def sampled(name, n, m, repetitions, moved=None):
    rng = np.random.default_rng(0)
    p = population(name)
    q = p if moved is None else moved(p)
    pairs = zip(rng.multinomial(n, p, repetitions), rng.multinomial(m, q, repetitions), strict=True)
    return bins(*pairs)


COUNTS = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=2, max_size=12)


@settings(max_examples=50, deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=4))
def test_distances_of_many_columns_are_what_scipy_says_of_each(columns):
    pairs = [tuple(zip(*column, strict=True)) for column in columns]
    both = bins(*pairs)
    for i, (reference, current) in enumerate(pairs):
        p, q = np.array(reference) / sum(reference), np.array(current) / sum(current)
        line = np.arange(len(p))
        deviation = np.sqrt((p * (line - (p * line).sum()) ** 2).sum())
        expected = stats.wasserstein_distance(line, line, p, q) / deviation
        assert wasserstein(both)[i] == pytest.approx(expected)
        assert jensen_shannon(both)[i] == pytest.approx(jensenshannon(p, q, base=2), abs=1e-6)
        assert kolmogorov_smirnov(both)[i] == pytest.approx(np.abs(np.cumsum(p - q)).max(), abs=1e-12)
        assert total_variation(both)[i] == pytest.approx(np.abs(p - q).sum() / 2)
        assert largest_change(both)[i] == pytest.approx(np.abs(p - q).max())


def test_stability_index_is_the_textbook_sum_and_finite_where_a_cell_is_empty():
    reference, current = np.array([600.0, 300, 100]) * 1e6, np.array([500.0, 300, 200]) * 1e6
    p, q = reference / reference.sum(), current / current.sum()
    expected = ((q - p) * np.log(q / p)).sum()
    assert population_stability(bins((reference, current)))[0] == pytest.approx(expected, rel=1e-6)
    assert 0 < population_stability(bins(([10, 0], [0, 10])))[0] < np.inf
    assert population_stability(bins(([10, 0], [10**6, 0])))[0] == pytest.approx(0)


@pytest.mark.parametrize("distance", Distance)
def test_same_shares_have_no_distance_and_disjoint_ones_the_largest(distance):
    same = measure(distance, bins(([500, 300, 200], [5000, 3000, 2000])), 0.05)
    apart = measure(distance, bins(([1000, 0, 0], [0, 0, 1000])), 0.05)
    assert (same.value[0], same.lower[0], same.corrected[0]) == pytest.approx((0, 0, 0), abs=1e-9)
    assert same.p_value[0] == pytest.approx(1)
    assert apart.lower[0] > 0.7
    assert apart.upper[0] <= distance.highest
    assert apart.p_value[0] < 1e-10


def test_wasserstein_of_a_constant_reference_counts_the_mass_that_left():
    assert wasserstein(bins(([0, 100], [30, 70]), points=[5.0, 5.0]))[0] == pytest.approx(0.3)
    assert wasserstein(bins(([100, 0], [70, 30]), points=[2.0, 8.0]))[0] == pytest.approx(0.3)


def test_rare_cells_are_counted_together_and_no_value_is_lost():
    both = bins(([900, 95, 3, 2], [880, 110, 6, 4]), ([50, 50], [40, 60]))
    joined = join_rare(both)
    assert joined.sizes.tolist() == [3, 3]
    assert joined.reference.tolist() == [900, 95, 5, 50, 50, 0]
    assert joined.current.tolist() == [880, 110, 10, 40, 60, 0]


@pytest.mark.parametrize("distance", Distance)
def test_columns_do_not_influence_each_other(distance):
    rng = np.random.default_rng(1)
    pairs = [
        (rng.multinomial(500, population("zipf")), rng.multinomial(700, population("zipf"))) for _ in "abc"
    ]
    together = measure(distance, bins(*pairs), 0.05)
    for i, pair in enumerate(pairs):
        alone = measure(distance, bins(pair), 0.05)
        for field in ("value", "corrected", "lower", "upper", "p_value"):
            assert getattr(together, field)[i] == pytest.approx(getattr(alone, field)[0], abs=1e-12)


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("name", ["even", "two", "zipf"])
@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (10**6, 1000), (10**6, 10**6)])
def test_without_change_bounds_and_p_values_err_no_more_often_than_stated(distance, name, n, m):
    repetitions = 2000
    effects = measure(distance, sampled(name, n, m, repetitions), 0.01)
    assert (effects.lower > 1e-12).mean() <= 0.022  # 0.01, twice over in the far tail of small samples
    assert (effects.p_value < 0.05).mean() <= 0.07
    assert (effects.p_value < 0.001).mean() <= 0.004
    assert (effects.lower <= effects.corrected + 1e-12).all()


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize(("n", "m"), [(2000, 2000), (10**5, 2000), (10**5, 10**5)])
def test_interval_holds_the_true_distance_when_there_is_one(distance, n, m):
    def moved(p):
        tilt = p * np.linspace(0.8, 1.2, len(p))
        return tilt / tilt.sum()

    p = population("even")
    scale = 10**9
    truth = measure(distance, bins((p * scale, moved(p) * scale)), 0.05).value[0]
    effects = measure(distance, sampled("even", n, m, 1000, moved), 0.05)
    assert (effects.lower > truth).mean() <= 0.06
    assert (effects.upper < truth).mean() <= 0.06


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3])
@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (10**6, 1000), (10**5, 10**5)])
def test_rise_without_change_is_seen_no_more_often_than_stated(share, n, m):
    rng, repetitions = np.random.default_rng(2), 20_000
    hits = (
        rng.binomial(n, share, repetitions).astype(float),
        rng.binomial(m, share, repetitions).astype(float),
    )
    effects = rises(hits, (np.full(repetitions, float(n)), np.full(repetitions, float(m))), 0.01)
    assert (effects.lower > 0).mean() <= 0.012
    assert (effects.p_value < 0.01).mean() <= 0.013


def test_rise_is_bounded_and_a_fall_is_none():
    hits = (np.array([10.0, 100.0]), np.array([100.0, 10.0]))
    effects = rises(hits, (np.full(2, 1000.0), np.full(2, 1000.0)), 0.025)
    assert effects.value == pytest.approx([0.09, -0.09])
    assert 0.06 < effects.lower[0] < 0.09 < effects.upper[0] < 0.12
    assert effects.p_value[0] < 1e-15
    assert effects.p_value[1] == 1
    assert effects.corrected.tolist() == pytest.approx([0.09, 0])


def test_rise_to_all_and_from_none_has_bounds():
    effects = rises((np.array([0.0]), np.array([50.0])), (np.array([50.0]), np.array([50.0])), 0.05)
    assert effects.value[0] == 1
    assert 0.8 < effects.lower[0] < 1
