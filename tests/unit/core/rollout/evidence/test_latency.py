from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.core.rollout.evidence.latency import LEAST_ANSWERS, Latency, latency, slow_answers
from airflow_mlops.core.rollout.evidence.share import ArmCounts, ErrorShareTest


def before(*milliseconds):
    """Answers that were complete before the window began, at 100."""
    return [(50.0, each) for each in milliseconds]


BAR_AT_99 = before(*range(1, LEAST_ANSWERS + 1))


def window(canary=0, slow=0, stable=0, slow_stable=0):
    return ArmCounts(
        canary_requests=canary, canary_errors=slow, stable_requests=stable, stable_errors=slow_stable
    )


def test_slow_is_slower_than_the_champions_p99_before_the_window():
    canary = [(99.0, 900), (100.0, 900), (100.1, 99), (110.0, 100), (110.1, 900)]
    stable = [*BAR_AT_99, (105.0, 100), (106.0, 5), (107.0, 7)]
    assert slow_answers(canary, stable, 100.0, 110.0) == window(2, 1, 3, 1)


def test_answers_of_the_window_do_not_move_its_bar():
    slower = [(105.0, 5000)] * 1000
    assert slow_answers([(105.0, 150)], [*BAR_AT_99, *slower], 100.0, 110.0) == window(1, 1, 1000, 1000)


def test_few_answers_of_the_champion_give_no_bar():
    assert slow_answers([(105.0, 900)], BAR_AT_99[1:], 100.0, 110.0) is None
    assert slow_answers([(105.0, 900)], [], 100.0, 110.0) is None


def test_nothing_is_slow_at_a_cold_start_but_it_was_timed():
    assert slow_answers([(105.0, 900), (106.0, 1)], None, 100.0, 110.0) == window(2, 0, 0, 0)


@pytest.mark.parametrize(
    ("milliseconds", "found"),
    [
        ((), Latency()),
        ((7,), Latency(answers=1, p50_ms=7, p99_ms=7)),
        (range(1, 201), Latency(answers=200, p50_ms=100, p99_ms=198)),
        ((0, 0, 0), Latency(answers=3, p50_ms=0, p99_ms=0)),
    ],
    ids=["none", "one", "many", "at once"],
)
def test_percentiles_are_answers_that_came(milliseconds, found):
    assert latency(before(*milliseconds), 0.0, 100.0) == found


@pytest.mark.slow
def test_canary_as_quick_as_the_champion_is_seldom_blamed_however_long_one_looks():
    """Both arms draw from one skewed distribution; the bar moves with the champion's last 600 answers."""
    blamed, runs, rng = 0, 120, np.random.default_rng(7)
    for _ in range(runs):
        test, stable = ErrorShareTest(alpha=0.05), list(rng.lognormal(3, 0.6, 500))
        for _ in range(80):
            quick, other = rng.lognormal(3, 0.6, 25), rng.lognormal(3, 0.6, 75)
            arms = [[(105.0, int(ms)) for ms in arm] for arm in (quick, other)]
            past = [(50.0, int(ms)) for ms in stable[-600:]]
            test.observe(slow_answers(arms[0], [*past, *arms[1]], 100.0, 110.0))
            stable.extend(other)
        blamed += test.e_value >= 20
    assert blamed / runs <= 0.05
