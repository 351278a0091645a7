"""Blocks of windows: what fails again and again from one cause is one observation, not several."""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_mlops.core.record import Record

MOST_ERRORS = 8
"""Errors of both arms that end a block: more than one client's request makes with five retries."""
LONGEST, QUIET = 1.5, 5.0
"""A block of the rate ends in a window that fails less than ``QUIET`` times the allowance, so that no burst
is cut in two; at the latest after ``LONGEST`` times its least length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBlock(Record):
    """Consecutive windows that one cause may link.

    All but ``canary_errors``, ``matched`` and the claims' order of use depends on the errors of both arms
    together. Which arm they hit is chance if the canary is as good as stable, so a block may end by their
    number.

    :param expected: errors expected on the canary if both arms are equal; ``tolerated``: if its odds are the
        largest that are tolerated; ``claims``: under each bet of the reverse test.
    :param matched: errors of an earlier outage of stable that are held against the canary's (:mod:`.echo`).
    :param since: beginning of the first window with errors; ``until``: end of the last one.
    """

    errors: int = 0
    canary_errors: int = 0
    expected: float = 0.0
    tolerated: float = 0.0
    claims: tuple[float, ...] = ()
    matched: float = 0.0
    since: float = 0.0
    until: float = 0.0

    @property
    def seen(self) -> float:
        """The canary's share of the errors, those of stable's earlier outage among them."""
        return self.canary_errors / (self.errors + self.matched)

    def plus(self, other: ErrorBlock) -> ErrorBlock:
        """Return this block with a later window."""
        return replace(
            self,
            errors=self.errors + other.errors,
            canary_errors=self.canary_errors + other.canary_errors,
            expected=self.expected + other.expected,
            tolerated=self.tolerated + other.tolerated,
            claims=tuple(a + b for a, b in zip(self.claims, other.claims, strict=True)),
            matched=self.matched + other.matched,
            until=other.until,
        )

    def mean(self, of_block: float) -> float:
        """Return a sum over the block's errors as a share of them."""
        return of_block / self.errors

    def has_ended(self, now: float, quiet_seconds: float) -> bool:
        """Whether no error can follow from a cause in the block, or it has more than one cause makes."""
        return self.errors >= MOST_ERRORS or now - self.until >= quiet_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RateBlock(Record):
    """Consecutive windows of one arm, for a test of its error rate.

    :param since: beginning of the first window.
    """

    requests: int = 0
    errors: int = 0
    since: float = 0.0

    def plus(self, requests: int, errors: int) -> RateBlock:
        """Return this block with a later window."""
        return replace(self, requests=self.requests + requests, errors=self.errors + errors)

    def has_ended(self, now: float, least_seconds: float, *, failed: float, allowed: float) -> bool:
        """Whether it is long enough, and no burst goes on at its end.

        :param failed: share that failed in its last window.
        """
        lasted = now - self.since
        return lasted >= least_seconds and (failed <= QUIET * allowed or lasted >= LONGEST * least_seconds)
