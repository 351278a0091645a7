from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import until

from airflow_mlops.backends.metrics.haproxy import ServerStat
from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.process import Process
from airflow_mlops.backends.serving.local.state import EndpointState, Server, StateFile
from airflow_mlops.backends.serving.protocol import Stopped
from airflow_mlops.backends.serving.reaper import Reaped, reap
from airflow_mlops.core.errors import (
    EndpointBusyError,
    LeaseLostError,
    ServiceUnavailableError,
    StateFileError,
    TrafficConflictError,
)

ME = "m__rollout/run-1"


class Weights:
    """Fake gateway: stores weights, or does not answer."""

    def __init__(self):
        self.weights, self.answers = {"a": 95, "b": 5}, True

    def set_weight(self, slot, weight):
        if not self.answers:
            raise ServiceUnavailableError("gateway is gone")
        self.weights[slot] = weight

    def stats(self):
        return {
            slot: ServerStat(server=slot, requests=0, errors=0, weight=weight, current=0)
            for slot, weight in self.weights.items()
        }


class Serving(LocalServing):
    def __init__(self, folder):
        super().__init__(folder)
        self.gateways = {}

    def _gateway(self, endpoint):
        return self.gateways.setdefault(endpoint, Weights())


@pytest.fixture
def serving(tmp_path):
    return Serving(tmp_path)


def canary_at(serving, percent, endpoint="m", stable="1"):
    with StateFile(serving.state_dir / endpoint, endpoint).locked() as state:
        state.gateway = Process(pid=1, started=0.0)
        state.servers = {v: Server(version=v, slot=s, healthy=True) for v, s in (("1", "a"), ("2", "b"))}
        state.stable, state.canary, state.percent, state.holder = stable, "2", percent, ME


def state_of(serving, endpoint="m"):
    return StateFile(serving.state_dir / endpoint, endpoint).read()


def test_canary_with_an_expired_lease_gets_no_requests(serving):
    canary_at(serving, 5)
    serving.take_lease("m", ME, now=0.0, seconds=60)
    assert reap(serving, now=64.0) == []  # clocks may disagree by five seconds
    assert serving.gateways == {}
    assert reap(serving, now=65.0) == [Reaped(endpoint="m", holder=ME)]
    assert serving.gateways["m"].weights == {"a": 100, "b": 0}
    assert (state_of(serving).percent, state_of(serving).canary) == (0, "2")
    assert reap(serving, now=70.0) == []


def test_canary_with_a_renewed_lease_keeps_its_traffic(serving):
    canary_at(serving, 5)
    lease = serving.take_lease("m", ME, now=0.0, seconds=60)
    serving.keep_lease("m", lease, now=50.0, seconds=60)
    assert reap(serving, now=100.0) == []


def test_rollout_that_comes_back_too_late_has_lost_its_lease(serving):
    canary_at(serving, 5)
    lease = serving.take_lease("m", ME, now=0.0, seconds=60)
    reap(serving, now=65.0)
    with pytest.raises(LeaseLostError, match="ran out 10 s ago"):
        serving.keep_lease("m", lease, now=70.0, seconds=60)


def test_later_copy_of_a_rollout_takes_the_lease_from_the_first(serving):
    canary_at(serving, 5)
    first = serving.take_lease("m", ME, now=0.0, seconds=60)
    second = serving.take_lease("m", ME, now=1.0, seconds=60)
    with pytest.raises(LeaseLostError, match="token 1 is lost"):
        serving.keep_lease("m", first, now=2.0, seconds=60)
    assert state_of(serving).lease == second


def test_lease_needs_the_claim(serving):
    canary_at(serving, 5)
    with pytest.raises(EndpointBusyError, match="held by m__rollout/run-1, not by other"):
        serving.take_lease("m", "other", now=0.0, seconds=60)


