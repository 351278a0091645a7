from __future__ import annotations

from dataclasses import replace

import pytest
from builders import plan, reading, state_at, watched
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.core.errors import InvalidPlanError, InvalidRecordError, TrafficOrderError
from airflow_mlops.core.rollout.evidence.share import ArmCounts, StepDecision
from airflow_mlops.core.rollout.machine import (
    RESERVE,
    TRACE_LIMIT,
    abort,
    advance,
    begin,
    begin_step,
    intervene,
)
from airflow_mlops.core.rollout.plan import OnInconclusive, Strategy
from airflow_mlops.core.rollout.state import Phase, RolloutState


def test_step_waits_for_its_bake_even_with_evidence():
    state = watched(plan(), state_at(), 9)
    assert (state.phase, state.decision) == (Phase.STEPPING, StepDecision.CONTINUE)
    state = watched(plan(), state, 1, now=9)
    assert (state.phase, state.decision) == (Phase.PASSED, StepDecision.ADVANCE)
    assert "error rate shown below 0.5; 0 of 300 requests failed at 10 %" in state.reasons[0]


def test_step_waits_for_enough_requests_of_its_own():
    single = plan(burst=1)
    state = watched(single, state_at(burst=1), 9, now=20, canary_requests=2)
    assert (state.phase, state.rate.below_e_value > 20) == (Phase.STEPPING, True)
    assert watched(single, state, 1, now=40, canary_requests=2).phase is Phase.PASSED


def test_one_window_is_no_evidence_however_many_requests_it_holds():
    state = advance(plan(), state_at(), reading(canary=100_000, stable=900_000), now=50)
    assert state.phase is Phase.STEPPING


def test_failing_canary_is_rolled_back_before_its_bake_ends_with_the_reason():
    state = watched(plan(), state_at(), 3, canary_requests=10, canary_errors=1, stable_requests=90)
    assert (state.phase, state.decision) == (Phase.ROLLED_BACK, StepDecision.ROLL_BACK)
    assert "version 2 at 10 %: canary fails more than stable" in state.reasons[0]


def test_nothing_to_read_is_inconclusive_at_the_deadline_never_success():
    state = state_at()
    for now in (50.0, 99.0):
        state = advance(plan(), state, None, now=now)
        assert state.is_open
    state = advance(plan(), state, None, now=100.0)
    assert (state.decision, state.phase) == (StepDecision.INCONCLUSIVE, Phase.ROLLED_BACK)
    assert "0 of 0 requests" in state.reasons[0]
    assert "3 readings missing; nothing was measured" in state.reasons[0]
    assert not state.may_go_on


def test_plan_may_advance_on_little_evidence_if_it_says_so_but_not_on_none_at_all():
    bold = plan(on_inconclusive=OnInconclusive.ADVANCE)
    few = advance(bold, watched(bold, state_at(), 1), None, now=100.0)
    assert (few.decision, few.may_go_on) == (StepDecision.INCONCLUSIVE, True)
    none = advance(bold, state_at(), None, now=100.0)
    assert (none.phase, none.may_go_on) == (Phase.ROLLED_BACK, False)
    assert "nothing was measured" in none.reasons[0]


@pytest.mark.parametrize("policy", list(OnInconclusive))
def test_traffic_that_others_changed_and_left_so_is_rolled_back_at_the_deadline_unless_a_person_is_asked(
    policy,
):
    rule = plan(on_inconclusive=policy)
    held = intervene(state_at(), "INTERVENED: 50 %", now=50.0)
    assert advance(rule, held, None, now=99.0).phase is Phase.HELD
    ended = advance(rule, held, None, now=100.0)
    asks = policy is OnInconclusive.HOLD
    assert ended.phase is (Phase.HELD if asks else Phase.ROLLED_BACK)
    assert ended.reasons == (f"INTERVENED: 50 %{'' if asks else '; not undone within the deadline'}",)


