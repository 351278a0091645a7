"""ValidationPolicy: the limits a candidate has to meet; loads no arithmetic."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.metrics.registry import POINTS_DROP, check_bar, check_metric, is_loss
from airflow_mlops.core.validation.security.security import PoisoningPolicy
from airflow_mlops.core.verdict import Outcome

BEST_ANCHOR = "best"
_ANCHOR = re.compile(r"best|[1-9]\d*d?")
_FREE_TRIES = 30.0


class OnUnusableChampion(StrEnum):
    """What follows when the champion cannot score the held-back rows."""

    STOP = "stop"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePolicy(Record):
    """Search for weak segments beyond the declared ones (slice discovery).

    :param metric: a mean over rows; empty for the first such of the margins, else log loss or squared error.
    :param max_drop: allowed mean loss against the champion, in that metric's unit; a slice is weak if its
        mean loss is significantly greater. ``None``: 0.02 of a metric in points (1 is perfect), of any other
        5 % of the champion's value on all rows.
    :param columns: features to search; empty for all.
    :param depth: conditions of a slice, 1 or 2.
    :param min_rows: smaller slices are not searched.
    :param values: a text column with more values is left out; numbers are cut at quartiles.
    :param outcome: of a weak slice: ``warn`` or ``fail``.
    """

    metric: str = ""
    max_drop: float | None = None
    columns: tuple[str, ...] = ()
    depth: int = 2
    min_rows: int = 200
    values: int = 20
    outcome: Outcome = Outcome.WARN

    @property
    def allowed(self) -> float:
        """The drop that was configured; 0.02, as of a metric in points, where none was."""
        return POINTS_DROP if self.max_drop is None else self.max_drop

    def __post_init__(self) -> None:
        """Refuse a search that makes no sense."""
        if self.metric:
            check_metric(self.metric)
        if (
            self.depth not in (1, 2)
            or not 0 <= (self.max_drop or 0.0) < math.inf
            or self.min_rows < 20
            or self.values < 2
        ):
            msg = (
                f"validate.slices: depth {self.depth}, max_drop {self.max_drop}, min_rows {self.min_rows}, "
                f"values {self.values}; allowed: 1 or 2, 0 or more, 20 or more, 2 or more"
            )
            raise InvalidConfigError(msg)
        if self.outcome not in (Outcome.WARN, Outcome.FAIL):
            msg = f"validate.slices.outcome: {self.outcome}, allowed: warn, fail"
            raise InvalidConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessPolicy(Record):
    """How far a metric may differ between the groups of a column.

    :param limit: greatest allowed difference between two groups, in the metric's unit.
    """

    column: str
    metric: str
    limit: float

    def __post_init__(self) -> None:
        """Refuse a limit outside the metric's range."""
        check_bar(f"validate.fairness.{self.column}", self.metric, self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPolicy(Record):
    """How well probabilities must be calibrated.

    :param ece: greatest expected calibration error, (0, 1]; ``None`` for no limit.
    :param in_the_large: greatest absolute difference of mean probability and observed share.
    :param bins: bins of equal mass for the expected calibration error.
    """

    ece: float | None = None
    in_the_large: float | None = None
    bins: int = 10

    def __post_init__(self) -> None:
        """Refuse limits outside their range."""
        limits = [limit for limit in (self.ece, self.in_the_large) if limit is not None]
        if not limits or any(not 0 < limit <= 1 for limit in limits) or self.bins < 2:
            msg = (
                f"validate.calibration: ece {self.ece}, in_the_large {self.in_the_large}, bins {self.bins}; "
                "allowed: at least one limit in (0, 1], 2 bins or more"
            )
            raise InvalidConfigError(msg)


def alpha_of_try(alpha: float, number: int) -> float:
    """Return the significance level of one of several tries on the same held-back rows (alpha spending).

    The first has all of ``alpha``, the k-th a share of 1 / (k (k - 1)): all later ones together have another
    ``alpha``, however many there are.

    :param number: 1 for the first try.
    """
    return alpha if number <= 1 else alpha / (number * (number - 1))


def alpha_against_anchor(alpha: float, number: int) -> float:
    """Return the significance level of one of several comparisons with the same anchor, on whatever rows.

    Each try on new rows has all of ``alpha`` against the champion; against the anchor tries add up, for a
    loss once accepted stays. From the tenth comparison on the level shrinks as 30 / k**1.5, of finite sum.

    :param number: 1 for the first comparison with it.
    """
    return alpha * min(1.0, _FREE_TRIES / math.pow(number, 1.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationPolicy(Record):
    """What "good enough to challenge the champion" means: non-inferiority margins, floors and further limits.

    :param margin: per metric, how much worse than the champion is still accepted, in the metric's unit, >= 0.
    :param relative_margin: the same as a share of the champion's absolute value, >= 0.
    :param floor: per metric of which more is better, the least acceptable value, which the candidate's
        confidence bound must clear; ``ceiling``: the greatest of a loss.
    :param max_segment_drop: margin inside each declared segment, in the metric's unit, for the metrics of
        ``margin``; those of ``relative_margin`` keep their own. ``None``: 0.02 of a metric in points (1 is
        perfect), of any other 5 % of the champion's value in the segment.
    :param min_segment_rows: smaller segments are "too small to tell": a warning, and judged together.
    :param min_class_rows: so are those with fewer rows of a class or of those called, or fewer entities.
    :param alpha: significance level: the probability to accept a candidate that is worse by exactly a margin,
        (0, 0.5]. It holds for the first try on a set of held-back rows; see :func:`alpha_of_try`.
    :param total_margin: how many margins all promotions together may lose against the best earlier champion
        (the anchor), 1 or more.
    :param anchor: ``best``: the best earlier champion; ``90d``: the best of those that served in the last 90
        days; or the number of a version.
    :param resamples: bootstrap resamples.
    :param entity: columns that identify a cluster, whose rows are drawn together, e.g. the customer.
    :param query: column of the query a row answers, for ranking metrics.
    """

    margin: dict[str, float] = field(default_factory=lambda: {"roc_auc": 0.005})
    relative_margin: dict[str, float] = field(default_factory=dict)
    floor: dict[str, float] = field(default_factory=dict)
    max_segment_drop: float | None = None
    min_segment_rows: int = 200
    min_class_rows: int = 20
    alpha: float = 0.05
    resamples: int = 2000
    seed: int = 20130101
    entity: tuple[str, ...] = ()
    query: str = ""
    slices: SlicePolicy | None = SlicePolicy()
    fairness: tuple[FairnessPolicy, ...] = ()
    calibration: CalibrationPolicy | None = None
    poisoning: PoisoningPolicy | None = None
    on_unusable_champion: OnUnusableChampion = OnUnusableChampion.STOP
    total_margin: float = 1.0
    ceiling: dict[str, float] = field(default_factory=dict)
    anchor: str = BEST_ANCHOR

    def __post_init__(self) -> None:
        """Refuse limits outside their range."""
        _require_margins(self.total_margin)
        if not _ANCHOR.fullmatch(self.anchor):
            msg = f"validate.anchor: {self.anchor!r}, allowed: best, days such as 90d, or a version such as 7"
            raise InvalidConfigError(msg)
        if not self.metrics:
            msg = "validate.margin: empty, allowed: at least one metric with its margin"
            raise InvalidConfigError(msg)
        for name, value in self.margin.items():
            check_bar("validate.margin", name, value)
            check_bar("validate", "max_segment_drop", self.max_segment_drop or 0.0)
        _require_bars("floor", self.floor)
        _require_bars("ceiling", self.ceiling)
        for name, value in self.relative_margin.items():
            if not 0 <= value <= 1:
                msg = f"validate.relative_margin.{name}: {value:g}, allowed: a share from 0 to 1"
                raise InvalidConfigError(msg)
        for name, is_meant, allowed in (
            ("min_segment_rows", self.min_segment_rows >= 1, "1 or more"),
            ("min_class_rows", self.min_class_rows >= 2, "2 or more"),
            ("alpha", 0 < self.alpha <= 0.5, "above 0 up to 0.5"),
            ("resamples", self.resamples >= 100, "100 or more"),
        ):
            if not is_meant:
                msg = f"validate.{name}: {getattr(self, name)}, allowed: {allowed}"
                raise InvalidConfigError(msg)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics compared with champion and baseline."""
        return tuple(dict.fromkeys((*self.margin, *self.relative_margin)))

    @property
    def measured(self) -> tuple[str, ...]:
        """Metrics whose value the report holds: those compared, and those with a floor or a ceiling."""
        return tuple(dict.fromkeys((*self.metrics, *self.floor, *self.ceiling)))

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """Every metric the policy names."""
        return tuple(dict.fromkeys((*self.measured, *(rule.metric for rule in self.fairness))))


def _require_bars(where: str, bars: dict[str, float]) -> None:
    for name, value in bars.items():
        check_bar(f"validate.{where}", name, value, least=-math.inf)
        check_side(where, name, is_loss=is_loss(name))


def check_side(where: str, name: str, *, is_loss: bool | None) -> None:
    """Accept a floor of what more is better, a ceiling of what less is better; ``None``: not known.

    :raises InvalidConfigError: the other way round.
    """
    if is_loss is None or is_loss == (where == "ceiling"):
        return
    better, other = ("less", "ceiling") if is_loss else ("more", "floor")
    msg = f"validate.{where}.{name}: {better} is better, allowed: metrics of which "
    msg += f"{'more' if is_loss else 'less'} is better; give it a {other}"
    raise InvalidConfigError(msg)


def _require_margins(number: float) -> None:
    if not 1 <= number < math.inf:
        msg = f"validate.total_margin: {number:g} margins, allowed: 1 or more"
        raise InvalidConfigError(msg)
