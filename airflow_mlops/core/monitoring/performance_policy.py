"""PerformancePolicy: how much worse than at validation the champion may do in production."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformancePolicy(Record):
    """Bars for the champion in production.

    :param metric: name of a metric.
    :param max_drop: how much worse than at validation is accepted, in the metric's unit, >= 0.
    :param min_rows: fewer labelled requests decide nothing.
    :param alpha: chance to call a champion degraded that is not, (0, 0.5].
    """

    metric: str = "roc_auc"
    max_drop: float = 0.02
    min_rows: int = 200
    alpha: float = 0.05
    resamples: int = 1000
    seed: int = 20130101

    def __post_init__(self) -> None:
        """Refuse bars that cannot be meant."""
        if self.max_drop < 0 or self.min_rows < 1 or not 0 < self.alpha <= 0.5:
            msg = (
                f"monitor: max_drop {self.max_drop}, min_rows {self.min_rows}, alpha {self.alpha}; "
                "allowed: 0 or more, 1 or more, (0, 0.5]"
            )
            raise InvalidConfigError(msg)
