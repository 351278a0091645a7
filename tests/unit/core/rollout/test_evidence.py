from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.rollout.evidence import Decision, ErrorShareTest, Window

REPETITIONS = 200


def window(canary, canary_errors, stable=0, stable_errors=0):
    return Window(
        canary_requests=canary,
        canary_errors=canary_errors,
        stable_requests=stable,
        stable_errors=stable_errors,
    )


def test_canary_that_fails_alone_is_rolled_back_within_few_errors():
    test = ErrorShareTest(alpha=0.05)
    first = test.update(10, 1, 190, 0)
    second = test.update(10, 1, 190, 0)
    assert (first.decision, second.decision) == (Decision.CONTINUE, Decision.ROLL_BACK)
    assert "rolls back at 20" in second.reasons[0]


def test_e_value_is_the_formula_of_the_window_share():
    share, seen = 0.2, 0.75
    ratios = np.array([1.25, 1.5, 2, 3, 5, 10, 30, 100, 1000])
    rates = (ratios - 1) / (1 + share * (ratios - 1))
    expected = (1 + rates * (seen - share)).mean()
    assert ErrorShareTest().update(20, 3, 80, 1).e_value == pytest.approx(expected)


@pytest.mark.parametrize("counts", [(10, 0, 90, 0), (10, 3, 0, 0), (0, 0, 90, 9)])
def test_window_that_says_nothing_about_shares_changes_nothing(counts):
    test = ErrorShareTest()
    assert test.update(*counts).e_value == 1.0


def test_outage_of_both_arms_does_not_roll_back():
    test = ErrorShareTest()
    decisions = {test.update(10, 10, 90, 90).decision for _ in range(100)}
    assert Decision.ROLL_BACK not in decisions


def test_canary_as_good_as_stable_may_advance_on_shares_alone():
    rng, test = np.random.default_rng(5), ErrorShareTest()
    for _ in range(400):
        evidence = test.update(100, rng.binomial(100, 0.02), 100, rng.binomial(100, 0.02))
    assert evidence.decision is Decision.ADVANCE


@pytest.mark.parametrize("counts", [(1, 2, 0, 0), (-1, 0, 0, 0), (5, 0, 1, 2)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(InvalidRecordError, match="0 <= errors <= requests"):
        ErrorShareTest().update(*counts)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 9), st.integers(0, 9)), max_size=30
    )
)
def test_state_survives_json_anywhere_in_the_sequence(rows):
    straight, broken = ErrorShareTest(), ErrorShareTest()
    for canary, stable, bad, worse in rows:
        counts = (canary, min(bad, canary), stable, min(worse, stable))
        straight.update(*counts)
        broken = ErrorShareTest.from_json(broken.to_json())
        broken.update(*counts)
    assert broken == straight


@given(st.floats(0.01, 0.99), st.integers(0, 20), st.integers(1, 20))
def test_expected_factor_is_one_when_errors_fall_by_share(share, errors_on_canary, errors):
    """Mean over where one error falls: with probability ``share`` on the canary."""
    requests = 1000
    canary = max(1, min(requests - 1, round(share * requests)))
    hit, miss = ErrorShareTest(), ErrorShareTest()
    hit.update(canary, 1, requests - canary, 0)
    miss.update(canary, 0, requests - canary, 1)
    real = canary / requests
    assert real * hit.e_value + (1 - real) * miss.e_value == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [1, 3, 10])
@pytest.mark.parametrize("weight", [0.05, 0.25, 0.5])
def test_healthy_canary_is_rolled_back_at_most_alpha_of_the_time_clustered_or_not(cluster, weight):
    rng, rps, seconds, windows, base = np.random.default_rng(cluster), 50, 2, 600, 0.01
    rolled_back = 0
    for _ in range(REPETITIONS):
        test = ErrorShareTest(alpha=0.05)
        canary = rng.poisson(rps * seconds * weight, windows)
        stable = rng.poisson(rps * seconds * (1 - weight), windows)
        rate = np.where(rng.random(windows) < 1 / cluster, min(1.0, base * cluster), 0.0)
        bad, worse = rng.binomial(canary, rate), rng.binomial(stable, rate)
        for counts in zip(canary, bad, stable, worse, strict=True):
            if test.update(*map(int, counts)).decision is Decision.ROLL_BACK:
                rolled_back += 1
                break
    assert rolled_back / REPETITIONS <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "limit"), [(0.20, 20), (0.05, 60)])
def test_regression_is_found_in_the_stated_time_at_50_requests_a_second(rate, limit):
    rng, seconds = np.random.default_rng(7), 2
    times = []
    for _ in range(100):
        test, elapsed = ErrorShareTest(), 0
        while test.conclude().decision is not Decision.ROLL_BACK and elapsed < 3600:
            weight = (0.05, 0.25, 0.5)[min(2, elapsed // 600)]
            canary, stable = rng.poisson(100 * weight), rng.poisson(100 * (1 - weight))
            test.update(canary, rng.binomial(canary, rate), stable, rng.binomial(stable, 0.01))
            elapsed += seconds
        times.append(elapsed)
    assert np.median(times) <= limit
