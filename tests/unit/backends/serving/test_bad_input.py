"""Whatever is wrong about a rollout's plan, counts or gateway: an error by name, or a hold; never traffic."""

from __future__ import annotations

import math
import os
import socket
import threading
from dataclasses import replace

import psutil
import pytest
from builders import plan, reading, state_at

from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.backends.serving.local import gateway as gateway_module
from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.gateway import SERVER_SLOTS, Gateway
from airflow_mlops.backends.serving.local.process import Process
from airflow_mlops.backends.serving.local.state import Server, StateFile
from airflow_mlops.core.errors import InvalidConfigError, InvalidPlanError, ServiceUnavailableError
from airflow_mlops.core.rollout.counters import ReadingStatus
from airflow_mlops.core.rollout.evidence.share import ArmCounts, StepDecision
from airflow_mlops.core.rollout.machine import advance
from airflow_mlops.core.rollout.plan import OnInconclusive, RolloutMetric, Strategy
from airflow_mlops.core.rollout.state import Phase
from airflow_mlops.dag_factories.rollout_config import RolloutConfig
from airflow_mlops.observe import analyse_window

ME = "m__rollout/run-1"
NAN = math.nan
BOTH = (RolloutMetric.ERRORS, RolloutMetric.LATENCY)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": (10, 5)}, "rollout.steps[1]: 5 % after 10 %, allowed: strictly rising"),
        ({"steps": (10, 10)}, "rollout.steps[1]: 10 % after 10 %, allowed: strictly rising"),
        ({"steps": (10, 101)}, "rollout.steps[1]: 101 %, allowed: 1 to 100"),
        ({"steps": (0, 10)}, "rollout.steps[0]: 0 %, allowed: 1 to 100"),
        ({"steps": ()}, "rollout.steps: empty, allowed: at least one percent from 1 to 100"),
        ({"steps": (2.5,)}, "rollout.steps[0]: 2.5, allowed: whole percents from 1 to 100"),
        ({"steps": ("5",)}, "rollout.steps[0]: '5', allowed: whole percents from 1 to 100"),
        ({"steps": (True,)}, "rollout.steps[0]: True, allowed: whole percents from 1 to 100"),
        ({"steps": (NAN,)}, "rollout.steps[0]: nan, allowed: whole percents from 1 to 100"),
        ({"bake_seconds": NAN}, "rollout.bake: nan s, allowed: 0 or more"),
        ({"deadline_seconds": NAN}, "rollout.deadline: nan s, allowed: above bake (10.0 s)"),
        ({"deadline_seconds": math.inf}, "rollout.deadline: inf s, allowed: above bake (10.0 s)"),
        ({"window_seconds": NAN}, "rollout.window: nan s, allowed: above 0"),
        ({"lease_seconds": math.inf}, "rollout.lease: inf s, allowed: above window (5.0 s)"),
        ({"max_error_rate": NAN}, "rollout.max_error_rate: nan, allowed: above 0 and below 1"),
        ({"alpha": NAN}, "rollout.alpha: nan, allowed: above 0 up to 0.5"),
        ({"min_requests": 2.5}, "rollout.min_requests: 2.5, allowed: 1 or more"),
        ({"burst": 1.5}, "rollout.burst: 1.5, allowed: 1 or more"),
        ({"metrics": ()}, "rollout.metrics: [], allowed: at least one, each once"),
        ({"steps": (100,), "strategy": Strategy.BLUE_GREEN, "metrics": BOTH},
         "rollout.metrics: latency of a first step of 100 %, allowed: errors; it compares versions that "
         "answer at the same time"),
    ],
)  # fmt: skip
def test_plan_is_refused_word_for_word(wrong, said):
    with pytest.raises(InvalidPlanError) as refused:
        plan(**wrong)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": [10, 5]}, "rollout.steps[1]: 5 % after 10 %, allowed: strictly rising"),
        ({"steps": [True]}, "steps.0: True, allowed: a whole percent, or keys with percent"),
        ({"steps": ["5"]}, "steps.0: '5', allowed: a whole percent, or keys with percent"),
        ({"steps": [NAN]}, "steps.0: nan, allowed: a whole percent, or keys with percent"),
        ({"steps": [{"percent": 2.5}]}, "steps.0.percent: 2.5, allowed: a whole number"),
        ({"steps": 5}, "steps: 5, allowed: a list"),
        (
            {"metrics": ["latencey"]},
            "metrics.0: 'latencey', one of: errors, client_errors, latency, predictions, quality; did",
        ),
        ({"alpha": NAN}, "alpha: nan, allowed: a finite number"),
    ],
)
def test_configuration_is_refused_word_for_word(wrong, said):
    with pytest.raises((InvalidConfigError, InvalidPlanError)) as refused:
        RolloutConfig(**wrong)
    assert str(refused.value).startswith(said)


