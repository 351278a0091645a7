"""Plots of the update report: each metric of all models, and gains per segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.backends.reporting.chart import Forest, ForestValue, forest
from airflow_mlops.core.validation.metrics.registry import SHARE_METRICS
from airflow_mlops.core.validation.report import ComparisonAnswer
from airflow_mlops.core.validation.sample import BASELINE, CHAMPION

if TYPE_CHECKING:
    from airflow_mlops.core.validation.report import Comparison, Report, WeakSlice

_MOST_ROWS = 40
_FOUND = "found by search"
_UNITS = {
    "log_loss": "nats per row",
    "mae": "unit of the target",
    "rmse": "unit of the target",
    "mse": "squared unit of the target",
    "mape": "share of the target",
    "r2": "share of variance",
    "explained_variance": "share of variance",
    "matthews_corrcoef": "-1 to 1",
    "poisson_deviance": "deviance per row",
}
_FROM_0_TO_1 = SHARE_METRICS | {"brier"}
_WORST_FIRST = (
    ComparisonAnswer.WORSE,
    ComparisonAnswer.TOO_CLOSE,
    ComparisonAnswer.NOT_WORSE,
    ComparisonAnswer.BETTER,
    ComparisonAnswer.TOO_SMALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPlot:
    """Gains in one metric.

    :param looks: meanings of its marks, for the legend; ``left_out``: rows that only the JSON has.
    """

    metric: str
    forest: Forest
    looks: tuple[str, ...]
    left_out: int = 0


def unit_of(metric: str) -> str:
    """Return the unit of a metric."""
    name = metric.removeprefix("neg_")
    known = "0 to 1" if name in _FROM_0_TO_1 or name.startswith("ndcg@") else "the metric's own unit"
    return _UNITS.get(name, known)


def metric_plot(report: Report, metric: str, floor: float | None) -> Forest:
    """Lay out a metric of all compared models, and its floor.

    With a champion the baseline does not set the scale: a distant one would leave no room for the difference
    that matters, so it may lie outside the frame.
    """
    rivals = {one.model for one in report.values}
    estimates = [
        ForestValue(
            name=f"{one.model} (version {version})"
            if (version := report.versions.get(one.model))
            else one.model,
            words="no value" if one.value is None else f"{one.value:.4f}",
            look=one.model,
            value=one.value,
            lower=one.lower,
            upper=one.upper,
            limit=floor,
            sets_scale=one.model != BASELINE or CHAMPION not in rivals,
        )
        for one in report.values
        if one.metric == metric
    ]
    return forest(estimates, f"{metric} ({unit_of(metric)}){_direction(report, metric)}")


def _direction(report: Report, metric: str) -> str:
    """Return which direction is better, by the comparisons; empty if they do not show it."""
    for one in report.comparisons:
        if one.metric == metric and one.gain and one.challenger is not None and one.other is not None:
            return f"; {'more' if (one.challenger - one.other) * one.gain > 0 else 'less'} is better"
    return ""


def segment_plots(report: Report) -> list[SegmentPlot]:
    """Lay out the gains over the champion, overall and per segment; one plot per metric, worst rows first."""
    against = [one for one in report.comparisons if one.rival == CHAMPION]
    metrics = dict.fromkeys((*(one.metric for one in against), *(one.metric for one in report.weak_slices)))
    plots = []
    for metric in metrics:
        mine = sorted((one for one in against if one.metric == metric), key=_rank)
        weak = [one for one in report.weak_slices if one.metric == metric]
        if not weak and not any(one.segment for one in mine):
            continue
        estimates = [*(_declared(one) for one in mine[:_MOST_ROWS]), *(_found(one) for one in weak)]
        label = f"gain over the champion in {metric} ({unit_of(metric)}); right of 0 is better"
        plots.append(
            SegmentPlot(
                metric=metric,
                forest=forest(estimates, label, line=0.0),
                looks=tuple(dict.fromkeys(one.look for one in estimates)),
                left_out=max(0, len(mine) - _MOST_ROWS),
            )
        )
    return plots


def look_of(answer: ComparisonAnswer) -> str:
    """Return the CSS class of an answer."""
    return str(answer).partition(" to ")[0].replace(" ", "-")


def _rank(one: Comparison) -> tuple[bool, int, float]:
    return bool(one.segment), _WORST_FIRST.index(one.answer), one.lower or 0.0


def _declared(one: Comparison) -> ForestValue:
    decides = one.answer is not ComparisonAnswer.TOO_SMALL
    return ForestValue(
        name=one.segment or "all rows",
        words=f"{one.answer}, {one.rows:,} rows",
        look=look_of(one.answer),
        value=one.gain,
        lower=one.lower,
        upper=one.upper,
        limit=-one.allowed if decides else None,
        sets_scale=decides,
    )


def _found(one: WeakSlice) -> ForestValue:
    return ForestValue(
        name=one.name,
        words=f"{_FOUND}, {one.rows:,} rows",
        look="found",
        value=one.gain,
        lower=one.lower,
        upper=one.upper,
        limit=-one.allowed,
    )
