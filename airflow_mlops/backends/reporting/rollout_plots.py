"""Geometry of the rollout report: weights, evidence and failures over one time axis, in viewBox units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.backends.reporting.page import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_mlops.core.rollout.history import RolloutHistory
    from airflow_mlops.core.rollout.state import TracePoint

WIDTH, HEIGHT, TOP = 1000, 150, 18
LEAST_EXPONENT = -2.0
BINS = 60
LEAST_SHARE = 0.01
"""The axis of failures shows 1 % at least: noise of a healthy canary is not to look like a fire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A decision at a place of the time axis."""

    x: float
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlots:
    """Paths of the three plots; empty where nothing was seen.

    :param bar: height of the e-value that rolls back.
    :param top_exponent: power of ten at the top of the plot of evidence.
    :param top_share: share of failed requests at the top of the plot of failures.
    :param ticks: (x, text) along the time axis.
    """

    weights: str
    evidence: str
    canary: str
    stable: str
    bar: float
    top_exponent: float
    top_share: float
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]


def plots_of(history: RolloutHistory) -> RolloutPlots:
    """Draw a rollout."""
    began = min((step.began for step in history.steps), default=history.ended)
    span = max(history.ended - began, 1.0)
    points = [point for step in history.steps for point in step.trace]
    top_exponent = max(math.log10(history.bar) + 0.5, *(_exponent(p.e_value) for p in points), 0.0)

    def x(at: float) -> float:
        return round(min(max((at - began) / span, 0.0), 1.0) * WIDTH, 1)

    def power(exponent: float) -> float:
        return _height((exponent - LEAST_EXPONENT) / (top_exponent - LEAST_EXPONENT))

    shares = {arm: _shares(points, arm, x) for arm in ("canary", "stable")}
    top_share = max([LEAST_SHARE, *(share for arm in shares.values() for _, share in arm)])
    return RolloutPlots(
        weights=_weights(history, x),
        evidence=_line([(x(p.at), power(_exponent(p.e_value))) for p in points]),
        canary=_line([(place, _height(share / top_share)) for place, share in shares["canary"]]),
        stable=_line([(place, _height(share / top_share)) for place, share in shares["stable"]]),
        bar=power(math.log10(history.bar)),
        top_exponent=top_exponent,
        top_share=top_share,
        ticks=tuple((round(part * WIDTH, 1), duration(part * span)) for part in (0, 0.25, 0.5, 0.75, 1)),
        marks=tuple(Mark(x=x(step.ended), number=i) for i, step in enumerate(history.steps, start=1)),
    )


def _weights(history: RolloutHistory, x: Callable[[float], float]) -> str:
    final = _height(1.0 if history.promoted else 0.0)
    rises = [f"H{x(step.began)} V{_height(step.percent / 100)}" for step in history.steps]
    last = [f"H{x(step.ended)}" for step in history.steps[-1:]]
    return " ".join([f"M0,{_height(0.0)}", *rises, *last, f"V{final} H{WIDTH}"])


def _shares(points: Sequence[TracePoint], arm: str, x: Callable[[float], float]) -> list[tuple[float, float]]:
    """Return (place, share of failed requests) of neighbouring windows together, where any were answered."""
    size = max(1, math.ceil(len(points) / BINS))
    found = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        asked = sum(getattr(point.window, f"{arm}_requests") for point in part)
        failed = sum(getattr(point.window, f"{arm}_errors") for point in part)
        if asked:
            found.append((x(part[-1].at), failed / asked))
    return found


def _line(places: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x},{y}" for x, y in places) if places else ""


def _height(share: float) -> float:
    return round(HEIGHT - min(max(share, 0.0), 1.0) * (HEIGHT - TOP), 1)


def _exponent(e_value: float) -> float:
    return max(math.log10(e_value), LEAST_EXPONENT) if e_value > 0 else LEAST_EXPONENT