def test_writes_under_a_reaped_lease_are_refused(serving):
    canary_at(serving, 5)
    lease = serving.take_lease("m", ME, now=0.0, seconds=60)
    reap(serving, now=65.0)
    for write in (
        lambda: serving.set_traffic("m", "2", 50, holder=ME, lease=lease),
        lambda: serving.promote("m", "2", holder=ME, lease=lease),
    ):
        with pytest.raises(LeaseLostError, match="airflow-mlops reap with token 2 holds the endpoint"):
            write()
    assert serving.gateways["m"].weights == {"a": 100, "b": 0}


@pytest.mark.parametrize(
    ("percent", "stable", "leased"), [(0, "1", True), (5, None, True), (5, "1", False)],
    ids=["no traffic", "cold start", "never leased"],
)  # fmt: skip
def test_reaper_leaves_alone_what_it_must_not_stop(serving, percent, stable, leased):
    canary_at(serving, percent, stable=stable)
    if leased:
        serving.take_lease("m", ME, now=0.0, seconds=60)
    assert reap(serving, now=999.0) == []


def test_endpoint_in_trouble_is_reported_and_the_others_are_stopped(serving):
    for endpoint in ("a", "b"):
        canary_at(serving, 5, endpoint)
        serving.take_lease(endpoint, ME, now=0.0, seconds=60)
    serving._gateway("a").answers = False
    assert reap(serving, now=99.0) == [
        Reaped(endpoint="a", problem="gateway is gone"),
        Reaped(endpoint="b", holder=ME),
    ]
    assert (serving._gateway("a").weights, serving._gateway("b").weights) == (
        {"a": 95, "b": 5},
        {"a": 100, "b": 0},
    )
    serving._gateway("a").answers = True
    assert reap(serving, now=100.0) == [Reaped(endpoint="a", holder=ME)]
    assert serving._gateway("a").weights == {"a": 100, "b": 0}
    assert reap(serving, now=101.0) == []


def test_state_of_an_older_version_has_no_lease_and_no_ends():
    old = EndpointState.from_json({"endpoint": "m"})
    assert (old.lease, old.ends) == (None, ())


@pytest.fixture
def full_disk(monkeypatch):
    """No state can be written until the returned context manager's block begins."""
    write = StateFile.write

    def no_space(self, state):
        raise StateFileError(f"{self.folder.name}: No space left on device")

    @contextlib.contextmanager
    def with_room():
        monkeypatch.setattr(StateFile, "write", write)
        yield
        monkeypatch.setattr(StateFile, "write", no_space)

    def fill():
        monkeypatch.setattr(StateFile, "write", no_space)
        return with_room

    return fill


LOWERING = {
    "roll_back": lambda s: s.roll_back("m", "2", holder=ME),
    "stop": lambda s: s.stop("m", None, now=9.0),
    "set_traffic": lambda s: s.set_traffic("m", "2", 0, holder=ME),
    "stop_unwatched": lambda s: s.stop_unwatched("m", now=999.0),
}


@pytest.mark.parametrize("call", LOWERING)
def test_canary_loses_its_requests_also_when_nothing_can_be_written(serving, full_disk, call):
    canary_at(serving, 5)
    serving.take_lease("m", ME, now=0.0, seconds=60)
    with_room = full_disk()
    with pytest.raises(StateFileError, match="lowered to 0 %, but that is not stored: m: No space left"):
        LOWERING[call](serving)
    assert serving.gateways["m"].weights == {"a": 100, "b": 0}
    assert state_of(serving).percent == 5
    with with_room():
        LOWERING[call](serving)
    assert (state_of(serving).percent, serving.traffic("m").canary_percent) == (0, 0)


@pytest.mark.parametrize("wanted", ["set_traffic", "promote"])
def test_nothing_rises_again_after_a_rollback_that_was_not_stored(serving, full_disk, wanted, monkeypatch):
    monkeypatch.setattr("airflow_mlops.backends.serving.local.backend.is_up", lambda server: True)
    canary_at(serving, 5)
    with_room = full_disk()
    with pytest.raises(StateFileError):
        serving.roll_back("m", "2", holder=ME)
    rises = {
        "set_traffic": lambda: serving.set_traffic("m", "2", 50, holder=ME),
        "promote": lambda: serving.promote("m", "2", holder=ME),
    }
    with with_room(), pytest.raises(TrafficConflictError, match="last written was 5 %"):
        rises[wanted]()
    assert serving.gateways["m"].weights == {"a": 100, "b": 0}


