"""Retries of remote calls: tenacity under one retry policy, on an injected clock.

tenacity's own time limits read the system clock; the limits here read the clock that is handed in, so that
tests need not sleep.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_any,
    wait_exponential,
    wait_fixed,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from airflow_mlops.backends.serving.denials import denials_may_pass
from airflow_mlops.core.errors import AccessDeniedError, InvalidConfigError, ServiceUnavailableError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenacity import RetryCallState

_Result = TypeVar("_Result")

NO_ANSWER = 0
_RETRIED = frozenset({NO_ANSWER, 429, 500, 502, 503, 504})
_DENIED = frozenset({401, 403})


class Clock(Protocol):
    """Source of time."""

    def now(self) -> float:
        """Return monotonic seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""


class SystemClock:
    """Implements :class:`Clock` with the machine's monotonic clock."""

    def now(self) -> float:
        """Return monotonic seconds; the origin is arbitrary."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy(Record):
    """Limits of retries and polls.

    :param attempts: largest number of calls, the first one included.
    :param first_seconds: pause after the first attempt; it doubles with each (exponential backoff).
    :param longest_seconds: longest pause, also when ``Retry-After`` asks for more.
    :param storm_seconds: retry budget: no retry begins later than this after the first attempt.
    :param ready_seconds: how long a version may take to become ready, or traffic to be as requested.
    :param poll_seconds: interval of polls.
    """

    attempts: int = 6
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    storm_seconds: float = 120.0
    ready_seconds: float = 900.0
    poll_seconds: float = 2.0


class RefusedError(Exception):
    """A service answered with an error, or not at all (status 0); internal to the back ends.

    :param retry_after: seconds of the answer's ``Retry-After`` header, 0 without one.
    :param document: the answer's JSON document; empty if it was none.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retry_after: float = 0.0,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.document = dict(document or {})


class ConflictError(Exception):
    """Compare-and-set failed: the object changed since it was read; internal to the back ends."""


class _BackoffOrRetryAfter(wait_base):
    """Wait strategy: exponential backoff, at least ``Retry-After``, at most the policy's longest pause."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.backoff = wait_exponential(multiplier=policy.first_seconds)
        self.longest_seconds = policy.longest_seconds

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.retry_after if isinstance(error, RefusedError) else 0.0
        return min(max(self.backoff(retry_state), asked), self.longest_seconds)


class _StopAfter(stop_base):
    """Stop condition: time is up on the injected clock, the pause before the next attempt included."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.began = clock.now()

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self.clock.now() + retry_state.upcoming_sleep - self.began > self.seconds


class Retrier:
    """Retries and polls within the limits of a :class:`RetryPolicy`; safe to share between threads."""

    def __init__(self, clock: Clock | None = None, retry_policy: RetryPolicy | None = None) -> None:
        self.clock = clock or SystemClock()
        self.retry_policy = retry_policy or RetryPolicy()

    def call(self, request: Callable[[], _Result], what: str) -> _Result:
        """Send a request; retry it when there is no answer, too many requests, or a server error.

        In a block of :func:`~airflow_mlops.backends.serving.denials.repeating_denied` also when it is denied.

        :param what: verb and object, for the message.
        :raises ServiceUnavailableError: every attempt failed so.
        :raises RefusedError: any other refusal; it is not retried.
        """
        policy = self.retry_policy
        retrying = Retrying(
            sleep=self.clock.sleep,
            retry=retry_if_exception(_is_transient),
            wait=_BackoffOrRetryAfter(policy),
            stop=stop_any(stop_after_attempt(policy.attempts), _StopAfter(self.clock, policy.storm_seconds)),
        )
        try:
            return retrying(request)
        except RetryError as error:
            last = error.last_attempt
            refused = last.exception()
            status = getattr(refused, "status", NO_ANSWER) or "no answer"
            msg = f"{what}: {status} ({refused}) after {last.attempt_number} attempts"
            raise ServiceUnavailableError(msg) from refused

    def retry_on_conflict(self, change: Callable[[], _Result], what: str) -> _Result:
        """Repeat a compare-and-set cycle (read, decide, write) while it ends in a conflict.

        :raises ServiceUnavailableError: every attempt ended in a conflict.
        """
        policy = self.retry_policy
        retrying = Retrying(
            sleep=self.clock.sleep,
            retry=retry_if_exception_type(ConflictError),
            wait=_BackoffOrRetryAfter(policy),
            stop=stop_after_attempt(policy.attempts),
        )
        try:
            return retrying(change)
        except RetryError as error:
            msg = f"{what}: conflict: changed by another writer in each of {policy.attempts} attempts"
            raise ServiceUnavailableError(msg) from error.last_attempt.exception()

    def wait_until(self, missing: Callable[[], str], what: str, *, seconds: float | None = None) -> None:
        """Poll until nothing is missing.

        :param missing: says what is not as wanted yet; empty when everything is.
        :param seconds: how long at most; ``None``: as long as the policy allows.
        :raises ServiceUnavailableError: time is up; names what was still missing.
        """
        policy, began = self.retry_policy, self.clock.now()
        longest = policy.ready_seconds if seconds is None else seconds
        polling = Retrying(
            sleep=self.clock.sleep,
            retry=retry_if_result(bool),
            wait=wait_fixed(policy.poll_seconds),
            stop=lambda _: self.clock.now() - began >= longest,
        )
        try:
            polling(missing)
        except RetryError as error:
            msg = f"{what}: not ready after {longest:g} s: {error.last_attempt.result()}"
            raise ServiceUnavailableError(msg) from None


def refusal(error: RefusedError, what: str) -> AccessDeniedError | InvalidConfigError:
    """Translate a final refusal into an error that says who can act."""
    if error.status in _DENIED:
        return AccessDeniedError(f"{what}: {error.status} {error}; see the permissions the back end needs")
    return InvalidConfigError(f"{what}: refused with {error.status}: {error}")


def _is_transient(error: BaseException) -> bool:
    if not isinstance(error, RefusedError):
        return False
    return error.status in _RETRIED or (error.status in _DENIED and denials_may_pass())