def at(seconds, canary=0, errors=0, stable=0, **more):
    """What is read at a second of the reader's clock; ``None`` for all counts when nothing could be read."""
    return seconds, None if canary is None else reading(canary, errors, stable, **more)


STOPS = 200.0
"""After the deadline."""


@pytest.mark.parametrize(
    ("readings", "arrivals", "counted", "phase"),
    [
        ([at(1, None), at(2, None), at(STOPS, None)],
         {ReadingStatus.MISSING: 3}, (0, 0), Phase.ROLLED_BACK),
        ([at(1, 10, 1, 90), at(2, 4, 0, 30), at(3, 20, 1, 180)],
         {ReadingStatus.APPLIED: 2, ReadingStatus.BACKWARDS: 1}, (20, 1), Phase.STEPPING),
        ([at(1, 10, 1, 90, stable_errors=9), at(2, 4, 0, 30, generation="h"),
          at(3, 9, 1, 60, stable_errors=6, generation="h")],
         {ReadingStatus.APPLIED: 2, ReadingStatus.RESTARTED: 1}, (19, 2), Phase.STEPPING),
        ([at(1, 10, 1, 90), at(2, 4, 0, 99, canary_generation="2"), at(3, 6, 1, 99, canary_generation="2")],
         {ReadingStatus.APPLIED: 2, ReadingStatus.RESTARTED: 1}, (16, 2), Phase.STEPPING),
        ([at(1, 10, 1, 90, until=50.0), at(2, 20, 1, 180, until=40.0), at(3, 30, 1, 270, until=60.0)],
         {ReadingStatus.APPLIED: 2, ReadingStatus.REPEATED: 1}, (30, 1), Phase.STEPPING),
        ([at(1, 10, 1, 90, until=50.0), at(2, 10, 1, 90, until=50.0), at(3, 12, 1, 99, until=50.0)],
         {ReadingStatus.APPLIED: 1, ReadingStatus.REPEATED: 2}, (10, 1), Phase.STEPPING),
        ([at(1, 10, 1, 90, until=9e9), at(2, 20, 1, 180, until=60.0), at(STOPS, 30, 1, 270, until=260.0)],
         {ReadingStatus.APPLIED: 1, ReadingStatus.REPEATED: 2}, (10, 1), Phase.ROLLED_BACK),
        ([at(9, 10, 1, 90), at(-500, 20, 1, 180), at(-400, 30, 1, 270)],
         {ReadingStatus.APPLIED: 3}, (30, 1), Phase.STEPPING),
        ([at(9e9, 10, 1, 90), at(2, 20, 1, 180)],
         {ReadingStatus.APPLIED: 1}, (10, 1), Phase.ROLLED_BACK),
        ([at(1, 10, 1, 90, sequence=1), at(2, 20, 1, 180, sequence=1), at(3, 30, 1, 270, sequence=4)],
         {ReadingStatus.APPLIED: 1, ReadingStatus.REPEATED: 1, ReadingStatus.GAP: 1}, (30, 1),
         Phase.STEPPING),
        ([at(1), at(2), at(STOPS)], {ReadingStatus.EMPTY: 3}, (0, 0), Phase.ROLLED_BACK),
    ],
    ids=["never comes", "runs backwards", "gateway restarted", "canary restarted", "ends before it starts",
         "same window thrice", "server's clock ahead", "our clock set back", "our clock far ahead",
         "numbers repeat and jump", "nobody asks"],
)  # fmt: skip
def test_each_request_is_counted_once_whatever_the_counts_do(readings, arrivals, counted, phase):
    bars, state = plan(max_error_rate=0.05), state_at(max_error_rate=0.05)
    for seconds, one in readings:
        state = advance(bars, state, one, now=seconds)
        state = type(state).from_json(state.to_json())  # whatever dies in between
    assert state.arrivals == arrivals
    assert (state.step_requests, state.step_errors) == counted
    assert state.phase is phase
    assert state.percent == 10