def test_raising_a_share_needs_the_disk_first(serving, full_disk, monkeypatch):
    monkeypatch.setattr("airflow_mlops.backends.serving.local.backend.is_up", lambda server: True)
    canary_at(serving, 5)
    full_disk()
    serving._gateway("m")
    with pytest.raises(StateFileError, match=r"^m: No space left"):
        serving.set_traffic("m", "2", 50, holder=ME)
    assert serving.gateways["m"].weights == {"a": 95, "b": 5}


def test_full_disk_of_one_endpoint_does_not_keep_the_reaper_from_the_next(serving, monkeypatch):
    for endpoint in ("a", "b"):
        canary_at(serving, 5, endpoint)
        serving.take_lease(endpoint, ME, now=0.0, seconds=60)
    write = StateFile.write

    def no_space_in_a(self, state):
        if self.endpoint == "a":
            raise OSError(28, "No space left on device")
        write(self, state)

    monkeypatch.setattr(StateFile, "write", no_space_in_a)
    first, second = reap(serving, now=99.0)
    assert (first.endpoint, "No space left" in first.problem) == ("a", True)
    assert second == Reaped(endpoint="b", holder=ME)
    assert serving._gateway("a").weights == serving._gateway("b").weights == {"a": 100, "b": 0}


def test_stop_does_not_wait_for_a_lock_to_take_the_requests(serving):
    canary_at(serving, 5)
    with ThreadPoolExecutor(1) as pool, StateFile(serving.state_dir / "m", "m").locked():
        stopping = pool.submit(serving.stop, "m", None, now=9.0)
        until(lambda: serving._gateway("m").weights["b"] == 0)
        assert not stopping.done()
    assert stopping.result().percent == 5
    assert serving.gateways["m"].weights == {"a": 100, "b": 0}


def test_stop_while_the_gateway_is_dead_is_carried_out_when_it_starts(serving):
    canary_at(serving, 5)
    serving._gateway("m").answers = False
    assert serving.stop("m", None, now=9.0).version == "2"
    assert (state_of(serving).canary, state_of(serving).percent, state_of(serving).moving) == (None, 0, True)


def test_stop_of_an_endpoint_that_never_was_leaves_no_folder(serving):
    assert serving.stop("m", None, now=9.0) == Stopped(endpoint="m")
    assert list(serving.state_dir.iterdir()) == []


def test_weights_left_half_moved_by_a_dead_process_are_moved_on(serving, monkeypatch):
    """Only the first of two weights was set when the process died: 38 % is an intermediate state."""
    canary_at(serving, 20)
    alive = serving._gateway("m").set_weight

    def die(slot, weight):
        raise KeyboardInterrupt

    serving._gateway("m").weights = {"a": 80, "b": 20}
    monkeypatch.setattr(serving._gateway("m"), "set_weight", die)
    monkeypatch.setattr("airflow_mlops.backends.serving.local.backend.is_up", lambda server: True)
    with pytest.raises(KeyboardInterrupt):
        serving.set_traffic("m", "2", 50, holder=ME)
    serving._gateway("m").weights = {"a": 80, "b": 50}
    monkeypatch.setattr(serving._gateway("m"), "set_weight", alive)
    assert state_of(serving).moving
    assert serving.set_traffic("m", "2", 50, holder=ME).canary_percent == 50
    assert serving._gateway("m").weights == {"a": 50, "b": 50}
    assert not state_of(serving).moving


def test_weights_changed_by_another_writer_are_a_conflict(serving, monkeypatch):
    canary_at(serving, 20)
    serving._gateway("m").weights = {"a": 80, "b": 50}
    monkeypatch.setattr("airflow_mlops.backends.serving.local.backend.is_up", lambda server: True)
    with pytest.raises(TrafficConflictError, match="canary gets 38 %, last written was 20 %"):
        serving.set_traffic("m", "2", 50, holder=ME)
