"""What fails again and again from one cause is one observation: windows merged to blocks."""

from __future__ import annotations

import math

import pytest
from builders import plan

from airflow_mlops.core.rollout.evidence.block import MOST_ERRORS
from airflow_mlops.core.rollout.evidence.echo import StableOutage
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


def after(test, errors_at, *, seconds, length=2, early=0):
    """Windows of two seconds; errors of the canary at the given seconds."""
    for now in range(length, seconds + length, length):
        failed = sum(now - length <= at < now for at in errors_at)
        test.observe(
            window(canary_errors=failed), since=now - length, until=now, is_early=now - length < early
        )
    return test


def hasty(share=0.3):
    test = ErrorShareTest(retry_horizon=20)
    test.hasten(share)
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


def test_more_errors_than_one_cause_makes_are_evidence_at_once():
    test = ErrorShareTest(retry_horizon=20)
    test.observe(window(canary_errors=MOST_ERRORS), since=0, until=2)
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
    assert (test.reserve, test.waiting, test.e_value) == (0.125, 0.125, pytest.approx(1))
    before = test.worse_logs
    test.observe(window(), since=2, until=22)
    assert (test.reserve, test.waiting) == (0.125, 0)
    assert test.e_value > 0.25 + sum(math.exp(log) for log in before) / len(before)


def test_block_survives_its_way_between_tasks():
    test = after(ErrorShareTest(retry_horizon=20), (0, 4), seconds=10)
    assert ErrorShareTest.from_json(test.to_json()) == test
    early = after(hasty(), (0, 4), seconds=10, early=20)
    assert ErrorShareTest.from_json(early.to_json()) == early
    rate = alone_after(ErrorRateTest(allowed=0.02, retry_horizon=20), (0, 4), seconds=10)
    assert ErrorRateTest.from_json(rate.to_json()) == rate


def alone_after(test, errors_at, *, seconds, length=2):
    for now in range(length, seconds + length, length):
        failed = sum(now - length <= at < now for at in errors_at)
        test.observe(window(canary_errors=failed, stable=0), since=now - length, until=now)
    return test


def test_rate_alone_is_judged_by_blocks():
    burst = [second for second in range(10) for _ in range(2)]
    assert alone_after(ErrorRateTest(allowed=0.02), burst, seconds=20).above_e_value > 20
    test = alone_after(ErrorRateTest(allowed=0.02, retry_horizon=20), burst, seconds=20)
    assert (test.recent_blocks, test.above_e_value < 8) == ((100,), True)
    assert alone_after(test, range(120), seconds=120).above_e_value > 20


def test_burst_that_goes_on_at_a_blocks_end_is_not_cut_in_two():
    burst = [second for second in range(16, 26) for _ in range(2)]
    test = alone_after(ErrorRateTest(allowed=0.02, retry_horizon=20), burst, seconds=28)
    assert (test.recent_blocks, test.block) == ((140,), None)
    steady = [second for second in range(60) for _ in range(2)]
    test = alone_after(ErrorRateTest(allowed=0.02, retry_horizon=20), steady, seconds=60)
    assert test.recent_blocks == (150, 150)


def test_state_from_before_keeps_its_bets_on_the_rate():
    before = ErrorRateTest(allowed=0.02, above_logs=(0.0,) * 5)
    assert len(alone_after(before, (0, 1), seconds=4).above_logs) == 5


def test_early_windows_are_observations_of_their_own():
    failing = (0, 3, 5)
    linked = after(ErrorShareTest(retry_horizon=20), failing, seconds=6)
    early = after(hasty(), failing, seconds=6, early=20)
    assert (linked.e_value, early.e_value > 20) == (1.0, True)
    assert (early.block.errors, early.worse_logs) == (3, pytest.approx((math.log(0.7),) * 9))


def test_what_early_bets_won_is_bet_on_blocks_afterwards():
    test = after(hasty(), (0, 3), seconds=20, early=20)
    won = test.e_value
    assert (len(test.early_logs), test.block.errors) == (9, 2)
    test.observe(window(), since=24, until=26)
    assert (test.early_logs, test.block) == ((), None)
    assert test.e_value > won  # both errors as one bet, too
    kept = test.e_value
    test.observe(window(canary_errors=MOST_ERRORS), since=26, until=28)
    assert test.e_value > 3 * kept


def test_capital_is_only_moved_between_early_bets_and_others():
    test = ErrorShareTest(retry_horizon=20)
    test.keep_back(0.25)
    test.hasten(0.3)
    assert test.e_value == pytest.approx(1)
    test.invest()
    assert test.e_value == pytest.approx(1)
    assert sum(map(math.exp, test.early_logs)) / 9 == pytest.approx(0.3 * 0.875)
    after(test, (), seconds=30, early=20)
    assert (test.early_logs, test.reserve, test.e_value) == ((), 0.125, pytest.approx(1))
    test.invest()
    assert sum(map(math.exp, test.early_logs)) / 9 == pytest.approx(0.3 * 0.0625)
    assert test.e_value == pytest.approx(1)


def test_retries_after_a_steps_beginning_are_one_observation():
    late = [40 + at for at in RETRIES]
    assert after(hasty(), late, seconds=100, early=20).e_value < 20


def outage(test, *, lag, length=2, percent=5, share=1.0, seconds=60):
    """Windows of 200 requests; an outage of stable from second 20 to 24, of the canary ``lag`` later."""
    asked = 2 * percent
    for now in range(length, seconds + length, length):
        bad, worse = (
            int(share * n * (begin < now <= begin + 4)) for n, begin in ((asked, 20 + lag), (200, 20))
        )
        seen = window(bad, min(worse, 200 - asked), canary=asked, stable=200 - asked)
        test.observe(seen, since=now - length, until=now)
    return test


@pytest.mark.parametrize("percent", [5, 50])
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_outage_of_both_that_the_canary_reports_later_blames_nobody(percent, share):
    test = outage(ErrorShareTest(retry_horizon=20), lag=10, percent=percent, share=share)
    assert test.e_value < 2
    assert outage(ErrorShareTest(), lag=10, share=share).e_value > 5


def test_outage_of_stable_is_forgotten_and_what_it_usually_fails_is_none():
    assert outage(ErrorShareTest(retry_horizon=20), lag=30).e_value > 5
    usual = ErrorShareTest(retry_horizon=20)
    for now in range(2, 60, 2):
        usual.observe(window(0, 38), since=now - 2, until=now)
    assert usual.stable.until == 2  # only the first window, before it is known what is usual
    before = usual.e_value
    usual.observe(window(10, 0), since=60, until=62)
    assert usual.e_value > before


def test_matched_errors_only_make_the_canary_look_better():
    test = outage(ErrorShareTest(retry_horizon=20), lag=10)
    unmatched = outage(ErrorShareTest(retry_horizon=20, stable=StableOutage(requests=1, errors=1)), lag=10)
    assert all(a <= b for a, b in zip(test.worse_logs, unmatched.worse_logs, strict=True))
    assert test.harmless_logs == unmatched.harmless_logs


def test_requests_that_fail_independently_need_no_blocks():
    linked, independent = plan(retry_horizon_seconds=20.0), plan(retry_horizon_seconds=20.0, burst=1)
    assert [begin(one, "2", "1").share.retry_horizon for one in (linked, independent)] == [20, 0]
