"""ErrorRateTest: whether the canary's failed share of a window is below, or above, a fixed allowance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.betting import bet, mean_exp

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.evidence import Window

BELOW_STAKES = (0.95, 0.6)
ABOVE_STAKES = (0.02, 0.05, 0.1, 0.25, 0.5)


@dataclass(slots=True, kw_only=True)
class ErrorRateTest(Record):
    """Whether the canary's failed share of a window is below (or above) a fixed allowance on average.

    With x the failed share of the canary's requests in a window and m the allowance, wealth is
    multiplied by ``1 + l (m - x)``, ``l`` up to ``1/(1-m)``, resp. ``1 + l (x - m)``, ``l`` up to
    ``1/m``. Errors may come in any clusters inside a window; a window counts once, however many
    requests it holds. So clean windows show a rate below 2 % after about 180, below 5 % after about 70.
    It lets a healthy canary advance, and judges alone only where no stable arm answers.

    :param allowed: share of failed requests, (0, 1).

    >>> from airflow_mlops.core.rollout.evidence import Window
    >>> test = ErrorRateTest(allowed=0.05)
    >>> for _ in range(75):
    ...     test.observe(Window(canary_requests=9, canary_errors=0, stable_requests=0, stable_errors=0))
    >>> test.below_e_value > 20, test.above_e_value < 1
    (True, True)
    """

    allowed: float
    below_logs: tuple[float, ...] = field(default=(0.0,) * len(BELOW_STAKES))
    above_logs: tuple[float, ...] = field(default=(0.0,) * len(ABOVE_STAKES))

    @property
    def below_e_value(self) -> float:
        """Evidence that the error rate is below the allowance."""
        return mean_exp(self.below_logs)

    @property
    def above_e_value(self) -> float:
        """Evidence that the error rate is above the allowance."""
        return mean_exp(self.above_logs)

    def observe(self, window: Window) -> None:
        """Bet on one window; one in which the canary answered nothing says nothing."""
        if window.canary_requests == 0:
            return
        below = self.allowed - window.canary_errors / window.canary_requests
        lower, higher = below / (1 - self.allowed), -below / self.allowed
        self.below_logs = bet(self.below_logs, [1 + stake * lower for stake in BELOW_STAKES])
        self.above_logs = bet(self.above_logs, [1 + stake * higher for stake in ABOVE_STAKES])
