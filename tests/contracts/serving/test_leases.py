"""A canary with an expired lease is stopped; writers with an outdated fencing token are refused."""

from __future__ import annotations

import time

import pytest
from serving_contract import ME, OTHER, shape, until_seen

from airflow_mlops.backends.serving.reaper import Reaped, reap
from airflow_mlops.core.errors import EndpointBusyError, LeaseLostError


@pytest.fixture
def now():
    return time.time()


def writes(serving, endpoint, lease):
    more = {"holder": ME, "lease": lease}
    return {
        "set_traffic": lambda: serving.set_traffic(endpoint, "2", 50, **more),
        "promote": lambda: serving.promote(endpoint, "2", **more),
        "roll_back": lambda: serving.roll_back(endpoint, "2", **more),
        "clean_up": lambda: serving.clean_up(endpoint, **more),
    }


def test_lease_needs_the_claim_and_names_who_has_it(serving, endpoint, now):
    with pytest.raises(EndpointBusyError, match="held by rollout/run-1, not by rollout/run-2"):
        serving.take_lease(endpoint, OTHER, now=now, seconds=60)


@pytest.mark.parametrize("write", ["set_traffic", "promote", "roll_back", "clean_up"])
def test_writer_that_was_overtaken_is_refused_by_name_and_changes_nothing(serving, endpoint, now, write):
    first = serving.take_lease(endpoint, ME, now=now, seconds=60)
    second = serving.take_lease(endpoint, ME, now=now + 1, seconds=60)
    assert second.token == first.token + 1
    serving.set_traffic(endpoint, "2", 10, holder=ME, lease=second)
    lost = f"token {first.token} is lost: {ME} with token {second.token} holds the endpoint"
    with pytest.raises(LeaseLostError, match=lost):
        writes(serving, endpoint, first)[write]()
    assert shape(serving.traffic(endpoint)) == ("1", "2", 10)


def test_holder_of_the_lease_does_all_of_it(serving, endpoint, now):
    lease = serving.take_lease(endpoint, ME, now=now, seconds=60)
    seen = [shape(write()) for write in writes(serving, endpoint, lease).values()]
    assert seen == [("1", "2", 50), ("2", None, 0), ("2", None, 0), ("2", None, 0)]


def test_canary_keeps_its_traffic_as_long_as_it_is_watched(serving, endpoint, now):
    lease = serving.take_lease(endpoint, ME, now=now, seconds=60)
    serving.set_traffic(endpoint, "2", 10, holder=ME, lease=lease)
    for passed in (50, 100, 150):
        lease = serving.keep_lease(endpoint, lease, now=now + passed, seconds=60)
        assert lease.expires_at >= now + passed + 40
        assert reap(serving, now=now + passed + 30) == []
    assert shape(serving.traffic(endpoint)) == ("1", "2", 10)


@pytest.mark.parametrize("percent", [10, 100])
def test_canary_with_an_expired_lease_gets_nothing_and_its_rollout_has_lost_the_lease(
    serving, endpoint, now, percent
):
    lease = serving.take_lease(endpoint, ME, now=now, seconds=60)
    serving.set_traffic(endpoint, "2", percent, holder=ME, lease=lease)
    assert reap(serving, now=now + 64) == []  # clocks may disagree by five seconds
    assert reap(serving, now=now + 120) == [Reaped(endpoint=endpoint, holder=ME)]
    until_seen(lambda: shape(serving.traffic(endpoint)) == ("1", "2", 0))
    assert serving.traffic(endpoint).holder is None
    assert reap(serving, now=now + 180) == []
    with pytest.raises(LeaseLostError, match=r"ran out .* airflow-mlops reap took the canary out of traffic"):
        serving.keep_lease(endpoint, lease, now=now + 180, seconds=60)
    for write in writes(serving, endpoint, lease).values():
        with pytest.raises(LeaseLostError, match="airflow-mlops reap with token"):
            write()
    assert shape(serving.traffic(endpoint)) == ("1", "2", 0)


def test_rollout_that_was_reaped_may_begin_again_under_a_new_lease(serving, endpoint, now):
    serving.take_lease(endpoint, ME, now=now, seconds=60)
    serving.set_traffic(endpoint, "2", 10, holder=ME)
    reap(serving, now=now + 120)
    with pytest.raises(EndpointBusyError, match="held by no rollout"):
        serving.take_lease(endpoint, ME, now=now + 200, seconds=60)
    serving.claim(endpoint, ME, now=now + 200)
    again = serving.take_lease(endpoint, ME, now=now + 200, seconds=60)
    assert shape(serving.set_traffic(endpoint, "2", 10, holder=ME, lease=again)) == ("1", "2", 10)


def test_canary_without_traffic_and_one_without_a_lease_are_left_alone(serving, endpoint, now):
    serving.take_lease(endpoint, ME, now=now, seconds=60)
    assert reap(serving, now=now + 999) == []
    serving.promote(endpoint, "2", holder=ME)
    assert reap(serving, now=now + 999) == []
    assert shape(serving.traffic(endpoint)) == ("2", None, 0)


def test_token_never_falls_whoever_takes_the_endpoint(serving, endpoint, now):
    first = serving.take_lease(endpoint, ME, now=now, seconds=60)
    serving.release(endpoint, ME)
    serving.claim(endpoint, OTHER)
    second = serving.take_lease(endpoint, OTHER, now=now + 1, seconds=60)
    assert second.token == first.token + 2  # the claim takes a lease, too
    with pytest.raises(EndpointBusyError, match="held by rollout/run-2, not by rollout/run-1"):
        serving.set_traffic(endpoint, "2", 50, holder=ME, lease=first)
    serving.release(endpoint, OTHER)
