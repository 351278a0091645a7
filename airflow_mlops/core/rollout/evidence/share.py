"""ErrorShareTest: sequential test of the canary's share of errors, valid after every window."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence.betting import (
    add_logs,
    bet,
    even,
    factor,
    lowest_share,
    mean_exp,
    odds_share,
    rate_share,
    require_share,
)
from airflow_mlops.core.rollout.evidence.block import ErrorBlock
from airflow_mlops.core.rollout.evidence.echo import StableOutage

WORSE_RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
TOLERATED_RATIO = 2.0
HARMLESS_RATIOS = (1.5, 1.0, 0.5)


class StepDecision(StrEnum):
    """Decision on a rollout step."""

    CONTINUE = "continue"
    ROLL_BACK = "rollback"
    ADVANCE = "advance"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts(Record):
    """Requests and errors of both arms in one observation window."""

    canary_requests: int
    canary_errors: int
    stable_requests: int
    stable_errors: int

    def __post_init__(self) -> None:
        """Refuse negative counts, and more errors than requests."""
        for arm in ("canary", "stable"):
            requests, errors = getattr(self, f"{arm}_requests"), getattr(self, f"{arm}_errors")
            if not 0 <= errors <= requests:
                msg = f"{arm}: {errors} errors of {requests} requests, allowed: 0 <= errors <= requests"
                raise InvalidRecordError(msg)

    def __add__(self, other: ArmCounts) -> ArmCounts:
        """Return the counts of both windows together."""
        names = ("canary_requests", "canary_errors", "stable_requests", "stable_errors")
        return ArmCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(Record):
    """Conclusion of a test after a window.

    :param e_value: evidence that the canary is worse; rolls back at 1/alpha or more.
    """

    e_value: float
    decision: StepDecision
    reasons: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class ErrorShareTest(Record):
    """Test whether the canary's share of each window's errors exceeds its share of the requests.

    Testing by betting (Waudby-Smith & Ramdas 2023). Per window with K errors, k of them on the canary, and s
    the canary's share of requests, ``e(r) = 1 + lambda_r (k/K - s)`` with
    ``lambda_r = (r-1) / (1 + s (r-1))``; the e-value is the mean over :data:`WORSE_RATIOS` of the running
    products. Valid at any stopping time, with errors clustered inside a window, changing weights and outages
    shared by both arms. Never reset between steps. The reverse bets test the null hypothesis "the odds of
    failing are twice the stable's, or more" on the same shares; rejecting it allows to advance. A window in
    which nearly all requests fail carries little evidence there.

    One cause may fail in several windows: a client whose session sticks to a version retries after 1, 2, 4,
    8, 16 s. With ``retry_horizon`` windows are therefore merged to blocks, each a single bet: a block begins
    with an error and ends when no error came for that time, so that no cause is in two blocks. Where errors
    are so frequent that it would not end, it ends with more than one cause makes (:mod:`.block`). A block's
    null share is that of its errors' windows, weighted by their errors. An open block is no evidence yet.

    A canary that fails mostly does so from a step's first requests on, and in the first ``retry_horizon`` a
    block would be one bet or two. :meth:`hasten` therefore sets part of the capital apart for bets on single
    windows at the beginning of a step. It is a martingale, too, while no cause fails in two windows; where
    one does, it can blame a healthy canary only if that happens in these seconds. After them what it won
    joins the bets on blocks.

    An outage of both arms that a slower canary reports later is matched: for ``retry_horizon`` after it the
    canary's errors are compared with stable's share in that outage (:mod:`.echo`). That only lowers the share
    of errors seen on the canary, and each bet that it is worse grows with that share.

    "Error" is any bad answer: a failed request, one slower than the champion's p99, a wrong prediction.

    While the canary is healthy its wealth shrinks, so that one that fails only at a later step would be
    found late. :meth:`keep_back` therefore keeps part of the capital out of the bets, and :meth:`invest` bets
    half of it when a step begins. Both are decided before a window is seen, so the e-process stays valid.

    :param alpha: probability of rolling back at any time a canary that is as good as stable, (0, 1).
    :param reserve: capital that is not yet bet, from 0 up to 1; part of the e-value.
    :param retry_horizon: seconds after a failure in which its cause may fail again; 0: windows are bets.
    :param early: part of the capital for bets on single windows; ``early_logs``: these bets.
    :param stable: what stable failed, for matching; kept with ``retry_horizon`` only.
    :param block: windows of the next bet, so far; ``waiting``: capital that is bet from its end on.

    >>> test = ErrorShareTest(alpha=0.05)
    >>> test.update(10, 0, 190, 1).decision.value
    'continue'
    >>> for _ in range(3):
    ...     evidence = test.update(10, 2, 190, 0)
    >>> evidence.decision.value, evidence.e_value > 20
    ('rollback', True)
    """

    alpha: float = 0.05
    reserve: float = 0.0
    retry_horizon: float = 0.0
    block: ErrorBlock | None = None
    waiting: float = 0.0
    early: float = 0.0
    early_logs: tuple[float, ...] = ()
    stable: StableOutage = field(default_factory=StableOutage)
    worse_logs: tuple[float, ...] = field(default=(0.0,) * len(WORSE_RATIOS))
    harmless_logs: tuple[float, ...] = field(default=(0.0,) * len(HARMLESS_RATIOS))

    def __post_init__(self) -> None:
        """Refuse an alpha outside (0, 1)."""
        require_share("alpha", self.alpha)

    @property
    def e_value(self) -> float:
        """Evidence that the canary is worse."""
        early = mean_exp(self.early_logs) if self.early_logs else 0.0
        return self.reserve + self.waiting + early + mean_exp(self.worse_logs)

    @property
    def harmless_e_value(self) -> float:
        """Evidence that the canary's odds of failing are below twice the stable's."""
        return mean_exp(self.harmless_logs)

    def keep_back(self, share: float) -> None:
        """Move a share of the capital, (0, 1), from the bets to the reserve."""
        require_share("reserve", share)
        self.reserve += share * mean_exp(self.worse_logs)
        self.worse_logs = tuple(log + math.log1p(-share) for log in self.worse_logs)

    def hasten(self, share: float) -> None:
        """Move a share, (0, 1), of what is bet, now and whenever capital is invested, to bets on windows."""
        require_share("early", share)
        self.early = share
        self.early_logs = tuple(log + math.log(share) for log in self.worse_logs)
        self.worse_logs = tuple(log + math.log1p(-share) for log in self.worse_logs)

    def invest(self) -> None:
        """Bet half of the reserve from the next bet on, independently of earlier losses."""
        self.reserve /= 2
        self.waiting += self.reserve * (1 - self.early)
        if self.early:
            early = even(self.reserve * self.early, len(WORSE_RATIOS))
            self.early_logs = add_logs(self.early_logs, early) if self.early_logs else early
        self._join()

    def update(
        self, canary_requests: int, canary_errors: int, stable_requests: int, stable_errors: int
    ) -> Evidence:
        """Observe one window and conclude.

        :raises InvalidRecordError: more errors than requests, or a negative count.
        """
        self.observe(
            ArmCounts(
                canary_requests=canary_requests,
                canary_errors=canary_errors,
                stable_requests=stable_requests,
                stable_errors=stable_errors,
            )
        )
        return self.conclude()

    def observe(
        self, window: ArmCounts, *, since: float = 0.0, until: float = 0.0, is_early: bool = False
    ) -> None:
        """Bet on one window, or merge it; one without errors, or with one arm only, is no bet.

        :param since: beginning of the window, seconds; ``until``: its end. Needed with ``retry_horizon``.
        :param is_early: whether it is at the beginning of a step; known before it is seen.
        """
        self._end_block(since)
        if not is_early:
            self._join(over=True)
        fresh = _block_of(window, self._matched(window, since, until), since, until)
        if fresh is None:
            self._end_block(until)
            return
        if self.early_logs and is_early:
            self.early_logs = bet(self.early_logs, _worse(fresh))
        self.block = fresh if self.block is None else self.block.plus(fresh)
        self._end_block(until)

    def _matched(self, window: ArmCounts, since: float, until: float) -> float:
        horizon, stable = self.retry_horizon, (window.stable_requests, window.stable_errors)
        if not horizon:
            return 0.0
        matched = self.stable.matching(*stable, since=since, horizon=horizon) if window.canary_errors else 0.0
        self.stable = self.stable.plus(*stable, since=since, until=until, horizon=horizon)
        return matched

    def _end_block(self, now: float) -> None:
        block = self.block
        if block is None or not (self.retry_horizon == 0 or block.has_ended(now, self.retry_horizon)):
            return
        seen = block.mean(block.canary_errors)
        tolerated, claims = block.mean(block.tolerated), [block.mean(claim) for claim in block.claims]
        self.worse_logs = bet(self.worse_logs, _worse(block))
        self.harmless_logs = bet(self.harmless_logs, [factor(tolerated, b, seen) for b in claims])
        self.block = None
        self._join()

    def _join(self, *, over: bool = False) -> None:
        """Bet what waits on the next block, unless one is open: its beginning has been seen.

        :param over: the step's beginning is over, so what the early bets won joins, too.
        """
        if self.block is not None:
            return
        self.worse_logs = add_logs(self.worse_logs, even(self.waiting, len(WORSE_RATIOS)))
        self.waiting = 0.0
        if over and self.early_logs:
            self.worse_logs = add_logs(self.worse_logs, self.early_logs)
            self.early_logs = ()

    def conclude(self, *, at_deadline: bool = False) -> Evidence:
        """Return the decision after the windows so far.

        :param at_deadline: whether no more windows follow: then undecided is inconclusive.
        """
        bar = 1 / self.alpha
        if self.e_value >= bar:
            why = f"canary fails more than stable: e-value {self.e_value:.3g}, rolls back at {bar:g}"
            return Evidence(e_value=self.e_value, decision=StepDecision.ROLL_BACK, reasons=(why,))
        if self.harmless_e_value >= bar:
            why = f"odds of failing below {TOLERATED_RATIO:g} x stable's: e-value {self.harmless_e_value:.3g}"
            return Evidence(e_value=self.e_value, decision=StepDecision.ADVANCE, reasons=(why,))
        harmless = f"harmless {self.harmless_e_value:.3g}, goes on at {bar:g}"
        why = f"e-value {self.e_value:.3g}, rolls back at {bar:g}; {harmless}"
        undecided = StepDecision.INCONCLUSIVE if at_deadline else StepDecision.CONTINUE
        return Evidence(e_value=self.e_value, decision=undecided, reasons=(why,))


def _worse(block: ErrorBlock) -> list[float]:
    """Return the factor of each bet that the canary is worse."""
    share = block.mean(block.expected)
    return [factor(share, rate_share(ratio, share), block.seen) for ratio in WORSE_RATIOS]


def _block_of(window: ArmCounts, matched: float, since: float, until: float) -> ErrorBlock | None:
    asked, others = window.canary_requests, window.stable_requests
    errors = window.canary_errors + window.stable_errors
    if 0 in (errors, asked, others):
        return None
    return ErrorBlock(
        errors=errors,
        canary_errors=window.canary_errors,
        expected=errors * (asked / (asked + others)),
        tolerated=errors * lowest_share(TOLERATED_RATIO, asked, others, errors),
        claims=tuple(errors * odds_share(ratio, asked, others, errors) for ratio in HARMLESS_RATIOS),
        matched=matched,
        since=since,
        until=until,
    )