@pytest.mark.parametrize(
    ("on", "phase"),
    [
        (OnInconclusive.ROLL_BACK, Phase.ROLLED_BACK),
        (OnInconclusive.HOLD, Phase.HELD),
    ],
)
def test_metric_that_never_comes_is_inconclusive_word_for_word(on, phase):
    bars = {"metrics": BOTH, "on_inconclusive": on}
    state = state_at(**bars)
    state = advance(plan(**bars), state, reading(500, 0, 4500), now=1.0)
    state = advance(plan(**bars), state, reading(510, 0, 4590), now=STOPS)
    assert (state.phase, state.decision) == (phase, StepDecision.INCONCLUSIVE)
    assert state.reasons == (
        "no decision at 10 % within 100 s: 0 of 510 requests failed at 10 % (needs 20), "
        "e-value 1, rolls back at 40; "
        "no data on latency",
    )


def test_counts_that_no_window_can_have_add_nothing():
    state = state_at(metrics=BOTH)
    more = {"canary_requests": 10, "canary_errors": 2, "stable_requests": 90, "stable_errors": 0}
    good = advance(plan(metrics=BOTH), state, reading(10, 0, 90, latency=ArmCounts(**more)), now=1.0)
    back = reading(20, 0, 180, latency=ArmCounts(**{**more, "canary_errors": 1}))
    bad = advance(plan(metrics=BOTH), good, back, now=2.0)
    assert bad.arrivals == {ReadingStatus.APPLIED: 1, ReadingStatus.BACKWARDS: 1}
    assert bad.others == good.others


def test_endpoint_deleted_in_the_middle_holds_word_for_word(tmp_path):
    serving, state = LocalServing(tmp_path), replace(state_at(), lease=None)
    held = analyse_window(serving, "m", plan(), state, now=1.0)
    assert (held.phase, held.arrivals) == (Phase.HELD, {ReadingStatus.MISSING: 1})
    assert held.reasons == ("INTERVENED: m's canary is version none, not 2; nothing is overwritten",)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("gone", ["1", "2"])
def test_version_that_has_no_counters_any_more_is_missing_data(gone):
    serving, state = InMemoryServing(), state_at()
    serving.claim("m", ME)
    for version in ("1", "2"):
        serving.deploy("m", version, None, holder=ME)
        if version == "1":
            serving.promote("m", "1", holder=ME)
    serving.set_traffic("m", "2", 10, holder=ME)
    del serving._counts["m"][gone]
    assert analyse_window(serving, "m", plan(), state, now=1.0).arrivals == {ReadingStatus.MISSING: 1}


HEAD = "# pxname,svname,sid,scur,status,weight,srv_abrt,wredis," + ",".join(
    f"hrsp_{kind}" for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other")
)
ROWS = [f"models,{slot},{sid},0,no check,50,0,0,0,9,0,0,0,0" for sid, slot in enumerate(SERVER_SLOTS, 1)]
TABLE = "\n\n# table: models, type: integer, size:1, used:0\n\n"
WHOLE = "\n".join([HEAD, *ROWS]) + TABLE


class Talker(threading.Thread):
    """Listens where a gateway should, and answers each command with the same bytes, or never."""

    def __init__(self, path, answer):
        super().__init__(daemon=True)
        self.answer, self.asked = answer, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.start()

    def run(self):
        kept = []
        while True:
            connection = self.listener.accept()[0]
            command = connection.recv(1000).decode().strip()
            if command == "stop":
                return
            self.asked.append(command)
            if self.answer is None:
                kept.append(connection)
                continue
            connection.sendall(self.answer)
            connection.close()


