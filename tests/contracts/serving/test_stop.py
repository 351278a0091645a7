"""A stop wins over all holders; a dead holder is replaced, a living one not; ends are kept until written."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving_contract import ME, OTHER, an_end, shape, until_seen

from airflow_mlops.backends.serving.protocol import Stopped
from airflow_mlops.backends.serving.reaper import reap
from airflow_mlops.core.errors import EndpointBusyError, LeaseLostError
from airflow_mlops.core.rollout.end import EndKind
from airflow_mlops.core.rollout.lease import CLAIM_SECONDS

STABLE_ALONE = ("1", None, 0)


@pytest.fixture
def now():
    return time.time()


@pytest.fixture
def lease(serving, endpoint, now):
    """The canary gets 30 % under a lease; no end is pending, before or after."""
    forget(serving, endpoint)
    found = serving.take_lease(endpoint, ME, now=now, seconds=60)
    serving.set_traffic(endpoint, "2", 30, holder=ME, lease=found)
    yield found
    serving.release(endpoint, OTHER)
    forget(serving, endpoint)


def forget(serving, endpoint):
    serving.ends_written(endpoint, [end.id for end in serving.pending_ends(endpoint)])


def is_stopped(serving, endpoint):
    return lambda: shape(serving.traffic(endpoint)) == STABLE_ALONE


def test_stop_by_another_than_the_holder_takes_the_canary_out_and_frees_the_endpoint(
    serving, endpoint, now, lease
):
    found = serving.stop(endpoint, an_end(), now=now)
    assert found == Stopped(endpoint=endpoint, version="2", percent=30, holder=ME, stable="1")
    until_seen(is_stopped(serving, endpoint))
    assert serving.traffic(endpoint).holder is None


def test_stop_of_a_canary_that_has_all_requests_but_not_the_role_returns_them_to_the_stable_version(
    serving, endpoint, now, lease
):
    assert shape(serving.set_traffic(endpoint, "2", 100, holder=ME, lease=lease)) == ("1", "2", 100)
    found = serving.stop(endpoint, an_end(), now=now)
    assert found == Stopped(endpoint=endpoint, version="2", percent=100, holder=ME, stable="1")
    until_seen(is_stopped(serving, endpoint))
    with pytest.raises((LeaseLostError, EndpointBusyError)):
        serving.promote(endpoint, "2", holder=ME, lease=lease)


def test_end_is_kept_as_it_was_found_until_it_is_written(serving, endpoint, now, lease):
    serving.stop(endpoint, an_end(), now=now)
    kept = serving.pending_ends(endpoint)
    assert [(e.id, e.kind, e.version, e.champion, e.percent) for e in kept] == [
        (an_end().id, EndKind.STOPPED, "2", "1", 30)
    ]
    assert (kept[0].actor, kept[0].reason, kept[0].at) == ("eve", "errors on checkout", 5.0)
    serving.ends_written(endpoint, ["another"])
    assert serving.pending_ends(endpoint) == kept
    serving.ends_written(endpoint, [kept[0].id])
    serving.ends_written(endpoint, [kept[0].id])
    assert serving.pending_ends(endpoint) == ()


def test_second_stop_finds_nothing_to_stop_and_keeps_no_end(serving, endpoint, now, lease):
    serving.stop(endpoint, an_end(), now=now)
    until_seen(is_stopped(serving, endpoint))
    assert serving.stop(endpoint, an_end(2), now=now + 1) == Stopped(endpoint=endpoint, stable="1")
    assert [end.id for end in serving.pending_ends(endpoint)] == [an_end().id]


def test_of_two_stops_at_once_one_wins(serving, endpoint, now, lease):
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda n: serving.stop(endpoint, an_end(n), now=now), (1, 2)))
    assert sorted(str(each.holder) for each in found) == sorted(["None", ME])
    until_seen(is_stopped(serving, endpoint))
    assert len(serving.pending_ends(endpoint)) == 1


@pytest.mark.parametrize(
    "write", ["set_traffic", "promote", "roll_back", "clean_up", "keep_lease", "take_lease"]
)
def test_old_holder_is_refused_after_a_stop(serving, endpoint, now, lease, write):
    serving.stop(endpoint, an_end(), now=now)
    mine = {"holder": ME, "lease": lease}
    calls = {
        "set_traffic": lambda: serving.set_traffic(endpoint, "2", 50, **mine),
        "promote": lambda: serving.promote(endpoint, "2", **mine),
        "roll_back": lambda: serving.roll_back(endpoint, "2", **mine),
        "clean_up": lambda: serving.clean_up(endpoint, **mine),
        "keep_lease": lambda: serving.keep_lease(endpoint, lease, now=now + 1, seconds=60),
        "take_lease": lambda: serving.take_lease(endpoint, ME, now=now + 1, seconds=60),
    }
    refused = EndpointBusyError if write == "take_lease" else LeaseLostError
    with pytest.raises(refused, match="no rollout" if write == "take_lease" else "a person stopped"):
        calls[write]()
    until_seen(is_stopped(serving, endpoint))


def test_next_rollout_claims_after_a_stop_without_any_repair(serving, endpoint, model_dir, now, lease):
    serving.stop(endpoint, an_end(), now=now)
    serving.claim(endpoint, OTHER, now=now + 1)
    assert shape(serving.deploy(endpoint, "2", model_dir, holder=OTHER)) == ("1", "2", 0)
    fresh = serving.take_lease(endpoint, OTHER, now=now + 2, seconds=60)
    assert fresh.token > lease.token + 1
    assert shape(serving.set_traffic(endpoint, "2", 10, holder=OTHER, lease=fresh)) == ("1", "2", 10)
    with pytest.raises(EndpointBusyError, match="held by rollout/run-2"):
        serving.set_traffic(endpoint, "2", 90, holder=ME, lease=lease)
    serving.roll_back(endpoint, "2", holder=OTHER, lease=fresh)


def test_stop_of_one_rollout_leaves_another_in_peace(serving, endpoint, now, lease):
    nothing = Stopped(endpoint=endpoint)
    assert serving.stop(endpoint, an_end(), now=now, holder=OTHER) == nothing
    seen = serving.traffic(endpoint)
    assert (shape(seen), seen.holder, serving.pending_ends(endpoint)) == (("1", "2", 30), ME, ())
    assert serving.stop(endpoint, an_end(), now=now, holder=ME).holder == ME
    assert serving.stop(endpoint, an_end(2), now=now, holder=ME) == nothing
    assert [end.id for end in serving.pending_ends(endpoint)] == [an_end().id]


def test_stop_of_a_free_endpoint_finds_nothing(serving, endpoint, now, lease):
    serving.roll_back(endpoint, "2", holder=ME)
    serving.release(endpoint, ME)
    assert serving.stop(endpoint, an_end(), now=now) == Stopped(endpoint=endpoint, stable="1")
    assert serving.pending_ends(endpoint) == ()


def test_stop_before_the_canary_is_deployed_frees_the_endpoint_and_is_kept(serving, endpoint, now, lease):
    serving.roll_back(endpoint, "2", holder=ME)
    assert serving.stop(endpoint, an_end(), now=now).holder == ME
    assert serving.traffic(endpoint).holder is None
    assert [end.version for end in serving.pending_ends(endpoint)] == [""]


def test_living_holder_is_not_taken_over_a_dead_one_is(serving, endpoint, now, lease):
    with pytest.raises(EndpointBusyError, match=r"held by rollout/run-1, .* lasts \d+ s more"):
        serving.claim(endpoint, OTHER, now=now + 30)
    assert shape(serving.traffic(endpoint)) == ("1", "2", 30)
    serving.claim(endpoint, OTHER, now=now + 120)
    until_seen(lambda: serving.traffic(endpoint).canary_percent == 0)
    assert serving.traffic(endpoint).holder == OTHER
    (end,) = serving.pending_ends(endpoint)
    assert (end.kind, end.version, end.champion, end.percent) == (EndKind.SUPERSEDED, "2", "1", 30)
    assert "rollout/run-2 took over" in end.reason
    with pytest.raises(EndpointBusyError, match="held by rollout/run-2"):
        serving.set_traffic(endpoint, "2", 50, holder=ME, lease=lease)


def test_claim_alone_is_a_lease_that_ends(serving, endpoint, now, lease):
    serving.roll_back(endpoint, "2", holder=ME)
    serving.release(endpoint, ME)
    serving.claim(endpoint, ME, now=now)
    with pytest.raises(EndpointBusyError, match="held by rollout/run-1"):
        serving.claim(endpoint, OTHER, now=now + CLAIM_SECONDS - 60)
    serving.claim(endpoint, OTHER, now=now + CLAIM_SECONDS + 60)
    assert serving.traffic(endpoint).holder == OTHER


def test_second_claim_keeps_the_lease_that_its_rollout_watches_under(serving, endpoint, now, lease):
    serving.claim(endpoint, ME, now=now + 1)
    longer = serving.keep_lease(endpoint, lease, now=now + 50, seconds=60)
    assert longer.token == lease.token


def test_reaper_frees_what_it_stops_and_its_end_is_kept(serving, endpoint, now, lease):
    reap(serving, now=now + 120)
    until_seen(lambda: shape(serving.traffic(endpoint)) == ("1", "2", 0))
    assert serving.traffic(endpoint).holder is None
    (end,) = serving.pending_ends(endpoint)
    assert (end.kind, end.version, end.percent, end.actor) == (EndKind.REAPED, "2", 30, "airflow-mlops reap")
    serving.claim(endpoint, OTHER, now=now + 121)
    assert serving.traffic(endpoint).holder == OTHER


def test_rollout_that_was_reaped_too_early_may_roll_back(serving, endpoint, now, lease):
    """The reaper's clock is two minutes ahead of everybody's."""
    reap(serving, now=now + 120)
    serving.claim(endpoint, ME, now=now + 1)
    again = serving.take_lease(endpoint, ME, now=now + 1, seconds=60)
    assert shape(serving.roll_back(endpoint, "2", holder=ME, lease=again)) == STABLE_ALONE


def test_ends_are_bounded_the_oldest_go_first(serving, endpoint, now, lease):
    for number in range(1, 23):
        serving.claim(endpoint, ME, now=now)
        serving.stop(endpoint, an_end(number), now=now)
    kept = [int(end.id, 16) for end in serving.pending_ends(endpoint)]
    assert kept == list(range(3, 23))
