from __future__ import annotations

import pytest
from fakes.clock import FakeClock

from airflow_mlops.backends.serving.remote.retry import (
    NO_ANSWER,
    ConflictError,
    RefusedError,
    Retrier,
    RetryPolicy,
    SystemClock,
)
from airflow_mlops.core.errors import EndpointBusyError, ServiceUnavailableError

MANY = RetryPolicy(attempts=7, first_seconds=1, longest_seconds=10, storm_seconds=1000)


@pytest.fixture
def clock():
    return FakeClock()


class Service:
    """Answers with each outcome in turn; the last one repeats."""

    def __init__(self, *outcomes):
        self.outcomes, self.calls = list(outcomes), 0

    def __call__(self):
        outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
        self.calls += 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.mark.parametrize(
    ("retry_after", "pauses"),
    [(0, [1, 2, 4, 8, 10, 10]), (7, [7, 7, 7, 8, 10, 10]), (3600, [10] * 6)],
    ids=["exponential", "at least what is asked", "at most the longest"],
)
def test_pauses_grow_to_the_longest_and_respect_retry_after(clock, retry_after, pauses):
    service = Service(RefusedError(429, "slow down", retry_after=retry_after))
    with pytest.raises(ServiceUnavailableError, match=r"read: 429 \(slow down\) after 7 attempts"):
        Retrier(clock, MANY).call(service, "read")
    assert clock.slept == pauses


@pytest.mark.parametrize("status", [NO_ANSWER, 429, 500, 502, 503, 504])
def test_transient_refusal_is_retried_until_there_is_an_answer(clock, status):
    service = Service(RefusedError(status, "down"), RefusedError(status, "down"), "answer")
    assert Retrier(clock).call(service, "read") == "answer"
    assert clock.slept == [0.5, 1.0]


def test_service_that_does_not_answer_is_named(clock):
    service = Service(RefusedError(NO_ANSWER, "down"))
    with pytest.raises(ServiceUnavailableError, match=r"read: no answer \(down\) after 3 attempts") as raised:
        Retrier(clock, RetryPolicy(attempts=3)).call(service, "read")
    assert isinstance(raised.value.__cause__, RefusedError)
    assert service.calls == 3


@pytest.mark.parametrize("error", [RefusedError(404, "gone"), EndpointBusyError("held"), ConflictError("x")])
def test_other_errors_are_raised_at_once(clock, error):
    service = Service(error)
    with pytest.raises(type(error)):
        Retrier(clock).call(service, "read")
    assert (service.calls, clock.slept) == (1, [])


def test_no_retry_begins_after_the_storm_seconds(clock):
    calls = []

    def slow():
        calls.append(clock.now())
        clock.sleep(20)
        raise RefusedError(429, "slow down", retry_after=30)

    policy = RetryPolicy(attempts=99, longest_seconds=30, storm_seconds=70)
    with pytest.raises(ServiceUnavailableError, match=r"read: 429 \(slow down\) after 2 attempts"):
        Retrier(clock, policy).call(slow, "read")
    assert calls == [0, 50]


def test_change_is_repeated_on_conflict(clock):
    service = Service(ConflictError("etag"), ConflictError("etag"), 7)
    assert Retrier(clock).retry_on_conflict(service, "claim demo") == 7
    assert clock.slept == [0.5, 1.0]


def test_conflict_in_every_attempt_is_named(clock):
    service = Service(ConflictError("etag"))
    said = "claim demo: conflict: changed by another writer in each of 6 attempts"
    with pytest.raises(ServiceUnavailableError, match=said):
        Retrier(clock).retry_on_conflict(service, "claim demo")
    assert (service.calls, clock.slept) == (6, [0.5, 1, 2, 4, 8])


def test_refusal_within_a_change_is_not_a_conflict(clock):
    service = Service(RefusedError(503, "down"))
    with pytest.raises(RefusedError):
        Retrier(clock).retry_on_conflict(service, "claim demo")
    assert service.calls == 1


def test_polls_end_when_nothing_is_missing(clock):
    service = Service("pods", "traffic", "")
    Retrier(clock).wait_until(service, "demo")
    assert clock.slept == [2, 2]


@pytest.mark.parametrize(("poll_seconds", "polls"), [(2, 3), (3, 3), (10, 2)])
def test_polls_end_with_the_time_and_name_what_is_missing(clock, poll_seconds, polls):
    service = Service("its pods")
    policy = RetryPolicy(ready_seconds=4, poll_seconds=poll_seconds)
    with pytest.raises(ServiceUnavailableError, match="demo: not ready after 4 s: its pods"):
        Retrier(clock, policy).wait_until(service, "demo")
    assert service.calls == polls


def test_system_clock_is_monotonic():
    clock = SystemClock()
    before = clock.now()
    clock.sleep(0)
    assert clock.now() >= before