def test_cold_start_is_judged_on_its_error_rate_alone():
    strict, cold = plan(max_error_rate=0.05), state_at(champion=None, max_error_rate=0.05)
    clean, failing = {"stable_requests": 0}, {"canary_errors": 12, "stable_requests": 0}
    good, bad = watched(strict, cold, 75, **clean), watched(strict, cold, 5, **failing)
    assert (good.decision, bad.decision) == (StepDecision.ADVANCE, StepDecision.ROLL_BACK)
    assert "requests failed at 100 %, allowed 0.05" in bad.reasons[0]


def test_canary_is_not_blamed_for_an_outage_it_shares_with_stable():
    outage = {"canary_errors": 30, "stable_errors": 270}
    state = watched(plan(max_error_rate=0.05), state_at(max_error_rate=0.05), 50, **outage)
    assert state.phase is Phase.STEPPING


def test_blue_green_is_judged_alone_at_all_the_traffic():
    switch = plan(steps=(100,), strategy=Strategy.BLUE_GREEN, max_error_rate=0.05)
    state = begin_step(begin(switch, "2", "1"), 100, reading(), now=0.0)
    all_of_it = {"stable_requests": 0}
    assert watched(switch, state, 75, **all_of_it).phase is Phase.PASSED
    assert watched(switch, state, 9, canary_errors=10, **all_of_it).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("percent", [5, 10, 50])
def test_next_step_does_not_begin_while_the_one_before_is_open(percent):
    with pytest.raises(TrafficOrderError, match="at 10 % is stepping"):
        begin_step(state_at(), percent, reading(), now=1)


def test_traffic_does_not_fall_from_step_to_step():
    with pytest.raises(TrafficOrderError, match="10 % is not allowed"):
        begin_step(watched(plan(), state_at(50), 10), 10, reading(), now=20)


def test_step_that_the_plan_does_not_have_is_named():
    with pytest.raises(InvalidPlanError, match="no step of 33 %"):
        advance(plan(), state_at(33), None, now=1)


def test_decided_is_final():
    state = watched(plan(), state_at(), 10)
    assert advance(plan(), state, reading(canary=4000, canary_errors=1000, stable=2700), now=11) is state


def test_rollback_from_outside_is_final_too():
    state = abort(state_at(), "endpoint m is gone", now=3)
    assert (state.phase, state.reasons) == (Phase.ROLLED_BACK, ("endpoint m is gone",))
    assert abort(state, "again", now=4) is state


def test_requests_are_counted_once_when_a_reading_comes_twice():
    once = advance(plan(), state_at(), reading(canary=10, canary_errors=1, stable=90), now=1)
    twice = advance(plan(), once, reading(canary=10, canary_errors=1, stable=90), now=2)
    assert (twice.step_requests, twice.share, len(twice.trace)) == (10, once.share, 1)


def test_restarted_gateway_counts_from_zero():
    state = advance(plan(), state_at(), reading(canary=100, stable=900), now=1)
    state = advance(plan(), state, reading(canary=5, stable=45, generation="h"), now=2)
    assert state.step_requests == 105


def test_requests_are_counted_once_when_an_old_reading_comes_late():
    state = advance(plan(), state_at(), reading(canary=100, stable=900), now=1)
    state = advance(plan(), state, reading(canary=50, stable=900), now=2)
    state = advance(plan(), state, reading(canary=110, stable=990), now=3)
    assert (state.step_requests, state.arrivals) == (110, {"applied": 2, "backwards": 1})


@pytest.mark.parametrize("moments", [(4, 6), (9,), (2, 4, 30)], ids=["straddles", "late start", "gap"])
def test_window_that_began_while_warming_up_is_no_evidence_whenever_it_is_read(moments):
    slow, state = plan(warm_up_seconds=5.0), state_at()
    bad = {"canary_errors": 90, "stable": 900}
    for count, now in enumerate(moments, start=1):
        state = advance(slow, state, reading(canary=100 * count, **bad), now=now)
    assert (state.step_requests, state.share.e_value) == (0, 1.0)
    assert state.arrivals == {"warm_up": len(moments)}
    state = advance(slow, state, reading(canary=100 * len(moments) + 10, **bad), now=40)
    assert (state.step_requests, state.step_errors) == (10, 0)


