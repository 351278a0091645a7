"""PerformancePolicy: how much worse than at validation the champion may perform in production."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.metrics.registry import (
    SCORER_PREFIX,
    Family,
    check_metric,
    traits_of,
    usual_drop,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformancePolicy(Record):
    """Limits for the champion in production.

    :param metric: name of a metric; not a retrieval metric, for logged requests name no query.
    :param max_drop: how much worse than at validation is accepted, in the metric's unit, >= 0. ``None``: 0.02
        of a metric in points (1 is perfect), of any other 5 % of the value at validation.
    :param min_rows: fewer labelled requests are inconclusive.
    :param min_class_rows: fewer requests of a class that the metric rests on are inconclusive.
    :param max_missing: share of labelled requests without a usable prediction above which it is inconclusive.
    :param max_unlabelled: share of the predictions without a label up to which they are taken to be as the
        others are, unless their scores differ, [0, 1].
    :param alpha: significance level: probability to ever call a champion degraded that did not change, over
        all its windows; of one window by itself, to call it worse by more than allowed, (0, 0.5].
    """

    metric: str = "roc_auc"
    max_drop: float | None = None
    min_rows: int = 200
    min_class_rows: int = 20
    max_missing: float = 0.05
    max_unlabelled: float = 0.02
    alpha: float = 0.05
    resamples: int = 1000
    seed: int = 20130101

    def __post_init__(self) -> None:
        """Refuse limits outside their range, and metrics that need more than single rows."""
        check_metric(self.metric)
        if not is_of_single_rows(self.metric):
            msg = f"monitor.metric {self.metric!r}: allowed are metrics of single rows, e.g. roc_auc, f1, mae"
            raise InvalidConfigError(msg)
        for name, is_meant, allowed in (
            ("max_drop", 0 <= (self.max_drop or 0.0) < math.inf, "0 or more"),
            ("min_rows", self.min_rows >= 1, "1 or more"),
            ("min_class_rows", self.min_class_rows >= 1, "1 or more"),
            ("max_missing", 0 <= self.max_missing < 1, "[0, 1)"),
            ("max_unlabelled", 0 <= self.max_unlabelled <= 1, "[0, 1]"),
            ("alpha", 0 < self.alpha <= 0.5, "above 0 up to 0.5"),
        ):
            if not is_meant:
                msg = f"monitor.{name}: {getattr(self, name)}, allowed: {allowed}"
                raise InvalidConfigError(msg)

    def allowed(self, promised: float) -> float:
        """Return the drop that is accepted below a value at validation."""
        return usual_drop(self.metric, promised) if self.max_drop is None else self.max_drop


def is_of_single_rows(metric: str) -> bool:
    """Return whether requests that are logged one by one suffice for a metric."""
    traits = traits_of(metric)
    is_retrieval = traits is not None and traits.family is Family.RETRIEVAL
    return not is_retrieval and not metric.startswith(SCORER_PREFIX)
