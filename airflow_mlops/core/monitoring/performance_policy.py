"""PerformancePolicy: how much worse than at validation the champion may do in production."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.metrics.names import CUT, QUERIES, SCORER, check_metric


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformancePolicy(Record):
    """Bars for the champion in production.

    :param metric: name of a metric; not one of ranking, for logged requests name no query.
    :param max_drop: how much worse than at validation is accepted, in the metric's unit, >= 0.
    :param min_rows: fewer labelled requests decide nothing.
    :param max_missing: more labelled requests than this share without a usable prediction decide nothing.
    :param alpha: chance to call a champion degraded that is not, (0, 0.5].
    """

    metric: str = "roc_auc"
    max_drop: float = 0.02
    min_rows: int = 200
    max_missing: float = 0.05
    alpha: float = 0.05
    resamples: int = 1000
    seed: int = 20130101

    def __post_init__(self) -> None:
        """Refuse bars that cannot be meant."""
        check_metric(self.metric)
        if self.metric in QUERIES or CUT.fullmatch(self.metric) or self.metric.startswith(SCORER):
            msg = f"monitor.metric {self.metric!r}: allowed are metrics of single rows, e.g. roc_auc, f1, mae"
            raise InvalidConfigError(msg)
        for name, is_meant, allowed in (
            ("max_drop", self.max_drop >= 0, "0 or more"),
            ("min_rows", self.min_rows >= 1, "1 or more"),
            ("max_missing", 0 <= self.max_missing < 1, "[0, 1)"),
            ("alpha", 0 < self.alpha <= 0.5, "(0, 0.5]"),
        ):
            if not is_meant:
                msg = f"monitor.{name}: {getattr(self, name)}, allowed: {allowed}"
                raise InvalidConfigError(msg)