@pytest.fixture
def talking(tmp_path, monkeypatch):
    """An endpoint with version 1 stable and 2 at 10 %, behind a gateway that says what the test wants."""
    monkeypatch.setattr(gateway_module, "_ANSWER_SECONDS", 0.1)
    with StateFile(tmp_path / "m", "m").locked() as state:
        state.gateway, state.port, state.holder = Process(pid=1, started=0.0), 1, ME
        alive = Process(pid=os.getpid(), started=psutil.Process().create_time())
        state.servers = {
            v: Server(version=v, slot=s, process=alive, healthy=True)
            for v, s in zip("12", SERVER_SLOTS[:2], strict=True)
        }
        state.stable, state.canary, state.percent = "1", "2", 10
    talkers = []

    def start(answer):
        path = Gateway(tmp_path / "m").socket
        talkers.append((path, Talker(path, answer)))
        return LocalServing(tmp_path), talkers[-1][1]

    yield start
    for path, talker in talkers:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(path))
            last.sendall(b"stop\n")
        talker.join()
        talker.listener.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "gateway of 'm' does not answer: timed out"),
        (b"", "gateway of 'm' gives no statistics of slot1, slot2, slot3, slot4, slot5, slot6, slot7, slot8"),
        (b"\xff\xfe\x00rubbish", "gateway of 'm' gives no statistics of slot1, slot2, slot3, slot4, slot5, "
         "slot6, slot7, slot8"),
        (f"{HEAD}\nmodels,slot1,1,0,no che{TABLE}".encode(), "gateway: its statistics cannot be read: "
         "ValueError: line of 'slot1' is cut off"),
        (WHOLE.replace(",9,", ",NaN,").encode(), "gateway: its statistics cannot be read: ValueError: "
         "invalid literal for int() with base 10: 'NaN'"),
        (WHOLE.removesuffix(TABLE).encode(), "gateway: its statistics cannot be read: ValueError: its end "
         "is cut off"),
        (("\n".join([HEAD, *ROWS[:3]]) + TABLE).encode(), "gateway of 'm' gives no statistics of slot4, "
         "slot5, slot6, slot7, slot8"),
    ],
    ids=["silent", "empty", "rubbish", "cut off", "not a number", "no table", "a part"],
)  # fmt: skip
def test_gateway_in_trouble_is_named_and_the_step_waits(talking, answer, said):
    serving, talker = talking(answer)
    for ask in (serving.traffic, serving.counters):
        with pytest.raises(ServiceUnavailableError) as refused:
            ask("m")
        assert str(refused.value) == said
    with pytest.raises(ServiceUnavailableError):
        serving.set_traffic("m", "2", 50, holder=ME)
    assert {command for command in talker.asked if command.startswith("set")} == set()
    waiting = analyse_window(serving, "m", plan(), state_at(), now=1.0)
    assert (waiting.phase, waiting.arrivals) == (Phase.STEPPING, {ReadingStatus.MISSING: 1})
    late = analyse_window(serving, "m", plan(), waiting, now=STOPS)
    assert (late.phase, late.decision) == (Phase.ROLLED_BACK, StepDecision.INCONCLUSIVE)
    assert late.reasons[0].endswith("2 readings missing; nothing was measured")


def test_gateway_that_is_gone_is_named(tmp_path, talking):
    with pytest.raises(ServiceUnavailableError, match=r"gateway of 'm' does not answer: \[Errno 2\]"):
        LocalServing(tmp_path).traffic("m")


def test_weight_that_the_gateway_refuses_is_named_and_known_as_ours_later(talking, tmp_path):
    serving, talker = talking(b"No such server.\n\n")
    with pytest.raises(ServiceUnavailableError) as refused:
        serving.roll_back("m", "2", holder=ME)
    assert (
        str(refused.value) == "gateway of 'm' refused 'set server models/slot1 weight 100': No such server."
    )
    assert talker.asked == ["set server models/slot1 weight 100"]
    kept = StateFile(tmp_path / "m", "m").read()
    assert kept.moving
