from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.core.errors import EndpointBusyError, InvalidConfigError, LeaseLostError
from airflow_mlops.core.rollout.lease import (
    REAPER,
    Lease,
    acquire,
    fence,
    must_stop,
    reaped,
    release,
    renew,
    require_lease,
)

HELD = Lease(holder="a", token=3, expires_at=100.0)


def test_lease_of_another_is_refused_with_the_holders_name_until_it_runs_out():
    with pytest.raises(EndpointBusyError, match="held by a for 1 s more, not by b"):
        acquire(HELD, "b", now=99.0, seconds=30)
    assert acquire(HELD, "b", now=100.0, seconds=30) == Lease(holder="b", token=4, expires_at=130.0)


def test_token_rises_even_when_the_same_holder_comes_back():
    again = acquire(HELD, "a", now=50.0, seconds=30)
    assert again.token == 4
    with pytest.raises(LeaseLostError, match="token 3 is lost: a with token 4"):
        require_lease(again, HELD, now=50.0)


def test_first_lease_has_token_one():
    assert acquire(None, "a", now=0.0, seconds=5) == Lease(holder="a", token=1, expires_at=5.0)


def test_lease_without_length_is_refused():
    with pytest.raises(InvalidConfigError, match="lease: 0 s, allowed: above 0"):
        acquire(None, "a", now=0.0, seconds=0)


def test_renewing_makes_longer_and_never_shorter():
    assert renew(HELD, HELD, now=90.0, seconds=30).expires_at == 120.0
    assert renew(HELD, HELD, now=10.0, seconds=30).expires_at == 100.0


def test_lease_that_ran_out_is_not_renewed():
    with pytest.raises(LeaseLostError, match="token 3 ran out 5 s ago"):
        renew(HELD, HELD, now=105.0, seconds=30)


def test_lease_that_nobody_holds_is_lost():
    with pytest.raises(LeaseLostError, match="no rollout holds"):
        renew(None, HELD, now=1.0, seconds=30)


def test_released_lease_is_free_at_once_and_keeps_its_token():
    free = release(HELD, HELD, now=50.0)
    assert free.expired(50.0)
    assert acquire(free, "b", now=50.0, seconds=1).token == 4


def test_releasing_what_is_held_by_a_later_copy_changes_nothing():
    later = acquire(HELD, "a", now=50.0, seconds=30)
    assert release(later, HELD, now=51.0) is later
    assert release(None, HELD, now=51.0) is None


def test_write_with_an_old_token_is_refused_whatever_the_time():
    later = acquire(HELD, "a", now=50.0, seconds=30)
    assert fence(later, later) is later
    with pytest.raises(LeaseLostError, match="token 3 is lost: a with token 4 holds"):
        fence(later, HELD)
    with pytest.raises(LeaseLostError, match="no rollout holds"):
        fence(None, HELD)


def test_nobody_who_held_a_reaped_lease_writes_or_goes_on():
    ended = reaped(HELD)
    assert ended == Lease(holder=REAPER, token=4, expires_at=100.0)
    with pytest.raises(LeaseLostError, match=f"token 3 is lost: {REAPER} with token 4 holds"):
        fence(ended, HELD)
    with pytest.raises(LeaseLostError, match=f"token 3 ran out 9 s ago; {REAPER} took the canary out"):
        renew(ended, HELD, now=109.0, seconds=30)
    assert acquire(ended, "a", now=109.0, seconds=30).token == 5


@pytest.mark.parametrize(
    ("lease", "percent", "now", "stop"),
    [
        (HELD, 5, 99.0, False),
        (HELD, 5, 104.0, False),  # clocks may disagree by five seconds
        (HELD, 5, 105.0, True),
        (HELD, 0, 999.0, False),
        (None, 5, 0.0, True),
        (None, 0, 0.0, False),
    ],
)
def test_canary_is_stopped_only_when_it_gets_requests_and_nobody_watches(lease, percent, now, stop):
    assert must_stop(lease, percent, now=now) is stop


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.1, 50)), max_size=20))
def test_of_all_leases_ever_given_at_most_the_last_is_good(calls):
    now, current, given_out = 0.0, None, []
    for holder, passed in calls:
        now += passed
        try:
            current = acquire(current, holder, now=now, seconds=20)
        except EndpointBusyError:
            continue
        given_out.append(current)
    tokens = [lease.token for lease in given_out]
    assert tokens == sorted(set(tokens))
    good = [lease for lease in given_out if lease.token == current.token and not lease.expired(now)]
    assert len(good) <= 1
