"""PredictionShareTest: sequential test of equal prediction distributions in both arms."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence.betting import bet, factor, mean_exp, rate_share, require_share

RATIOS = (0.1, 0.2, 1 / 3, 0.5, 2 / 3, 0.8, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BinCounts(Record):
    """Number of predictions per arm and bin; both arms have the same bins."""

    canary: tuple[int, ...]
    stable: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse negative counts, and arms with different numbers of bins."""
        if len(self.canary) != len(self.stable) or not self.canary:
            msg = (
                f"prediction bins: {len(self.canary)} of canary, {len(self.stable)} of stable, allowed: equal"
            )
            raise InvalidRecordError(msg)
        if min((*self.canary, *self.stable)) < 0:
            msg = "prediction bins: negative count, allowed: 0 or more"
            raise InvalidRecordError(msg)


@dataclass(slots=True, kw_only=True)
class PredictionShareTest(Record):
    """Test whether the canary's share of each bin's predictions differs from its share of all predictions.

    Two-sided test by betting per bin. The e-value is the mean over bins and over :data:`RATIOS`: a mean of
    e-processes is an e-process, whatever the dependence between bins. A different distribution is not a
    fault by itself (a better model predicts differently): the rollout pauses for a person instead of rolling
    back.

    :param alpha: probability of a pause at any time while the distributions are equal, (0, 1).

    >>> test = PredictionShareTest(alpha=0.05)
    >>> for _ in range(25):
    ...     test.observe(BinCounts(canary=(30, 70), stable=(60, 40)))
    >>> test.differs, test.strangest_bin
    (True, 0)
    """

    alpha: float = 0.05
    logs: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        """Refuse an alpha outside (0, 1)."""
        require_share("alpha", self.alpha)

    @property
    def e_value(self) -> float:
        """Evidence that the distributions differ."""
        return mean_exp([log for of_bin in self.logs for log in of_bin]) if self.logs else 1.0

    @property
    def differs(self) -> bool:
        """Whether the e-value reaches 1/alpha."""
        return self.e_value >= 1 / self.alpha

    @property
    def strangest_bin(self) -> int:
        """Index of the bin with the most evidence, 0 before the first window."""
        return max(range(len(self.logs)), key=lambda i: max(self.logs[i]), default=0)

    def observe(self, counts: BinCounts) -> None:
        """Bet on one window.

        :raises InvalidRecordError: the number of bins changed.
        """
        logs = self.logs or ((0.0,) * len(RATIOS),) * len(counts.canary)
        if len(logs) != len(counts.canary):
            msg = f"prediction bins: {len(counts.canary)}, before: {len(logs)}; they may not change"
            raise InvalidRecordError(msg)
        canary, stable = sum(counts.canary), sum(counts.stable)
        if 0 in (canary, stable):
            return
        share = canary / (canary + stable)
        pairs = zip(logs, counts.canary, counts.stable, strict=True)
        self.logs = tuple(_bet_on_bin(*bin_, share) for bin_ in pairs)


def _bet_on_bin(logs: tuple[float, ...], canary: int, stable: int, share: float) -> tuple[float, ...]:
    if canary + stable == 0:
        return logs
    seen = canary / (canary + stable)
    return bet(logs, [factor(share, rate_share(ratio, share), seen) for ratio in RATIOS])
