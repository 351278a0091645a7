"""What fails again and again from one cause is one observation: windows merged to blocks."""

from __future__ import annotations

import pytest
from builders import plan

from airflow_mlops.core.rollout.evidence.block import MOST_ERRORS
from airflow_mlops.core.rollout.evidence.rate import ErrorRateTest
from airflow_mlops.core.rollout.evidence.share import ArmCounts, ErrorShareTest
from airflow_mlops.core.rollout.machine import begin

RETRIES = (0, 1, 3, 7, 15, 31)


def window(canary_errors=0, stable_errors=0, canary=10, stable=190):
    return ArmCounts(
        canary_requests=canary,
        canary_errors=canary_errors,
        stable_requests=stable,
        stable_errors=stable_errors,
    )


def after(test, errors_at, *, seconds, length=2):
    """Windows of two seconds; errors of the canary at the given seconds."""
    for now in range(length, seconds + length, length):
        failed = sum(now - length <= at < now for at in errors_at)
        test.observe(window(canary_errors=failed), since=now - length, until=now)
    return test


def test_client_that_retries_through_a_sticky_session_blames_nobody():
    assert after(ErrorShareTest(), RETRIES, seconds=60).e_value > 1000
    linked = after(ErrorShareTest(retry_horizon=20), RETRIES, seconds=60)
    assert (linked.block, linked.e_value < 20) == (None, True)
    assert linked.e_value == after(ErrorShareTest(retry_horizon=20), RETRIES[:1], seconds=60).e_value


def test_causes_that_are_apart_are_observations_of_their_own():
    assert after(ErrorShareTest(retry_horizon=20), (0, 40, 80), seconds=120).e_value > 20


def test_open_block_is_no_evidence_yet():
    test = after(ErrorShareTest(retry_horizon=20), (0, 4), seconds=10)
    assert (test.e_value, test.block.errors, test.block.until) == (1.0, 2, 6)


@pytest.mark.parametrize("per_window", [MOST_ERRORS, 5])
def test_more_errors_than_one_cause_makes_are_evidence_at_once(per_window):
    test = ErrorShareTest(retry_horizon=20)
    test.observe(window(canary_errors=per_window), since=0, until=2)
    assert (test.block, test.e_value > 5) == (None, True)


def test_block_across_two_weights_expects_what_each_of_them_expects():
    test = ErrorShareTest(retry_horizon=20)
    test.observe(window(0, 1, canary=10, stable=190), since=0, until=2)
    test.observe(window(1, 1, canary=100, stable=100), since=2, until=4)
    assert test.block.expected == pytest.approx(0.05 + 2 * 0.5)


def test_capital_for_a_later_step_waits_for_the_end_of_the_block():
    test = ErrorShareTest(retry_horizon=20)
    test.keep_back(0.25)
    after(test, (0,), seconds=2)
    test.invest()
    assert (test.reserve, test.due) == (0.25, 1)
    test.observe(window(), since=2, until=22)
    assert (test.reserve, test.due) == (0.125, 0)


def test_block_survives_its_way_between_tasks():
    test = after(ErrorShareTest(retry_horizon=20), (0, 4), seconds=10)
    assert ErrorShareTest.from_json(test.to_json()) == test
    rate = after(ErrorRateTest(allowed=0.02, retry_horizon=20), (0, 4), seconds=10)
    assert ErrorRateTest.from_json(rate.to_json()) == rate


def test_rate_alone_is_judged_by_blocks():
    burst = [second for second in range(10) for _ in range(2)]
    assert after(ErrorRateTest(allowed=0.02), burst, seconds=20).above_e_value > 20
    test = after(ErrorRateTest(allowed=0.02, retry_horizon=20), burst, seconds=20)
    assert (test.recent_blocks, test.above_e_value < 5) == ((100,), True)
    assert after(test, range(120), seconds=120).above_e_value > 20


def test_requests_that_fail_independently_need_no_blocks():
    linked, independent = plan(retry_horizon_seconds=20.0), plan(retry_horizon_seconds=20.0, burst=1)
    assert [begin(one, "2", "1").share.retry_horizon for one in (linked, independent)] == [20, 0]