def refusing(canary, canary_refused, stable, stable_refused):
    refused = ArmCounts(
        canary_requests=canary,
        canary_errors=canary_refused,
        stable_requests=stable,
        stable_errors=stable_refused,
    )
    return reading(canary, 0, stable, 0, client_errors=refused)


def test_canary_that_refuses_everything_shows_nothing_and_never_passes():
    held = plan(on_inconclusive=OnInconclusive.HOLD)
    state = state_at()
    for n in range(1, 4):
        state = advance(held, state, refusing(100 * n, 100 * n, 900 * n, 0), now=3.0 * n)
    assert (state.phase, state.step_requests, state.rate.below_e_value) == (Phase.STEPPING, 0, 1.0)
    state = advance(held, state, refusing(400, 400, 3600, 0), now=12.0)
    assert (state.phase, state.step_requests) == (Phase.HELD, 0)
    assert "0 of 0 requests failed at 10 %, 400 more were refused (4xx)" in state.reasons[0]


def test_requests_that_both_refuse_keep_no_canary_from_passing():
    state = state_at()
    for n in range(1, 30):
        state = advance(plan(), state, refusing(100 * n, 40 * n, 900 * n, 360 * n), now=3.0 * n)
    assert state.phase is Phase.PASSED
    assert state.step_requests == 60 * sum(state.arrivals.values())


def test_clock_that_runs_back_stands_still():
    state = advance(plan(), state_at(at=1000.0), None, now=1050.0)
    assert advance(plan(), state, None, now=10.0).clock == 1050.0


def test_next_step_keeps_the_evidence_and_starts_its_own_counts():
    state = watched(plan(), state_at(), 10)
    after = begin_step(state, 50, replace(state.last, canary_requests=9999), now=20.0)
    assert (after.share.e_value, after.rate) == (pytest.approx(state.share.e_value), state.rate)
    assert (state.share.reserve, after.share.reserve) == (RESERVE, RESERVE / 2)
    assert (after.percent, after.step_since, after.step_requests, after.trace) == (50, 20.0, 0, ())
    assert advance(plan(), after, replace(after.last, canary_requests=10_009), now=21).step_requests == 10


def test_trace_is_bounded_and_loses_no_request():
    state = state_at()
    long = plan(deadline_seconds=1e9, bake_seconds=1e8)
    for n in range(1, 2 * TRACE_LIMIT + 11):
        state = advance(long, state, reading(n, n // 50, 9 * n, 9 * n // 50), now=n)
        assert len(state.trace) <= TRACE_LIMIT
    assert sum(point.window.canary_requests for point in state.trace) == 2 * TRACE_LIMIT + 10
    assert sum(point.window.canary_errors for point in state.trace) == state.step_errors
    assert [point.at for point in state.trace] == sorted({point.at for point in state.trace})


COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 9), st.integers(0, 200), st.integers(0, 9))


@given(st.lists(COUNTS, max_size=25), st.sets(st.integers(0, 24)))
def test_resuming_from_json_after_any_window_changes_nothing(windows, interruptions):
    straight = resumed = state_at()
    total = [0, 0, 0, 0]
    for index, (canary, bad, stable, worse) in enumerate(windows):
        for place, value in enumerate((canary, min(bad, canary), stable, min(worse, stable))):
            total[place] += value
        seen = reading(*total)
        straight = advance(plan(), straight, seen, now=float(index))
        if index in interruptions:
            resumed = RolloutState.from_json(resumed.to_json())
        resumed = advance(plan(), resumed, seen, now=float(index))
    assert resumed == straight


def test_state_that_was_stored_as_promoted_is_one_that_passed_its_last_step():
    stored = watched(plan(), state_at(), 10).to_json()
    state = RolloutState.from_json({**stored, "phase": "promoted"})
    assert (state.phase, state.may_go_on) == (Phase.PASSED, True)
    with pytest.raises(InvalidRecordError, match="phase"):
        RolloutState.from_json({**stored, "phase": "promotd"})
