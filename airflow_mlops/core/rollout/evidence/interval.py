"""OddsRatioInterval: confidence sequence of the odds ratio of a bad answer, valid at all times."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence.betting import (
    bet,
    factor,
    highest_share,
    lowest_share,
    mean_exp,
    require_share,
)

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.evidence.share import ArmCounts

_RATIO_GRID = tuple(2.0 ** (step / 4) for step in range(-16, 17))
_BET_RATIOS = (1.25, 2.0, 5.0)


@dataclass(slots=True, kw_only=True)
class OddsRatioInterval(Record):
    """Confidence sequence for the odds ratio canary : stable of a bad answer, 1/16 to 16.

    Per ratio of a grid, two e-processes on the window's share of bad answers test "at most this ratio" and
    "at least this ratio". A ratio is in the interval while neither reaches 2/alpha. The true ratio is in the
    interval at all times with probability at least 1 - alpha (Howard et al. 2021 on confidence sequences), so
    an A/B test may stop as soon as 1 is outside.

    :param alpha: probability that the interval ever excludes the true ratio, (0, 1).

    >>> from airflow_mlops.core.rollout.evidence.share import ArmCounts
    >>> seen = OddsRatioInterval(alpha=0.05)
    >>> for _ in range(100):
    ...     seen.observe(ArmCounts(canary_requests=50, canary_errors=5, stable_requests=50, stable_errors=10))
    >>> low, high = seen.bounds
    >>> round(low, 2), round(high, 2), seen.excludes_one
    (0.35, 0.71, True)
    """

    alpha: float = 0.05
    above: tuple[tuple[float, ...], ...] = ((0.0,) * len(_BET_RATIOS),) * len(_RATIO_GRID)
    below: tuple[tuple[float, ...], ...] = ((0.0,) * len(_BET_RATIOS),) * len(_RATIO_GRID)

    def __post_init__(self) -> None:
        """Refuse an alpha outside (0, 1)."""
        require_share("alpha", self.alpha)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest ratio that is not excluded; 0 and infinity at the ends of the grid."""
        low, high = (
            self._excluded(_RATIO_GRID, self.above),
            self._excluded(_RATIO_GRID[::-1], self.below[::-1]),
        )
        return (low[-1] if low else 0.0), (high[-1] if high else float("inf"))

    @property
    def excludes_one(self) -> bool:
        """Whether the arms are shown to differ."""
        low, high = self.bounds
        return low >= 1 or high <= 1

    def _excluded(self, ratios: tuple[float, ...], logs: tuple[tuple[float, ...], ...]) -> list[float]:
        """Return the ratios excluded without a gap, starting from one end.

        Then only the one next to the true ratio can be excluded wrongly: no correction for the grid's size.
        """
        shown = takewhile(lambda pair: mean_exp(pair[1]) >= 2 / self.alpha, zip(ratios, logs, strict=True))
        return [ratio for ratio, _ in shown]

    def observe(self, window: ArmCounts) -> None:
        """Bet on one window; one without bad answers, or with one arm only, changes nothing."""
        asked, others = window.canary_requests, window.stable_requests
        errors = window.canary_errors + window.stable_errors
        if 0 in (errors, asked, others):
            return
        seen, counts = window.canary_errors / errors, (asked, others, errors)
        self.above = tuple(
            _bet_above(logs, r, counts, seen) for r, logs in zip(_RATIO_GRID, self.above, strict=True)
        )
        self.below = tuple(
            _bet_below(logs, r, counts, seen) for r, logs in zip(_RATIO_GRID, self.below, strict=True)
        )

    def sentence(self) -> str:
        """Return the interval as text."""
        low, high = self.bounds
        return (
            f"odds ratio canary : stable between {low:.3g} and {high:.3g} ({1 - self.alpha:.0%} at any time)"
        )


def _bet_above(
    logs: tuple[float, ...], ratio: float, counts: tuple[int, int, int], seen: float
) -> tuple[float, ...]:
    null = highest_share(ratio, *counts)
    return bet(logs, [_fair(null, highest_share(ratio * times, *counts), seen) for times in _BET_RATIOS])


def _bet_below(
    logs: tuple[float, ...], ratio: float, counts: tuple[int, int, int], seen: float
) -> tuple[float, ...]:
    null = lowest_share(ratio, *counts)
    return bet(logs, [_fair(null, lowest_share(ratio / times, *counts), seen) for times in _BET_RATIOS])


def _fair(null: float, claim: float, seen: float) -> float:
    """Return the factor of a bet, 1 where the null share is exactly 0 or 1."""
    return factor(null, claim, seen) if 0 < null < 1 else 1.0
