"""ErrorRateTest: sequential test of the canary's error rate against a fixed allowance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence.betting import bet, mean_exp, require_share
from airflow_mlops.core.rollout.evidence.block import RateBlock

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.evidence.share import ArmCounts

BELOW_TILTS = (3.0, 0.9)
ABOVE_STAKES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.9)
RECENT = 30
LEAST_BLOCK = 10


@dataclass(slots=True, kw_only=True)
class ErrorRateTest(Record):
    """Test whether the canary's error rate is below, or above, a fixed allowance.

    With k errors among n requests of a window, allowance m and tilt t, wealth on "below" is multiplied by
    ``exp((m n (1 - exp(-t)) - t k) / b)``, a Chernoff bound for errors in batches of up to b: by convexity
    of exp its expectation is at most 1 while the rate is at least m. Without ``burst`` all requests of a
    window may fail from one cause: b is then the largest number of requests in a recent window, at least 10,
    and more than b errors count as b. It is fixed before the window, so the retries that a failure adds do
    not weaken it. Wealth on "above" is multiplied by ``1 + l (k - m n) / C`` with ``l`` below ``1/m``, C the
    largest number of requests in a recent window or this one (Waudby-Smith & Ramdas 2023).

    With ``retry_horizon`` the bets on "above" are on blocks of windows of that length: a burst of errors goes
    on in the windows after its beginning. A block is up to half as long again while one goes on. That may
    depend on what was seen: ``k - m n`` has no positive mean at any stopping time, and more requests, C, only
    make the bet smaller.

    A rate below 2 % takes 182 error-free batches, one below 5 % takes 73. The test lets a healthy canary
    advance; it rolls back only where there is no stable arm to compare with.

    :param allowed: share of failed requests, (0, 1).
    :param burst: largest number of requests that fail from one cause, including a client's retries; 1 if
        requests fail independently; ``None`` if unknown.
    :param retry_horizon: least seconds of a block; 0: windows are bets.
    :param block: windows of the next bet on "above"; ``recent_blocks``: requests of the last ones.

    >>> from airflow_mlops.core.rollout.evidence.share import ArmCounts
    >>> test = ErrorRateTest(allowed=0.05)
    >>> for _ in range(73):
    ...     test.observe(ArmCounts(canary_requests=10, canary_errors=0, stable_requests=0, stable_errors=0))
    >>> test.below_e_value > 20, test.above_e_value < 1
    (True, True)
    """

    allowed: float
    burst: int | None = None
    retry_horizon: float = 0.0
    recent: tuple[int, ...] = ()
    recent_blocks: tuple[int, ...] = ()
    block: RateBlock | None = None
    below_logs: tuple[float, ...] = field(default=(0.0,) * len(BELOW_TILTS))
    above_logs: tuple[float, ...] = field(default=(0.0,) * len(ABOVE_STAKES))

    def __post_init__(self) -> None:
        """Refuse an allowance outside (0, 1)."""
        require_share("allowed", self.allowed)

    @property
    def below_e_value(self) -> float:
        """Evidence that the error rate is below the allowance."""
        return mean_exp(self.below_logs)

    @property
    def above_e_value(self) -> float:
        """Evidence that the error rate is above the allowance."""
        return mean_exp(self.above_logs)

    def observe(self, window: ArmCounts, *, since: float = 0.0, until: float = 0.0) -> None:
        """Bet on one window; one without requests to the canary changes nothing.

        :param since: beginning of the window, seconds; ``until``: its end. Needed with ``retry_horizon``.
        """
        asked, failed = window.canary_requests, window.canary_errors
        if asked == 0:
            return
        known = self.burst or max((LEAST_BLOCK, *self.recent))
        most = math.inf if self.burst else known
        fair, seen = self.allowed * min(asked, most) / known, min(failed, most) / known
        self.below_logs = tuple(
            log + fair * -math.expm1(-tilt) - tilt * seen
            for log, tilt in zip(self.below_logs, BELOW_TILTS, strict=True)
        )
        self.recent = (*self.recent, asked)[-RECENT:]
        self.block = (self.block or RateBlock(since=since)).plus(asked, failed)
        if self.block.has_ended(until, self.retry_horizon, failed=failed / asked, allowed=self.allowed):
            self._bet_above(self.block)

    def _bet_above(self, block: RateBlock) -> None:
        if self.retry_horizon:
            self.recent_blocks = (*self.recent_blocks, block.requests)[-RECENT:]
        most = max(self.recent_blocks or self.recent)
        over = (block.errors - self.allowed * block.requests) / self.allowed / most
        stakes = ABOVE_STAKES[: len(self.above_logs)]  # the last was added: a state from before is without it
        self.above_logs = bet(self.above_logs, [1 + stake * over for stake in stakes])
        self.block = None
