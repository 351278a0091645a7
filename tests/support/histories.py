"""Histories of rollouts for property tests: whatever happens, in whatever order, as the shell drives it."""

from __future__ import annotations

from builders import reading
from hypothesis import strategies as st

from airflow_mlops.core.rollout.evidence.prediction import BinCounts
from airflow_mlops.core.rollout.evidence.share import ArmCounts
from airflow_mlops.core.rollout.freeze import FreezePeriod
from airflow_mlops.core.rollout.machine import advance, answer, begin, begin_step, intervene
from airflow_mlops.core.rollout.plan import OnInconclusive, RolloutMetric, RolloutPlan, Step, Strategy
from airflow_mlops.core.rollout.state import Phase, RolloutAnswer, RolloutState

FREEZE = FreezePeriod(start="1970-01-01T00:00:05+00:00", end="1970-01-01T00:00:20+00:00")
PLANS = st.builds(
    RolloutPlan,
    steps=st.sampled_from([(10, 50), (5, Step(percent=30, approve=True), 100), (100,)]),
    bake_seconds=st.just(5.0),
    deadline_seconds=st.just(30.0),
    min_requests=st.just(20),
    max_error_rate=st.just(0.5),
    on_inconclusive=st.sampled_from(OnInconclusive),
    freeze=st.sampled_from([(), (FREEZE,)]),
    warm_up_seconds=st.sampled_from([0.0, 3.0]),
)
SHAPES = st.sampled_from(
    [
        {"steps": (5, 25, 50, 100)},
        {"steps": (100,), "strategy": Strategy.BLUE_GREEN, "keep_old_seconds": 60.0},
        {"steps": (50,), "strategy": Strategy.AB},
        {"steps": (30,), "strategy": Strategy.AB, "metrics": (RolloutMetric.LATENCY, RolloutMetric.ERRORS)},
        {"steps": (10, 50), "metrics": tuple(RolloutMetric)},
    ]
)
ANY_PLAN = st.builds(
    lambda shape, hold, warm_up, freeze: RolloutPlan(
        **shape,
        bake_seconds=5.0,
        deadline_seconds=30.0,
        min_requests=20,
        max_error_rate=0.5,
        on_inconclusive=hold,
        warm_up_seconds=warm_up,
        freeze=freeze,
    ),
    SHAPES,
    st.sampled_from(OnInconclusive),
    st.sampled_from([0.0, 3.0]),
    st.sampled_from([(), (FREEZE,)]),
)
COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(0, 200), st.integers(0, 20))
KINDS = {
    "good": (30, 0, 270, 2),
    "better": (50, 0, 50, 20),
    "worse": (50, 20, 50, 0),
    "outage": (30, 30, 270, 270),
    "alone": (300, 0, 0, 0),
    "idle": (0, 0, 0, 0),
}
STRETCH = st.tuples(
    st.just("stretch"), st.tuples(st.sampled_from([*KINDS.values()]) | COUNTS, st.integers(1, 20))
)
GOOD = st.tuples(
    st.just("stretch"),
    st.tuples(st.sampled_from([KINDS["good"], KINDS["better"], KINDS["alone"]]), st.integers(8, 20)),
)
EVENTS = st.one_of(
    GOOD,
    STRETCH,
    st.tuples(st.just("replay"), st.integers(0, 50)),
    st.tuples(st.just("missing"), st.none()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("resume"), st.integers(0, 50)),
    st.tuples(st.just("say"), st.booleans()),
    st.tuples(st.just("clock"), st.integers(-100, 30)),
    st.tuples(st.just("hand"), st.booleans()),
    st.tuples(st.just("mute"), st.booleans()),
)
LISTS = st.lists(EVENTS, min_size=3, max_size=20)


class History:
    """A rollout as the shell drives it; remembers every state and reading, as any crash may bring it back."""

    def __init__(self, plan):
        self.plan, self.now, self.generation = plan, 0.0, 0
        self.counts, self.asked = [0, 0, 0, 0], 0
        self.written, self.muted = [], False
        self.readings = [self.read()]
        self.states, self.snapshots = [], []
        self.add(begin(plan, "2", "1"))
        self.go_on()

    def add(self, state):
        self.states.append(state)
        self.snapshots.append(state.to_json())

    @property
    def state(self):
        return self.states[-1]

    def read(self):
        """Slow answers are as many as failed ones; predictions fall into two bins, canary's into one."""
        canary, bad, stable, worse = self.counts
        seen = ArmCounts(
            canary_requests=canary, canary_errors=bad, stable_requests=stable, stable_errors=worse
        )
        bins = BinCounts(canary=(canary, 0), stable=(stable // 2, stable - stable // 2))
        more = {} if self.muted else {"latency": seen, "quality": seen, "predictions": bins}
        return reading(*self.counts, generation=str(self.generation), **more)

    def stretch(self, what):
        """So many windows that are all alike."""
        counts, windows = what
        for _ in range(windows):
            self.window(counts)

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
        """Go on from what was stored some time ago: what came after it is lost, and read again later.

        A state of the step before is what a retry of "set traffic" begins from.
        """
        stored = self.states[-1 - back % min(len(self.states), 3)]
        earlier = stored.percent < self.state.percent and stored.phase in (Phase.READY, Phase.PASSED)
        if (
            not self.is_over(stored)
            and not self.is_over(self.state)
            and (stored.percent == self.state.percent or earlier)
        ):
            self.add(RolloutState.from_json(stored.to_json()))
            self.go_on()

    def mute(self, is_silent):
        """Errors are the only metric that is still measured, or all are again."""
        self.muted = is_silent

    def hand(self, meddles):
        """Somebody changes the weights, or sets them as they were written."""
        problem = "INTERVENED: somebody did" if meddles else ""
        self.add(intervene(self.state, problem, now=self.now))

    def say(self, go_on):
        said = RolloutAnswer(percent=self.state.percent, go_on=go_on, by="ann")
        self.add(answer(self.plan, self.state, said, now=self.now))
        self.go_on()

    def clock(self, seconds):
        self.now += seconds

    def take(self, seen):
        self.add(advance(self.plan, self.state, seen, now=self.now))
        self.go_on()

    def go_on(self):
        if self.state.phase not in (Phase.READY, Phase.PASSED):
            return
        percent = self.next_percent(self.state)
        if percent is not None:
            self.add(begin_step(self.state, percent, self.read(), now=self.now))
            self.written.append(percent)

    def is_over(self, state):
        """Whether a rollout in this state is promoted or rolled back next."""
        return state.phase is Phase.ROLLED_BACK or self.passed_all(state)

    def passed_all(self, state):
        """Whether the last step is passed: the version is promoted next."""
        return state.phase is Phase.PASSED and self.next_percent(state) is None

    def next_percent(self, state):
        return next((share for share in self.plan.percents if share > state.percent), None)


def played(plan, events):
    """The history of a plan to which all this happened."""
    history = History(plan)
    for name, value in events:
        getattr(history, name)(value)
    return history


def pairs(history):
    """Each state with the one after it."""
    return zip(history.states, history.states[1:], strict=False)
