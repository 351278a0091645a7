from __future__ import annotations

from dataclasses import replace

from builders import plan, reading, state_at
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.core.rollout.evidence import Decision
from airflow_mlops.core.rollout.machine import TRACE_LIMIT, accepts, advance, begin_step
from airflow_mlops.core.rollout.plan import OnInconclusive
from airflow_mlops.core.rollout.state import RolloutState

HEALTHY = reading(canary=300, stable=2700)


def test_step_waits_for_its_bake_even_with_evidence():
    state = advance(plan(), state_at(), HEALTHY, now=5)
    assert state.decision is Decision.CONTINUE
    assert advance(plan(), state, HEALTHY, now=10).decision is Decision.ADVANCE


def test_step_waits_for_enough_requests_of_its_own():
    state = replace(state_at(), rate=advance(plan(), state_at(), HEALTHY, now=1).rate)
    few = advance(plan(), state, reading(canary=19, stable=100), now=50)
    assert few.decision is Decision.CONTINUE
    assert advance(plan(), few, reading(canary=20, stable=100), now=51).decision is Decision.ADVANCE


def test_failing_canary_is_rolled_back_before_its_bake_ends_with_the_reason():
    state = state_at()
    for n in (1, 2, 3):
        state = advance(plan(), state, reading(canary=10 * n, canary_errors=n, stable=90 * n), now=n)
    assert state.decision is Decision.ROLL_BACK
    assert "version 2 at 10 %: canary fails more than stable" in state.reasons[0]


def test_nothing_to_read_is_inconclusive_at_the_deadline_never_success():
    state = state_at()
    for now in (50.0, 99.0):
        state = advance(plan(), state, None, now=now)
        assert state.decision is Decision.CONTINUE
    state = advance(plan(), state, None, now=100.0)
    assert state.decision is Decision.INCONCLUSIVE
    assert "0 of 0 requests" in state.reasons[0]
    assert not accepts(plan(), state)
    assert accepts(plan(on_inconclusive=OnInconclusive.ADVANCE), state)


def test_cold_start_is_judged_on_its_error_rate_alone():
    cold = state_at(champion=None)
    good = advance(plan(), cold, reading(canary=300), now=11)
    bad = advance(plan(), cold, reading(canary=100, canary_errors=30), now=1)
    assert (good.decision, bad.decision) == (Decision.ADVANCE, Decision.ROLL_BACK)
    assert "30 of 100 requests failed" in bad.reasons[0]


def test_decided_is_final():
    state = advance(plan(), state_at(), HEALTHY, now=10)
    assert advance(plan(), state, reading(canary=400, canary_errors=100, stable=2700), now=11) is state


def test_requests_are_counted_once_when_a_reading_comes_twice():
    once = advance(plan(), state_at(), reading(canary=10, canary_errors=1, stable=90), now=1)
    twice = advance(plan(), once, reading(canary=10, canary_errors=1, stable=90), now=2)
    assert (twice.step_requests, twice.share, len(twice.trace)) == (10, once.share, 1)


def test_restarted_gateway_counts_from_zero():
    state = advance(plan(), state_at(), reading(canary=100, stable=900), now=1)
    state = advance(plan(), state, reading(canary=5, stable=45, generation="h"), now=2)
    assert state.step_requests == 105


def test_counters_that_run_backwards_are_no_measurement():
    state = advance(plan(), state_at(), reading(canary=100, stable=900), now=1)
    after = advance(plan(), state, reading(canary=50, stable=900), now=2)
    assert (after.step_requests, after.share) == (100, state.share)


def test_next_step_keeps_the_evidence_and_starts_its_own_counts():
    state = advance(plan(), state_at(), reading(canary=10, canary_errors=1, stable=90), now=1)
    after = begin_step(state, 50, reading(canary=12, canary_errors=1, stable=99), now=20.0)
    assert after.share == state.share
    assert (after.percent, after.step_since, after.step_requests, after.trace) == (50, 20.0, 0, ())


def test_trace_is_bounded():
    state = state_at()
    for n in range(TRACE_LIMIT + 10):
        state = advance(plan(deadline_seconds=1e9), state, reading(canary=0, stable=n + 1), now=n)
    assert len(state.trace) == TRACE_LIMIT


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


@given(st.lists(COUNTS, max_size=25))
def test_traffic_never_advances_while_the_canary_is_shown_worse(windows):
    state, total = state_at(), [0, 0, 0, 0]
    for index, (canary, bad, stable, worse) in enumerate(windows):
        for place, value in enumerate((canary, min(bad, canary), stable, min(worse, stable))):
            total[place] += value
        state = advance(plan(), state, reading(*total), now=10.0 * index)
    if state.decision is Decision.ADVANCE:
        assert state.share.e_value < 1 / plan().alpha
        assert state.step_requests >= plan().min_requests
