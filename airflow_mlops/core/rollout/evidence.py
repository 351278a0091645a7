"""Sequential evidence on a canary: tests that may be looked at after every window.

Each test is an e-process: under its null hypothesis the expected value never exceeds 1, so by Ville's
inequality it reaches 1/alpha with probability at most alpha, however often one looks
(Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record

WORSE_RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
TOLERATED_RATIO = 2.0
HARMLESS_RATIOS = (1.5, 1.0, 0.5)
LOWER_ODDS = (0.02, 0.1, 0.25, 0.5)
HIGHER_ODDS = (2.0, 4.0, 10.0, 30.0)


class Decision(StrEnum):
    """What the evidence says to do now."""

    CONTINUE = "continue"
    ROLL_BACK = "rollback"
    ADVANCE = "advance"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Record):
    """Requests and errors of both arms during one observation window."""

    canary_requests: int
    canary_errors: int
    stable_requests: int
    stable_errors: int

    def __post_init__(self) -> None:
        """Refuse counts that no window can have."""
        for arm in ("canary", "stable"):
            requests, errors = getattr(self, f"{arm}_requests"), getattr(self, f"{arm}_errors")
            if not 0 <= errors <= requests:
                msg = f"{arm}: {errors} errors of {requests} requests, allowed: 0 <= errors <= requests"
                raise InvalidRecordError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(Record):
    """What a test concludes after a window.

    :param e_value: evidence that the canary is worse; rolls back at 1/alpha or more.
    """

    e_value: float
    decision: Decision
    reasons: tuple[str, ...]


def _mean_exp(logs: tuple[float, ...]) -> float:
    """Mean of exp(logs), capped far above any bar so that it stays finite."""
    return sum(math.exp(min(value, 300.0)) for value in logs) / len(logs)


def _bet(logs: tuple[float, ...], factors: list[float]) -> tuple[float, ...]:
    """Multiply each running product by its factor, in logarithms; a lost product stays lost."""
    return tuple(
        log + (math.log(factor) if factor > 0 else -math.inf)
        for log, factor in zip(logs, factors, strict=True)
    )


def _share(ratio: float, arm_share: float) -> float:
    """Share of errors that fall on the canary when its odds of failing are ``ratio`` times the stable's."""
    return ratio * arm_share / (1 + arm_share * (ratio - 1))


