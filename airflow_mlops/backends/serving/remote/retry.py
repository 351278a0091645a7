"""How remote serving back ends wait: bounded retries and polls, on a clock that is handed in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from airflow_mlops.core.errors import AccessDeniedError, InvalidConfigError, ServiceUnavailableError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

NO_ANSWER = 0
RETRIED = frozenset({NO_ANSWER, 429, 500, 502, 503, 504})


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def now(self) -> float:
        """Return seconds that never go backwards."""

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience(Record):
    """How long a back end tries before it gives up.

    :param attempts: calls made before a refusal that may pass counts as final.
    :param first_seconds: pause after the first refused call; doubled each time, or what the service asks for.
    :param longest_seconds: longest pause between two calls.
    :param storm_seconds: how long refusals that may pass are waited out, whatever attempts are left.
    :param ready_seconds: how long a version may take to get ready, or traffic to be as asked.
    :param poll_seconds: pause between two looks.
    """

    attempts: int = 6
    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    storm_seconds: float = 120.0
    ready_seconds: float = 900.0
    poll_seconds: float = 2.0

    def pause(self, attempt: int, asked: float = 0.0) -> float:
        """Return the seconds to wait after call number ``attempt`` (from 0)."""
        return min(max(self.first_seconds * float(2**attempt), asked), self.longest_seconds)


class RefusedError(Exception):
    """A service answered with an error, or not at all (status 0); never leaves the back ends."""

    def __init__(self, status: int, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class MovedError(Exception):
    """What was read has changed since: read again, judge again; never leaves the back ends."""


class Waiting:
    """Calls again and looks again within the limits of a :class:`Patience`."""

    def __init__(self, clock: Clock | None = None, patience: Patience | None = None) -> None:
        self.clock = clock or SystemClock()
        self.patience = patience or Patience()

    def insist(self, call: Callable[[], Answer], what: str) -> Answer:
        """Call until it is answered; pauses grow.

        :param what: verb and object, for the message.
        :raises ServiceUnavailableError: no answer, too many requests or a server error, each time.
        :raises RefusedError: any other refusal, at once.
        """
        began, attempt = self.clock.now(), 0
        while True:
            try:
                return call()
            except RefusedError as refused:
                if refused.status not in RETRIED:
                    raise
                last = refused
            pause = self.patience.pause(attempt, last.retry_after)
            late = self.clock.now() + pause - began > self.patience.storm_seconds
            attempt += 1
            if late or attempt >= self.patience.attempts:
                msg = f"{what}: {last.status or 'no answer'} ({last}) after {attempt} attempts"
                raise ServiceUnavailableError(msg) from last
            self.clock.sleep(pause)

    def again_when_moved(self, change: Callable[[], Answer], what: str) -> Answer:
        """Read, judge and write until nobody wrote in between.

        :raises ServiceUnavailableError: somebody did, each time.
        """
        for attempt in range(self.patience.attempts):
            try:
                return change()
            except MovedError:
                self.clock.sleep(self.patience.pause(attempt))
        msg = f"{what}: changed by somebody else {self.patience.attempts} times while it was to be changed"
        raise ServiceUnavailableError(msg)

    def until(self, missing: Callable[[], str], what: str) -> None:
        """Look until nothing is missing.

        :param missing: says what is not as wanted yet; empty when all is.
        :raises ServiceUnavailableError: time is up; names what was still missing.
        """
        deadline = self.clock.now() + self.patience.ready_seconds
        while problem := missing():
            if self.clock.now() >= deadline:
                msg = f"{what}: not ready after {self.patience.ready_seconds:g} s: {problem}"
                raise ServiceUnavailableError(msg)
            self.clock.sleep(self.patience.poll_seconds)


def refusal(error: RefusedError, what: str) -> AccessDeniedError | InvalidConfigError:
    """Translate a final refusal into an error that says who can act."""
    if error.status in (401, 403):
        return AccessDeniedError(f"{what}: {error.status} {error}; see the permissions the back end needs")
    return InvalidConfigError(f"{what}: refused with {error.status}: {error}")
