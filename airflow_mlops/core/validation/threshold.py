"""ValidationPolicy: the bars a candidate has to clear."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationPolicy(Record):
    """What "good enough to challenge the champion" means.

    :param margin: per metric, how much worse than the champion is still accepted, in the metric's unit, >= 0.
    :param floor: per metric, the business bar that the candidate's confidence bound must clear.
    :param max_segment_drop: margin inside each declared segment, for the metrics of ``margin``.
    :param min_segment_rows: smaller segments are "too small to tell" and decide nothing.
    :param alpha: chance to accept a candidate that is worse by exactly a margin, (0, 0.5].
    :param resamples: bootstrap resamples.
    """

    margin: dict[str, float] = field(default_factory=lambda: {"roc_auc": 0.005})
    floor: dict[str, float] = field(default_factory=dict)
    max_segment_drop: float = 0.02
    min_segment_rows: int = 200
    alpha: float = 0.05
    resamples: int = 1000
    seed: int = 20130101

    def __post_init__(self) -> None:
        """Refuse bars that cannot be meant."""
        if not self.margin:
            msg = "validate.margin: empty, allowed: at least one metric with its margin"
            raise InvalidConfigError(msg)
        for name, value in (*self.margin.items(), ("max_segment_drop", self.max_segment_drop)):
            if value < 0:
                msg = f"validate.{name}: margin {value}, allowed: 0 or more"
                raise InvalidConfigError(msg)
        if not 0 < self.alpha <= 0.5 or self.resamples < 100:
            msg = (
                f"validate: alpha {self.alpha}, resamples {self.resamples}; allowed: (0, 0.5] and 100 or more"
            )
            raise InvalidConfigError(msg)
