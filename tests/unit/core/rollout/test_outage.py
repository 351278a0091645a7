"""Circuit breaker: what is down is rolled back at once, and what looks like it by chance is not."""

from __future__ import annotations

import pytest
from builders import plan, reading, state_at, watched

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.rollout.machine import advance
from airflow_mlops.core.rollout.state import Phase

DOWN = {"canary_requests": 25, "canary_errors": 25, "stable_requests": 25}
FINE = {"canary_requests": 25, "stable_requests": 25}


def fed(its_plan, state, *stretches):
    """The state after stretches of (windows of a second, their counts)."""
    for windows, counts in stretches:
        state = watched(its_plan, state, windows, now=state.clock, **counts)
    return state


def beside(*stretches, percent=50, **more):
    more = {"steps": (percent,), "retry_horizon_seconds": 20.0, "bake_seconds": 90.0, "alpha": 1e-14} | more
    return fed(plan(**more), state_at(percent, **more), *stretches)


def alone(*stretches, **more):
    return beside(*stretches, percent=100, **more)


def test_canary_that_is_down_is_rolled_back_in_two_windows_whatever_the_tests_say():
    state = beside((30, FINE), (2, DOWN))
    assert state.phase is Phase.ROLLED_BACK
    assert state.reasons == ("version 2 at 50 %: outage: 50 of 50 requests failed in 2 s; of stable 0 of 50",)
    assert state.share.e_value < 1e14


@pytest.mark.parametrize(
    ("stretches", "why"),
    [
        ([(30, FINE), (1, DOWN), (3, FINE)], "one bad window"),
        ([(5, FINE), *[(1, DOWN), (1, FINE)] * 5], "never two bad windows in a row"),
        ([(30, DOWN | {"canary_errors": 12})], "fewer than half"),
        ([(30, DOWN | {"stable_errors": 13})], "the champion fails half as much"),
        ([(30, DOWN | {"stable_requests": 0})], "no champion to compare with"),
        ([(19, {"canary_requests": 1, "canary_errors": 1, "stable_requests": 1})], "too few requests"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_outage_of_the_canary(stretches, why):
    assert beside(*stretches).phase is Phase.STEPPING, why


def test_few_requests_are_counted_over_as_many_windows_as_it_takes():
    state = beside((40, {"canary_requests": 1, "canary_errors": 1, "stable_requests": 1}))
    assert (state.phase, state.clock) == (Phase.ROLLED_BACK, 40.0)


def test_outage_that_a_slower_canary_reports_later_is_not_its_own():
    champion_down = FINE | {"stable_errors": 25}
    shared = [(30, FINE), (4, champion_down), (6, FINE), (4, DOWN), (3, FINE)]
    assert beside(*shared).phase is Phase.STEPPING
    assert beside(*shared, retry_horizon_seconds=0.0).phase is Phase.ROLLED_BACK
    assert beside((4, champion_down), (21, FINE), (2, DOWN)).phase is Phase.ROLLED_BACK


def test_alone_it_counts_from_the_first_window_on():
    state = alone((2, DOWN | {"stable_requests": 0}))
    assert (state.phase, state.clock) == (Phase.ROLLED_BACK, 2.0)
    assert state.reasons == ("version 2 at 100 %: outage: 50 of 50 requests failed since the step began",)


def test_alone_an_outage_of_what_worked_before_has_to_outlast_a_cause():
    fine, down = FINE | {"stable_requests": 0}, DOWN | {"stable_requests": 0}
    assert alone((40, fine), (26, down)).phase is Phase.STEPPING
    state = alone((40, fine), (30, down))
    assert (state.phase, state.clock) == (Phase.ROLLED_BACK, 67.0)  # 27 of 30 s: nine tenths
    assert state.reasons[0].endswith("outage: 675 of 750 requests failed in 30 s")


def test_rule_can_be_changed_and_switched_off():
    assert beside((30, DOWN), outage_share=0.0).phase is Phase.STEPPING
    assert beside((3, DOWN), outage_requests=100).phase is Phase.STEPPING
    assert beside((4, DOWN), outage_requests=100).phase is Phase.ROLLED_BACK
    assert beside((9, DOWN | {"canary_errors": 20}), outage_share=0.9).phase is Phase.STEPPING


def test_errors_that_are_not_watched_roll_nothing_back():
    counts = {"canary": 500, "canary_errors": 500, "stable": 500}
    its_plan, state = plan(metrics=("latency",)), state_at(metrics=("latency",))
    for number in range(1, 4):
        seen = reading(**{name: count * number for name, count in counts.items()})
        state = advance(its_plan, state, seen, now=float(number))
    assert state.phase is Phase.STEPPING


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("outage_share", -0.1, "0 to 1"),
        ("outage_share", 1.1, "0 to 1"),
        ("outage_requests", 0, "1 or more"),
        ("outage_requests", 2.5, "1 or more"),
    ],
)
def test_values_that_mean_nothing_are_refused(key, value, allowed):
    with pytest.raises(InvalidPlanError, match=rf"rollout\.{key}: {value}, allowed: {allowed}"):
        plan(**{key: value})
