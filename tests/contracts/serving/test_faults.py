"""A fault beneath a remote endpoint ends in a named error, never in wrong traffic."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

import pytest
from fakes.remote_serving import REMOTE
from serving_contract import ME, OTHER, an_end, shape, until_seen

from airflow_mlops.backends.serving.protocol import Stopped
from airflow_mlops.backends.serving.reaper import Reaped, reap
from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.core.errors import (
    EndpointBusyError,
    EndpointMissingError,
    LeaseLostError,
    ServiceUnavailableError,
    TrafficConflictError,
)


@pytest.fixture(params=REMOTE)
def fresh(request):
    """Version 1 serves, held by ME."""
    with REMOTE[request.param]() as backend:
        backend.claim("demo", ME)
        backend.deploy("demo", "1", None, holder=ME)
        backend.promote("demo", "1", holder=ME)
        yield backend


@pytest.fixture
def serving(fresh):
    """And version 2 is the canary at 10 %."""
    fresh.deploy("demo", "2", None, holder=ME)
    fresh.set_traffic("demo", "2", 10, holder=ME)
    return fresh


CALLS = {
    "set_traffic": (lambda s: s.set_traffic("demo", "2", 25, holder=ME), ("1", "2", 25)),
    "promote": (lambda s: s.promote("demo", "2", holder=ME), ("2", None, 0)),
    "roll_back": (lambda s: s.roll_back("demo", "2", holder=ME), ("1", None, 0)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("storm", [[429], [500, 503, 429], [502] * 5], ids=["429", "mixed", "long"])
def test_storm_that_passes_is_waited_out(serving, call, storm):
    do, wanted = CALLS[call]
    serving.faults.storm(*storm)
    assert shape(do(serving)) == wanted


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [429, 500])
def test_storm_without_end_is_a_transient_error_wherever_it_begins_and_is_carried_on_from(
    serving, call, status
):
    do, wanted = CALLS[call]
    for calls_before in range(40):
        serving.faults.storm(*[None] * calls_before, *[status] * 9)
        done = None
        with suppress(ServiceUnavailableError):
            done = do(serving)
        serving.faults.calm()
        if done is not None:
            break
        seen = serving.traffic("demo")
        assert seen.stable in {"1", wanted[0]}
        assert seen.canary_percent in {0, 10, wanted[2]}
    assert shape(done) == shape(serving.traffic("demo")) == wanted
    assert calls_before > 1


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("call", CALLS)
def test_change_whose_answer_was_lost_is_made_once(serving, call, count):
    do, wanted = CALLS[call]
    serving.faults.lose_answers(count)
    assert shape(do(serving)) == wanted


def test_version_is_deployed_once_however_often_it_is_asked_for(fresh):
    fresh.faults.lose_answers(1)
    for _ in range(3):
        assert shape(fresh.deploy("demo", "2", None, holder=ME)) == ("1", "2", 0)
    fresh.set_traffic("demo", "2", 10, holder=ME)
    assert shape(fresh.deploy("demo", "2", None, holder=ME)) == ("1", "2", 10)
    assert fresh.faults.deploys("2") == 1


@pytest.mark.parametrize("call", ["set_traffic", "promote"])
def test_weight_set_by_hand_is_seen_and_not_overwritten(serving, call):
    serving.faults.by_hand(40)
    until_seen(lambda: shape(serving.traffic("demo")) == ("1", "2", 40))
    before = serving.faults.split()
    with pytest.raises(TrafficConflictError, match="changed by another writer, nothing was overwritten"):
        CALLS[call][0](serving)
    assert serving.faults.split() == before


def test_weight_set_by_hand_does_not_prevent_a_rollback(serving):
    serving.faults.by_hand(90)
    assert shape(serving.roll_back("demo", "2", holder=ME)) == ("1", None, 0)


def test_weight_set_by_hand_does_not_keep_the_reaper_away(serving):
    now = time.time()
    serving.take_lease("demo", ME, now=now, seconds=60)
    serving.faults.by_hand(90)
    assert reap(serving, now=now + 120) == [Reaped(endpoint="demo", holder=ME)]
    until_seen(lambda: shape(serving.traffic("demo")) == ("1", "2", 0))


def test_canary_that_never_gets_ready_is_taken_back_and_the_next_may_come(fresh):
    fresh.faults.never_ready("2")
    with pytest.raises(ServiceUnavailableError):
        fresh.deploy("demo", "2", None, holder=ME)
    assert shape(fresh.traffic("demo")) == ("1", None, 0)
    assert shape(fresh.deploy("demo", "3", None, holder=ME)) == ("1", "3", 0)


def test_endpoint_that_was_deleted_is_named(serving):
    lease = serving.take_lease("demo", ME, now=time.time(), seconds=60)
    serving.faults.delete()
    calls = [do for do, _ in CALLS.values()]
    calls.append(lambda s: s.keep_lease("demo", lease, now=time.time(), seconds=60))
    calls.append(lambda s: s.traffic("demo"))
    for call in calls:
        with pytest.raises(EndpointMissingError, match=r"deleted"):
            call(serving)


def test_write_in_between_is_read_again_and_endless_ones_are_named(serving):
    left = [2]

    def meddle():
        if left[0]:
            left[0] -= 1
            serving.faults.touch(left[0])

    serving.faults.before_each_write(meddle)
    assert shape(serving.set_traffic("demo", "2", 25, holder=ME)) == ("1", "2", 25)
    assert left == [0]
    left[0] = 99
    with pytest.raises(
        ServiceUnavailableError, match="conflict: changed by another writer in each of 6 attempts"
    ):
        serving.set_traffic("demo", "2", 50, holder=ME)
    assert shape(serving.traffic("demo"))[2] == 25


def test_of_two_that_begin_at_once_one_is_told_the_others_name(fresh):
    fresh.release("demo", ME)
    other = RemoteServing(fresh.platform)
    other.claim("demo", OTHER)
    for call in (fresh.claim, lambda *at: fresh.take_lease(*at, now=time.time(), seconds=60)):
        with pytest.raises(EndpointBusyError, match=f"held by {OTHER}, not by {ME}"):
            call("demo", ME)


@pytest.mark.parametrize("percent", [0, 10])
def test_write_under_way_when_the_reaper_comes_is_refused_or_undone(serving, percent):
    now, met = time.time(), []
    lease = serving.take_lease("demo", ME, now=now, seconds=60)
    serving.set_traffic("demo", "2", percent, holder=ME, lease=lease)

    def reaper():
        if not met:
            met.append(True)
            met.extend(reap(RemoteServing(serving.platform), now=now + 120))

    serving.faults.before_each_write(reaper)
    with pytest.raises(LeaseLostError, match="airflow-mlops reap") if percent else suppress(LeaseLostError):
        serving.set_traffic("demo", "2", 50, holder=ME, lease=lease)
    assert met

    def stopped():
        reap(serving, now=now + 180)
        return shape(serving.traffic("demo")) == ("1", "2", 0)

    until_seen(stopped)
    assert reap(serving, now=now + 240) == []


FOUND = Stopped(endpoint="demo", version="2", percent=10, holder=ME, stable="1")


@pytest.mark.parametrize("status", [429, 500])
def test_stop_in_a_storm_that_begins_at_any_call_is_carried_on_from_by_the_next(serving, status):
    for calls_before in range(40):
        serving.take_lease("demo", ME, now=time.time(), seconds=60)
        serving.set_traffic("demo", "2", 10, holder=ME)
        serving.faults.storm(*[None] * calls_before, *[status] * 9)
        end, done = an_end(calls_before), None
        with suppress(ServiceUnavailableError):
            done = serving.stop("demo", end, now=time.time())
        left = len(serving.faults.storms)
        serving.faults.calm()
        serving.stop("demo", end, now=time.time())
        until_seen(lambda: shape(serving.traffic("demo")) == ("1", None, 0))
        assert serving.traffic("demo").holder is None
        assert done in (None, FOUND)
        assert [each.id for each in serving.pending_ends("demo")] == [end.id]
        serving.ends_written("demo", [end.id])
        serving.claim("demo", ME)
        if left == 9:
            break
        serving.deploy("demo", "2", None, holder=ME)
    assert calls_before > 1


@pytest.mark.parametrize("count", [1, 3])
def test_stop_whose_answer_was_lost_is_made_once_and_says_what_it_stopped(serving, count):
    serving.faults.lose_answers(count)
    assert serving.stop("demo", an_end(), now=time.time()) == FOUND
    until_seen(lambda: shape(serving.traffic("demo")) == ("1", None, 0))
    assert len(serving.pending_ends("demo")) == 1


@pytest.mark.parametrize("survived", range(4))
def test_stop_that_died_between_its_writes_is_completed_by_the_reaper(serving, survived):
    declare, left = serving.platform.declare, [survived]

    def die(*args, **options):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        declare(*args, **options)

    serving.platform.declare = die
    with suppress(KeyboardInterrupt):
        serving.stop("demo", an_end(), now=time.time())
    serving.platform.declare = declare
    if not survived:
        assert shape(serving.traffic("demo")) == ("1", "2", 10)
        return
    assert reap(serving, now=time.time()) == []
    until_seen(lambda: shape(serving.traffic("demo")) == ("1", None, 0))


def test_stop_wins_over_a_weight_that_somebody_set_by_hand(serving):
    serving.faults.by_hand(90)
    until_seen(lambda: serving.traffic("demo").canary_percent == 90)
    assert serving.stop("demo", an_end(), now=time.time()).percent == 90
    until_seen(lambda: shape(serving.traffic("demo")) == ("1", None, 0))


@pytest.mark.parametrize("call", ["set_traffic", "promote"])
def test_write_under_way_when_a_stop_comes_is_refused_and_the_stop_wins(serving, call):
    met = []
    lease = serving.take_lease("demo", ME, now=time.time(), seconds=60)

    def stop():
        if not met:
            met.append(None)
            met[0] = RemoteServing(serving.platform).stop("demo", an_end(), now=time.time())

    serving.faults.before_each_write(stop)
    do = {
        "set_traffic": lambda: serving.set_traffic("demo", "2", 50, holder=ME, lease=lease),
        "promote": lambda: serving.promote("demo", "2", holder=ME, lease=lease),
    }
    with pytest.raises(LeaseLostError, match="a person stopped"):
        do[call]()
    assert met[0].holder == ME
    until_seen(lambda: shape(serving.traffic("demo")) == (met[0].stable, None, 0))
    assert met[0].version == ("2" if met[0].stable == "1" else None)  # or the promotion was first


def test_stop_at_a_cold_start_leaves_nothing_that_serves(request, fresh):
    with REMOTE[request.node.callspec.params["fresh"]]() as backend:
        backend.claim("demo", ME)
        assert shape(backend.deploy("demo", "1", None, holder=ME)) == (None, "1", 100)
        found = backend.stop("demo", an_end(), now=time.time())
        assert (found.version, found.percent, found.stable) == ("1", 100, None)
        until_seen(lambda: shape(backend.traffic("demo")) == (None, None, 0))
        assert [end.version for end in backend.pending_ends("demo")] == ["1"]
        backend.claim("demo", OTHER)
        assert shape(backend.deploy("demo", "1", None, holder=OTHER)) == (None, "1", 100)
        assert shape(backend.promote("demo", "1", holder=OTHER)) == ("1", None, 0)


def test_canary_that_had_every_request_when_its_holder_died_is_drained_before_the_next_is_deployed(serving):
    now = time.time()
    serving.take_lease("demo", ME, now=now, seconds=60)
    serving.set_traffic("demo", "2", 100, holder=ME)
    serving.claim("demo", OTHER, now=now + 120)
    assert shape(serving.deploy("demo", "3", None, holder=OTHER)) == ("1", "3", 0)
    assert shape(serving.roll_back("demo", "3", holder=OTHER)) == ("1", None, 0)


def test_deployment_renews_its_claim_and_ends_when_it_is_stopped(fresh):
    fresh.release("demo", ME)
    fresh.wall = Wall(fresh)
    fresh.claim("demo", ME)
    began = fresh.platform.store.load("demo").state.lease
    fresh.platform.retrier.retry_policy = replace(fresh.platform.retrier.retry_policy, ready_seconds=2000)
    seen, stopped = [], []

    def starting(snapshot):
        seen.append(snapshot.state.lease.expires_at)
        if fresh.wall() > began.expires_at + 100 and not stopped:
            stopped.append(True)
            RemoteServing(fresh.platform).stop("demo", an_end(), now=fresh.wall())
        return "still starting"

    fresh.platform.missing = starting
    with pytest.raises(LeaseLostError, match="a person stopped"):
        fresh.deploy("demo", "2", None, holder=ME)
    assert max(seen) > began.expires_at + 300


class Wall:
    """Wall clock that follows the fake clock."""

    def __init__(self, backend):
        self.clock = backend.platform.retrier.clock

    def __call__(self):
        return 1e9 + self.clock.now()


def test_lease_is_renewed_while_a_change_is_polled_for(serving):
    serving.wall = Wall(serving)
    lease = serving.take_lease("demo", ME, now=serving.wall(), seconds=20)
    serving.platform.missing = lambda snapshot: "still starting"
    with pytest.raises(ServiceUnavailableError, match="not ready after 60 s: still starting"):
        serving.set_traffic("demo", "2", 25, holder=ME, lease=lease)
    assert serving.keep_lease("demo", lease, now=serving.wall(), seconds=20).expires_at > serving.wall() + 13


def test_polling_ends_when_the_lease_is_taken_over(serving):
    serving.wall = Wall(serving)
    lease, began = serving.take_lease("demo", ME, now=serving.wall(), seconds=20), serving.wall()

    def overtaken(snapshot):
        if serving.wall() > began + 10:
            RemoteServing(serving.platform).take_lease("demo", ME, now=serving.wall(), seconds=20)
        return "still starting"

    serving.platform.missing = overtaken
    with pytest.raises(LeaseLostError, match=f"{ME} with token 3 holds"):
        serving.set_traffic("demo", "2", 25, holder=ME, lease=lease)
    assert serving.wall() - began < 20
