from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.rollout.evidence.rate import ErrorRateTest
from airflow_mlops.core.rollout.evidence.share import ArmCounts


def window(canary, errors=0):
    return ArmCounts(canary_requests=canary, canary_errors=errors, stable_requests=0, stable_errors=0)


def after(test, count, *args):
    for _ in range(count):
        test.observe(window(*args))
    return test


BLOCKS = pytest.mark.parametrize(
    ("allowed", "blocks"), [(0.005, 726), (0.01, 363), (0.02, 182), (0.05, 73)], ids=str
)


@BLOCKS
@pytest.mark.parametrize("requests", [10, 400])
def test_clean_windows_show_a_rate_below_the_allowance(allowed, blocks, requests):
    test = after(ErrorRateTest(allowed=allowed), 1, requests)  # the first tells how large a window is
    after(test, blocks - 2, requests)
    assert test.below_e_value < 20
    assert after(test, 1, requests).below_e_value >= 20
    assert test.above_e_value < 1


@BLOCKS
@pytest.mark.parametrize("burst", [1, 3])
def test_requests_count_one_by_one_when_it_is_known_how_many_fail_together(allowed, blocks, burst):
    test = after(ErrorRateTest(allowed=allowed, burst=burst), 1, blocks * burst - burst)
    assert test.below_e_value < 20
    assert after(test, burst, 1).below_e_value >= 20


def test_small_windows_do_not_count_as_large_ones():
    few = after(ErrorRateTest(allowed=0.05), 73 * 5 - 5, 2)
    assert few.below_e_value < 20
    assert after(few, 5, 2).below_e_value >= 20


def test_one_window_counts_once_however_many_requests_it_holds():
    assert after(ErrorRateTest(allowed=0.05), 1, 1_000_000).below_e_value < 1.06


def test_failing_windows_show_a_rate_above_the_allowance():
    test = after(ErrorRateTest(allowed=0.02), 4, 40, 8)
    assert test.above_e_value >= 20
    assert test.below_e_value < 1


@pytest.mark.parametrize("allowed", [0, 1])
def test_allowance_that_leaves_nothing_to_bet_on_is_refused(allowed):
    with pytest.raises(InvalidConfigError, match=r"allowed: ., allowed: above 0"):
        ErrorRateTest(allowed=allowed)


def test_window_without_requests_says_nothing():
    assert after(ErrorRateTest(allowed=0.02), 5, 0) == ErrorRateTest(allowed=0.02)


def test_outage_does_not_forbid_to_advance_for_ever():
    test = after(ErrorRateTest(allowed=0.05), 1, 500, 500)
    assert test.below_e_value > 0.1
    assert after(test, 200, 10).below_e_value >= 20


@given(st.integers(1, 300), st.floats(0.01, 0.5), st.integers(0, 300))
def test_expected_bet_is_at_most_one_when_all_or_none_of_a_window_fails(requests, allowed, before):
    """Total outages with the allowed probability: the worst cluster there is."""
    clean, lost = (
        after(ErrorRateTest(allowed=allowed, recent=(before,)), 1, requests, k) for k in (0, requests)
    )
    for value in ("below_e_value", "above_e_value"):
        assert (1 - allowed) * getattr(clean, value) + allowed * getattr(lost, value) <= 1 + 1e-9


@given(st.integers(1, 60), st.floats(0.01, 0.5))
def test_expected_bet_is_at_most_one_when_requests_fail_independently(requests, allowed):
    total = {"below_e_value": 0.0, "above_e_value": 0.0}
    for failed in range(requests + 1):
        test = after(ErrorRateTest(allowed=allowed, burst=1), 1, requests, failed)
        for value in total:
            total[value] += binom.pmf(failed, requests, allowed) * getattr(test, value)
    assert max(total.values()) <= 1 + 1e-9