@dataclass(slots=True, kw_only=True)
class ErrorShareTest(Record):
    """Whether the canary's share of each window's errors is larger than its share of requests.

    Per window with K errors in all, k of them on the canary, and s the canary's share of requests,
    ``e(r) = 1 + lambda_r (k/K - s)`` with ``lambda_r = (r-1) / (1 + s (r-1))``; the e-value is the mean
    over :data:`WORSE_RATIOS` of the running products. Valid under any peeking, errors that come in
    clusters inside a window, changing weights and outages shared by both arms. Never reset between
    steps. The reverse bets test "odds ratio >= 2" and allow to advance.

    >>> test = ErrorShareTest(alpha=0.05)
    >>> test.update(10, 0, 190, 1).decision.value
    'continue'
    >>> for _ in range(3):
    ...     evidence = test.update(10, 2, 190, 0)
    >>> evidence.decision.value, evidence.e_value > 20
    ('rollback', True)
    """

    alpha: float = 0.05
    worse_logs: tuple[float, ...] = field(default=(0.0,) * len(WORSE_RATIOS))
    harmless_logs: tuple[float, ...] = field(default=(0.0,) * len(HARMLESS_RATIOS))

    @property
    def e_value(self) -> float:
        """Evidence that the canary is worse."""
        return _mean_exp(self.worse_logs)

    @property
    def harmless_e_value(self) -> float:
        """Evidence that the canary's odds of failing are below twice the stable's."""
        return _mean_exp(self.harmless_logs)

    def update(
        self, canary_requests: int, canary_errors: int, stable_requests: int, stable_errors: int
    ) -> Evidence:
        """Take one window into account and conclude.

        :raises InvalidRecordError: more errors than requests, or a negative count.
        """
        self.observe(
            Window(
                canary_requests=canary_requests,
                canary_errors=canary_errors,
                stable_requests=stable_requests,
                stable_errors=stable_errors,
            )
        )
        return self.conclude()

    def observe(self, window: Window) -> None:
        """Bet on one window; one without errors, or with one arm only, says nothing about shares."""
        errors = window.canary_errors + window.stable_errors
        requests = window.canary_requests + window.stable_requests
        if errors == 0 or 0 in (window.canary_requests, window.stable_requests):
            return
        share, seen = window.canary_requests / requests, window.canary_errors / errors
        self.worse_logs = _bet(
            self.worse_logs, [_factor(share, _share(r, share), seen) for r in WORSE_RATIOS]
        )
        tolerated = _share(TOLERATED_RATIO, share)
        self.harmless_logs = _bet(
            self.harmless_logs, [_factor(tolerated, _share(r, share), seen) for r in HARMLESS_RATIOS]
        )

    def conclude(self) -> Evidence:
        """Say what the windows so far mean."""
        bar = 1 / self.alpha
        if self.e_value >= bar:
            why = f"canary fails more than stable: e-value {self.e_value:.3g}, rolls back at {bar:g}"
            return Evidence(e_value=self.e_value, decision=Decision.ROLL_BACK, reasons=(why,))
        if self.harmless_e_value >= bar:
            why = f"odds of failing below {TOLERATED_RATIO:g} x stable's: e-value {self.harmless_e_value:.3g}"
            return Evidence(e_value=self.e_value, decision=Decision.ADVANCE, reasons=(why,))
        why = f"e-value {self.e_value:.3g} of {bar:g}; harmless {self.harmless_e_value:.3g} of {bar:g}"
        return Evidence(e_value=self.e_value, decision=Decision.CONTINUE, reasons=(why,))


def _factor(null_share: float, bet_share: float, seen: float) -> float:
    """Likelihood-ratio bet on a share in [0, 1]; its mean is at most 1 under the null."""
    return seen * bet_share / null_share + (1 - seen) * (1 - bet_share) / (1 - null_share)


@dataclass(slots=True, kw_only=True)
class ErrorRateTest(Record):
    """Whether the canary's error rate is below (or above) a fixed allowance.

    Mean likelihood ratio of lower (higher) odds of failing against the allowance itself. It assumes
    that requests fail independently at a rate; unlike the share test it is not proof against clustered
    errors, so it only lets a healthy canary advance, and judges alone only where no stable arm exists.

    :param allowed: share of failed requests, (0, 1).
    """

    allowed: float
    below_logs: tuple[float, ...] = field(default=(0.0,) * len(LOWER_ODDS))
    above_logs: tuple[float, ...] = field(default=(0.0,) * len(HIGHER_ODDS))

    @property
    def below_e_value(self) -> float:
        """Evidence that the error rate is below the allowance."""
        return _mean_exp(self.below_logs)

    @property
    def above_e_value(self) -> float:
        """Evidence that the error rate is above the allowance."""
        return _mean_exp(self.above_logs)

    def observe(self, window: Window) -> None:
        """Bet on one window of the canary's requests."""
        self.below_logs = self._add(self.below_logs, LOWER_ODDS, window)
        self.above_logs = self._add(self.above_logs, HIGHER_ODDS, window)

    def _add(self, logs: tuple[float, ...], odds: tuple[float, ...], window: Window) -> tuple[float, ...]:
        failed, passed = window.canary_errors, window.canary_requests - window.canary_errors
        rates = [_share(ratio, self.allowed) for ratio in odds]
        return tuple(
            log + failed * math.log(rate / self.allowed) + passed * math.log((1 - rate) / (1 - self.allowed))
            for log, rate in zip(logs, rates, strict=True)
        )
