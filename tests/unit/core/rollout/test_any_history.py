"""Whatever happens to a rollout, in whatever order: what must hold for every history of every plan."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from builders import reading
from histories import ANY_PLAN, LISTS, PLANS, pairs, played
from hypothesis import Phase as HypothesisPhase
from hypothesis import find, given, settings
from hypothesis import strategies as st

from airflow_mlops.core.errors import EndpointBusyError, LeaseLostError, TrafficOrderError
from airflow_mlops.core.rollout.freeze import frozen_until
from airflow_mlops.core.rollout.lease import acquire, require_lease
from airflow_mlops.core.rollout.machine import advance, begin, begin_step
from airflow_mlops.core.rollout.plan import OnInconclusive, RolloutMetric, RolloutPlan, Strategy
from airflow_mlops.core.rollout.state import Phase, RolloutState

BOTH = st.tuples(st.one_of(PLANS, ANY_PLAN), LISTS)
histories = given(st.one_of(PLANS, ANY_PLAN), LISTS)


def newly_passed(history):
    """Each state in which a step was passed, with what it was before."""
    return [
        (before, after)
        for before, after in pairs(history)
        if after.phase is Phase.PASSED is not before.phase and after.percent == before.percent
    ]


def is_shown(plan, state):
    """Whether evidence allows to go on."""
    if plan.strategy is Strategy.AB:
        return state.interval.excludes_one and state.interval.bounds[1] <= 1
    return max(state.share.harmless_e_value, state.rate.below_e_value) >= 1 / plan.alpha


@histories
def test_traffic_never_rises_without_good_evidence_or_a_person(plan, events):
    history = played(plan, events)
    risen = [before for before, after in pairs(history) if after.percent > before.percent > 0]
    for passed in (*risen, *filter(history.passed_all, history.states)):
        assert passed.phase is Phase.PASSED
        bold = plan.on_inconclusive is OnInconclusive.ADVANCE
        assert is_shown(plan, passed) or bold or passed.approved_by == "ann"
        blamed = [test.e_value for test in passed.others.values()]
        blamed += [passed.share.e_value] if RolloutMetric.ERRORS in plan.metrics else []
        assert max(blamed) < 1 / plan.alpha_each


@histories
def test_weights_that_are_written_never_fall_and_are_the_plans(plan, events):
    written = played(plan, events).written
    assert written == sorted(written)
    assert set(written) <= set(plan.percents)


@histories
def test_step_is_passed_by_evidence_only_after_its_bake_with_enough_requests_of_all_metrics(plan, events):
    for _, after in newly_passed(played(plan, events)):
        if after.approved_by or plan.on_inconclusive is OnInconclusive.ADVANCE:
            continue
        assert after.clock - after.step_since >= plan.bake_seconds
        assert after.step_requests >= plan.min_requests
        for metric in plan.metrics:
            assert metric is RolloutMetric.ERRORS or after.seen[metric] >= plan.min_requests


@histories
def test_step_does_not_outlast_its_deadline_but_in_a_freeze(plan, events):
    for state in played(plan, events).states:
        if state.is_open and state.clock - state.step_since >= plan.deadline_seconds:
            judged = advance(plan, state, None, now=state.clock)
            assert judged.phase is not Phase.STEPPING or frozen_until(plan.freeze, judged.clock)


@histories
def test_step_in_which_somebody_meddled_is_held_or_rolled_back(plan, events):
    for state in played(plan, events).states:
        assert not state.intervened or state.phase in (Phase.HELD, Phase.ROLLED_BACK)


@histories
def test_next_step_begins_only_from_one_that_was_passed(plan, events):
    for state in played(plan, events).states:
        if state.phase not in (Phase.READY, Phase.PASSED):
            with pytest.raises(TrafficOrderError):
                begin_step(state, 100 if state.percent < 100 else 101, state.last, now=state.clock)


@histories
def test_gate_is_never_passed_without_an_answer(plan, events):
    for state in played(plan, events).states:
        if state.phase is Phase.PASSED and plan.step_at(state.percent).approve:
            assert state.approved_by == "ann"


@histories
def test_final_is_final(plan, events):
    history = played(plan, events)
    states = history.states
    ends = [index for index, state in enumerate(states) if history.is_over(state)]
    if ends:
        assert {state.phase for state in states[ends[0] :]} == {states[ends[0]].phase}
        assert len({state.percent for state in states[ends[0] :]}) == 1


@histories
def test_no_step_is_passed_in_a_freeze(plan, events):
    for _, after in newly_passed(played(plan, events)):
        assert not frozen_until(plan.freeze, after.clock)


@histories
def test_every_state_is_one_the_plan_allows_and_survives_json(plan, events):
    for state in played(plan, events).states:
        assert state.percent in (0, *plan.percents)
        assert state.step_errors <= state.step_requests
        assert RolloutState.from_json(state.to_json()) == state


@histories
def test_state_once_handed_over_never_changes(plan, events):
    """So that a crash that loses the next state, and reads the same window again, decides the same."""
    history = played(plan, events)
    assert [state.to_json() for state in history.states] == history.snapshots


@histories
def test_no_request_is_counted_twice_whatever_is_replayed(plan, events):
    history = played(plan, events)
    last_of_step = {state.percent: state for state in history.states}
    assert sum(state.step_requests for state in last_of_step.values()) <= history.asked


@histories
def test_decided_split_says_its_interval(plan, events):
    for state in played(plan, events).states:
        said = " ".join(state.reasons)
        if plan.strategy is Strategy.AB and ("is better" in said or "is worse" in said):
            assert "odds ratio canary : stable between" in said
            assert state.phase in (Phase.PASSED, Phase.ROLLED_BACK) or "frozen until" in said


def ends(plan, history):
    """What a history got to, in words."""
    phases = {state.phase for state in history.states}
    said = " ".join(reason for state in history.states for reason in state.reasons)
    bold = plan.on_inconclusive is not OnInconclusive.ROLL_BACK
    evidence = not bold and any(map(history.passed_all, history.states))
    return {
        f"{plan.strategy} promoted on evidence": evidence,
        "promoted at 100 % after other steps": evidence and history.written[-1:] == [100] != history.written,
        "split decided for the canary": "is better: odds ratio" in said,
        "split decided against the canary": "is worse: odds ratio" in said,
        "paused for other predictions": "predicts differently" in said,
        "blamed for errors": "canary fails more than stable" in said,
        "held": Phase.HELD in phases,
        "approved": "ann agreed" in said,
        "frozen": "frozen until" in said,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    [
        "canary promoted on evidence",
        "blue_green promoted on evidence",
        "ab promoted on evidence",
        *list(ends(RolloutPlan(), SimpleNamespace(states=(), written=[], passed_all=None)))[1:],
    ],
)
def test_histories_come_to_every_end(end):
    """Else the properties would hold for want of anything that happens."""
    look = settings(max_examples=5000, phases=[HypothesisPhase.generate], database=None, derandomize=True)
    plan, events = find(BOTH, lambda both: ends(both[0], played(*both)).get(end, False), settings=look)
    assert ends(plan, played(plan, events))[end]


class Endpoint:
    """What stores the lease and the weight: compares and sets, and fences."""

    def __init__(self):
        self.lease, self.percent, self.writes = None, 0, []

    def acquire(self, holder, now):
        self.lease = acquire(self.lease, holder, now=now, seconds=30)
        return self.lease

    def set_traffic(self, mine, percent, now):
        require_lease(self.lease, mine, now=now)

        self.percent = percent
        self.writes.append((mine.token, percent))


COPIES = st.lists(
    st.tuples(st.sampled_from(["acquire", "write"]), st.integers(0, 2), st.floats(0, 12)), max_size=30
)


@settings(max_examples=200)
@given(COPIES)
def test_of_resumed_copies_only_the_latest_can_move_traffic(calls):
    """Copies 0 and 1 are the same rollout resumed twice from one stored state, copy 2 is another rollout."""
    endpoint, held, now = Endpoint(), {}, 0.0
    for call, copy, passed in calls:
        now += passed
        try:
            if call == "acquire":
                held[copy] = endpoint.acquire("ab"[copy // 2], now)
            elif copy in held:
                endpoint.set_traffic(held[copy], 10 + copy, now)
                assert held[copy] == endpoint.lease
        except (EndpointBusyError, LeaseLostError):
            continue
    tokens = [token for token, _ in endpoint.writes]
    assert tokens == sorted(tokens)


def test_two_copies_that_both_decide_to_advance_move_traffic_once():
    plan = RolloutPlan(steps=(10, 50), bake_seconds=0.0, deadline_seconds=99.0, max_error_rate=0.5)
    state = begin_step(begin(plan, "2", "1"), 10, reading(), now=0.0)
    endpoint, stored = Endpoint(), state.to_json()
    moved = []
    leases = [endpoint.acquire("rollout", now=1.0) for _ in range(2)]
    for lease in leases:
        copy = RolloutState.from_json(stored)
        for n in range(1, 9):
            copy = advance(plan, copy, reading(30 * n, 0, 270 * n, 0), now=float(n))
        assert copy.phase is Phase.PASSED
        try:
            endpoint.set_traffic(lease, 50, now=9.0)
            moved.append(replace(begin_step(copy, 50, copy.last, now=9.0)))
        except LeaseLostError:
            continue
    assert (len(moved), endpoint.writes) == (1, [(2, 50)])
