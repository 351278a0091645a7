"""Rollout report as HTML: plots over a common time axis; coordinates are units of an SVG viewBox."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.reporting.chart import time_ticks
from airflow_mlops.backends.reporting.page import render
from airflow_mlops.core.rollout.plan import RolloutMetric
from airflow_mlops.core.rollout.state import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_mlops.core.rollout.history import RolloutHistory, StepHistory
    from airflow_mlops.core.rollout.state import TracePoint

PLOT_WIDTH, PLOT_HEIGHT, PLOT_TOP = 1000, 150, 18
MOST_POINTS = 60
"""Maximum points of a line; adjacent windows are merged."""
_LEAST_EXPONENT, _BEYOND_BAR = -2.0, 1.0
_LEAST_SHARE = 0.01
"""The failure axis shows at least 1 %, so that a healthy canary's noise does not look alarming."""
_ERRORS, _HARMLESS, _ALONE = str(RolloutMetric.ERRORS), "harmless", "alone"
_LABEL_GAP = 40
_DECISIONS = {
    Phase.PASSED: "advanced",
    Phase.ROLLED_BACK: "rolled back",
    Phase.HELD: "held",
    Phase.WAITING_FOR_APPROVAL: "waited for approval",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A decision's position on the time axis."""

    x: float
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A step on the time axis.

    :param asked: start of waiting for a person; ``None`` if it did not wait.
    :param y: height of its weight.
    :param labelled: whether there is room for the label of its weight.
    """

    begins: float
    ends: float
    asked: float | None
    percent: int
    y: float
    labelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlots:
    """SVG paths of the plots; empty without data.

    :param evidence: path per test that can roll back or pause, and ``harmless``.
    :param bar: height of the e-value that rolls back; ``advance_bar`` of the one that allows advancing.
    :param top_share: share of failed requests at the top of the plot of failures.
    :param top_rate: requests per second at the top of the plot of requests.
    :param ticks: (x, text) along the time axis.
    """

    weights: str
    stretches: tuple[Stretch, ...]
    evidence: dict[str, str]
    bar: float
    advance_bar: float
    failures: dict[str, str]
    top_share: float
    rates: dict[str, str]
    top_rate: float
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]


def render_rollout(history: RolloutHistory) -> str:
    """Return the report as HTML; names and reasons are escaped."""
    return render("rollout.html.j2", history=history, **drawn(history))


def drawn(history: RolloutHistory) -> dict[str, Any]:
    """Return the template values of the plots and the table of steps."""
    size = (PLOT_WIDTH, PLOT_HEIGHT)
    return {"plots": plots_of(history), "words": _DECISIONS, "size": size}


def plots_of(history: RolloutHistory) -> RolloutPlots:
    """Lay out the plots of a rollout."""
    began = min((step.began for step in history.steps), default=history.ended)
    span = max(history.ended - began, 1.0)
    points = [point for step in history.steps for point in step.trace]
    top = math.log10(max(history.bar, history.advance_bar)) + _BEYOND_BAR

    def x(at: float) -> float:
        return round(min(max((at - began) / span, 0.0), 1.0) * PLOT_WIDTH, 1)

    def power(e_value: float) -> float:
        return _height((_exponent(e_value) - _LEAST_EXPONENT) / (top - _LEAST_EXPONENT))

    arms = ("stable", "canary") if history.champion else ("canary",)
    shares, top_share = _scaled({arm: _shares(points, arm, x) for arm in arms}, _LEAST_SHARE)
    rates, top_rate = _scaled({arm: _rates(history, arm, x) for arm in arms}, 1.0)
    return RolloutPlots(
        weights=_weights(history, x),
        stretches=_stretches(history, x),
        evidence={
            name: _line([(x(p.at), power(value)) for p, value in series])
            for name, series in _tests(points).items()
        },
        bar=power(history.bar),
        advance_bar=power(history.advance_bar),
        failures=shares,
        top_share=top_share,
        rates=rates,
        top_rate=top_rate,
        ticks=tuple((x(at), text) for at, text in time_ticks(began, history.ended)),
        marks=tuple(Mark(x=x(step.ended), number=i) for i, step in enumerate(history.steps, start=1)),
    )


def _tests(points: Sequence[TracePoint]) -> dict[str, list[tuple[TracePoint, float]]]:
    """Return (point, e-value) per test; without a stable arm there is no error-share test."""
    found: dict[str, list[tuple[TracePoint, float]]] = {}
    for point in points:
        values = {**point.others, _HARMLESS: point.harmless}
        if _ALONE not in values:
            values = {_ERRORS: point.e_value, **values}
        for name, value in values.items():
            if name != _HARMLESS or value > 0:
                found.setdefault(name, []).append((point, value))
    return found


def _weights(history: RolloutHistory, x: Callable[[float], float]) -> str:
    final = _height(1.0 if history.promoted else 0.0)
    rises = [f"H{x(step.began)} V{_height(step.percent / 100)}" for step in history.steps]
    last = [f"H{x(step.ended)}" for step in history.steps[-1:]]
    return " ".join([f"M0,{_height(0.0)}", *rises, *last, f"V{final} H{PLOT_WIDTH}"])


def _stretches(history: RolloutHistory, x: Callable[[float], float]) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(
            begins=x(step.began),
            ends=x(step.ended),
            asked=None if step.asked is None else x(step.asked),
            percent=step.percent,
            y=_height(step.percent / 100),
            labelled=x(step.ended) - x(step.began) >= _LABEL_GAP,
        )
        for step in history.steps
    )


def _binned(points: Sequence[TracePoint], most: int) -> list[Sequence[TracePoint]]:
    """Split points into at most ``most`` consecutive groups of about equal size."""
    parts = min(most, len(points))
    edges = [round(len(points) * part / parts) for part in range(parts + 1)] if parts else [0]
    return [points[begins:ends] for begins, ends in pairwise(edges)]


def _shares(points: Sequence[TracePoint], arm: str, x: Callable[[float], float]) -> list[tuple[float, float]]:
    """Return (position, share of failed requests) of groups of windows that have requests."""
    found = []
    for part in _binned(points, MOST_POINTS):
        asked = sum(getattr(point.window, f"{arm}_requests") for point in part)
        failed = sum(getattr(point.window, f"{arm}_errors") for point in part)
        if asked:
            found.append((x(part[-1].at), failed / asked))
    return found


def _rates(history: RolloutHistory, arm: str, x: Callable[[float], float]) -> list[tuple[float, float]]:
    """Return (position, requests per second) of groups of windows, step by step."""
    found = []
    most = max(1, MOST_POINTS // max(1, len(history.steps)))
    for step in history.steps:
        since = _counted_since(step)
        for part in _binned(step.trace, most):
            asked = sum(getattr(point.window, f"{arm}_requests") for point in part)
            rate = asked / max(part[-1].at - since, 1e-9)
            found += [(x(since), rate), (x(part[-1].at), rate)]
            since = part[-1].at
    return found


def _counted_since(step: StepHistory) -> float:
    """Return the start of a step's first window, assuming the length of the second one."""
    if len(step.trace) < 2:
        return step.began
    first, second = step.trace[:2]
    return max(step.began, 2 * first.at - second.at)


def _scaled(arms: dict[str, list[tuple[float, float]]], least: float) -> tuple[dict[str, str], float]:
    """Return the paths of both arms on one scale, and the value at its top."""
    top = max([least, *(value for places in arms.values() for _, value in places)])
    return {
        arm: _line([(place, _height(value / top)) for place, value in places]) for arm, places in arms.items()
    }, top


def _line(places: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x},{y}" for x, y in places) if places else ""


def _height(share: float) -> float:
    return round(PLOT_HEIGHT - min(max(share, 0.0), 1.0) * (PLOT_HEIGHT - PLOT_TOP), 1)


def _exponent(e_value: float) -> float:
    return max(math.log10(e_value), _LEAST_EXPONENT) if e_value > 0 else _LEAST_EXPONENT
