"""Whatever happens to a rollout, in whatever order: what must hold for every history."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import reading
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops.core.errors import EndpointBusyError, LeaseLostError
from airflow_mlops.core.rollout.freeze import FreezePeriod
from airflow_mlops.core.rollout.lease import acquire, require
from airflow_mlops.core.rollout.machine import advance, answer, begin, begin_step, promote
from airflow_mlops.core.rollout.plan import OnInconclusive, RolloutPlan, Step
from airflow_mlops.core.rollout.state import FINAL, Answer, Phase, RolloutState

FREEZE = FreezePeriod(start="1970-01-01T00:01:00+00:00", end="1970-01-01T00:02:00+00:00")
PLANS = st.builds(
    RolloutPlan,
    steps=st.sampled_from([(10, 50), (5, Step(percent=30, approve=True), 100), (100,)]),
    bake_seconds=st.just(5.0),
    deadline_seconds=st.just(60.0),
    min_requests=st.just(20),
    max_error_rate=st.just(0.5),
    on_inconclusive=st.sampled_from(OnInconclusive),
    freeze=st.sampled_from([(), (FREEZE,)]),
    warm_up_seconds=st.sampled_from([0.0, 3.0]),
)
WINDOW = st.tuples(
    st.just("window"),
    st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(0, 200), st.integers(0, 20)),
)
GOOD = st.tuples(st.just("window"), st.just((30, 0, 270, 2)))
EVENTS = st.one_of(
    GOOD,
    GOOD,
    WINDOW,
    st.tuples(st.just("replay"), st.integers(0, 50)),
    st.tuples(st.just("missing"), st.none()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("resume"), st.integers(0, 50)),
    st.tuples(st.just("say"), st.booleans()),
    st.tuples(st.just("clock"), st.integers(-100, 30)),
)


class History:
    """A rollout as the shell drives it; remembers every state and reading, as any crash may bring it back."""

    def __init__(self, plan):
        self.plan, self.now, self.generation = plan, 0.0, 0
        self.counts, self.asked = [0, 0, 0, 0], 0
        self.readings = [self.read()]
        self.states = [begin(plan, "2", "1")]
        self.go_on()

    @property
    def state(self):
        return self.states[-1]

    def read(self):
        return reading(*self.counts, generation=str(self.generation))

    def window(self, counts):
        canary, bad, stable, worse = counts
        self.now += 1
        for place, count in enumerate((canary, min(bad, canary), stable, min(worse, stable))):
            self.counts[place] += count
        self.asked += canary
        self.readings.append(self.read())
        self.take(self.readings[-1])

    def replay(self, which):
        self.take(self.readings[which % len(self.readings)])

    def missing(self, _):
        self.take(None)

    def restart(self, _):
        self.generation += 1
        self.counts = [0, 0, 0, 0]

    def resume(self, back):
        """Go on from what was stored some time ago: what came after it is lost, and read again later."""
        stored = self.states[-1 - back % min(len(self.states), 3)]
        if (
            stored.phase not in FINAL
            and stored.percent == self.state.percent
            and self.state.phase not in FINAL
        ):
            self.states.append(RolloutState.from_json(stored.to_json()))

    def say(self, go_on):
        said = Answer(percent=self.state.percent, go_on=go_on, by="ann")
        self.states.append(answer(self.plan, self.state, said, now=self.now))
        self.go_on()

    def clock(self, seconds):
        self.now += seconds

    def take(self, seen):
        self.states.append(advance(self.plan, self.state, seen, now=self.now))
        self.go_on()

    def go_on(self):
        if self.state.phase not in (Phase.READY, Phase.PASSED):
            return
        percent = self.plan.percent_after(self.state.percent)
        if percent is None:
            self.states.append(promote(self.plan, self.state, now=self.now))
        else:
            self.states.append(begin_step(self.state, percent, self.read(), now=self.now))


@pytest.fixture(scope="module")
def run():
    def play(plan, events):
        history = History(plan)
        for name, value in events:
            getattr(history, name)(value)
        return history

    return play


histories = given(PLANS, st.lists(EVENTS, max_size=60))


@histories
def test_traffic_never_rises_without_good_evidence_or_a_person(run, plan, events):
    for before, after in pairs(run(plan, events)):
        if after.percent > before.percent > 0 or after.phase is Phase.PROMOTED is not before.phase:
            assert before.phase is Phase.PASSED
            shown = max(before.share.harmless_e_value, before.rate.below_e_value) >= 1 / plan.alpha
            bold = plan.on_inconclusive is OnInconclusive.ADVANCE
            assert shown or bold or before.approved_by == "ann"
            assert before.share.e_value < 1 / plan.alpha


@histories
def test_gate_is_never_passed_without_an_answer(run, plan, events):
    for state in run(plan, events).states:
        if state.phase in (Phase.PASSED, Phase.PROMOTED) and plan.step_at(state.percent).approve:
            assert state.approved_by == "ann"


@histories
def test_final_is_final(run, plan, events):
    states = run(plan, events).states
    ends = [index for index, state in enumerate(states) if state.phase in FINAL]
    if ends:
        assert {state.phase for state in states[ends[0] :]} == {states[ends[0]].phase}
        assert len({state.percent for state in states[ends[0] :]}) == 1


@histories
def test_no_step_is_passed_in_a_freeze(run, plan, events):
    for before, after in pairs(run(plan, events)):
        if after.phase is Phase.PASSED is not before.phase and plan.freeze:
            assert not 60 <= after.clock < 120


@histories
def test_every_state_is_one_the_plan_allows_and_survives_json(run, plan, events):
    for state in run(plan, events).states:
        assert state.percent in (0, *plan.percents)
        assert state.step_errors <= state.step_requests
        assert RolloutState.from_json(state.to_json()) == state


@histories
def test_no_request_is_counted_twice_whatever_is_replayed(run, plan, events):
    history = run(plan, events)
    last_of_step = {state.percent: state for state in history.states}
    assert sum(state.step_requests for state in last_of_step.values()) <= history.asked


def pairs(history):
    return zip(history.states, history.states[1:], strict=False)


class Endpoint:
    """What stores the lease and the weight: compares and sets, and fences."""

    def __init__(self):
        self.lease, self.percent, self.writes = None, 0, []

    def acquire(self, holder, now):
        self.lease = acquire(self.lease, holder, now=now, seconds=30)
        return self.lease

    def set_traffic(self, mine, percent, now):
        require(self.lease, mine, now=now)

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
