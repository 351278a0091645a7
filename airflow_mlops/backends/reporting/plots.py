"""Geometry of the report's plots: shapes in viewBox units, drawn by the template as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.skew.distributions import _OTHERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.skew.report import Distribution, EffectSize

WIDTH, HEIGHT = 320, 120
BINS = 32
HUGE = 1e290
"""Edges beyond are scaled down: their differences would overflow."""
ROW = 18
LABEL_CHARS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One pair of bars of a category: name, shares in words, widths in viewBox units.

    All others together have no bars: they would dwarf the rest.
    """

    name: str
    top: float
    reference: float
    current: float
    reference_text: str
    current_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A histogram of two outlines (numbers) or pairs of bars (categories); one of them is empty.

    :param area: path of the reference's filled outline, ``line`` of the current one's.
    :param ticks: (x, text) along the axis.
    """

    height: float = HEIGHT
    area: str = ""
    line: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    bars: tuple[Bar, ...] = ()


def plot_of(distribution: Distribution) -> Plot:
    """Draw both distributions of a column."""
    return _bars(distribution) if distribution.names else _histogram(distribution)


def interval(effect: EffectSize, threshold: float, width: float = 100.0) -> dict[str, float]:
    """Return where interval, value and threshold lie on a scale shared by one row."""
    highest = max(effect.upper, threshold * 1.5, 1e-9)
    places = {"low": effect.lower, "high": effect.upper, "value": max(0.0, effect.value), "limit": threshold}
    return {name: round(min(1.0, value / highest) * width, 2) for name, value in places.items()}


def _histogram(distribution: Distribution) -> Plot:
    """Spread the cells over bins of equal width; the open outer cells become the outermost bins."""
    if not distribution.edges:
        return Plot()
    unit = 1e-10 if max(map(abs, distribution.edges)) > HUGE else 1.0
    edges = [edge * unit for edge in distribution.edges]
    borders = _borders(edges)
    sides = [_rebin(edges, shares, borders) for shares in (distribution.reference, distribution.current)]
    first, last = (1 if not any(side[end] for side in sides) else 0 for end in (0, -1))
    sides = [side[first : len(side) - last] for side in sides]
    highest = max((max(side) for side in sides if side), default=0.0) or 1.0
    area, line = (_outline([share / highest for share in side]) for side in sides)
    shown = [border / unit for border in borders]
    ticks = _ticks(shown, distribution.kind, first, len(sides[0]))
    return Plot(area=f"{area} V{HEIGHT} H0 Z", line=line, ticks=ticks)


def _borders(edges: Sequence[float]) -> list[float]:
    if len(edges) <= BINS:
        return list(edges)
    low, high = edges[0], edges[-1]
    return [low + (high - low) * i / BINS for i in range(BINS + 1)]


def _rebin(edges: Sequence[float], shares: Sequence[float], borders: Sequence[float]) -> list[float]:
    """Return the shares below, between and above the borders; within a cell values lie evenly."""
    if not shares:
        return [0.0] * (len(borders) + 1)
    inside = [0.0] * (len(borders) - 1)
    for (low, high), share in zip(pairwise(edges), shares[1:-1], strict=True):
        for i, (left, right) in enumerate(pairwise(borders)):
            shared = min(high, right) - max(low, left)
            if shared > 0:
                inside[i] += share * shared / (high - low)
    return [shares[0], *inside, shares[-1]]


def _outline(heights: Sequence[float]) -> str:
    step = WIDTH / len(heights)
    points = [f"M0,{HEIGHT}"]
    for i, height in enumerate(heights):
        top = round(HEIGHT - height * (HEIGHT - 6), 1)
        points.append(f"V{top} H{round((i + 1) * step, 1)}")
    return " ".join(points)


def _ticks(borders: Sequence[float], kind: Kind, dropped: int, bins: int) -> tuple[tuple[float, str], ...]:
    step = WIDTH / max(1, bins)
    chosen = sorted({0, len(borders) // 2, len(borders) - 1})
    return tuple((round((i + 1 - dropped) * step, 1), _number(borders[i], kind)) for i in chosen)


def _number(value: float, kind: Kind) -> str:
    if kind is Kind.DATETIME:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d}"
    return f"{value:.4g}"


def _bars(distribution: Distribution) -> Plot:
    named = [i for i, name in enumerate(distribution.names) if name != _OTHERS]
    sides = (distribution.reference, distribution.current)
    highest = max((side[i] for side in sides for i in named), default=0.0) or 1.0
    cells = zip(distribution.names, distribution.reference, distribution.current, strict=True)
    bars = tuple(
        Bar(
            name=name if len(name) <= LABEL_CHARS else name[: LABEL_CHARS - 1] + "…",
            top=i * ROW,
            reference=0.0 if name == _OTHERS else round(before / highest * 140, 1),
            current=0.0 if name == _OTHERS else round(now / highest * 140, 1),
            reference_text=f"{before:.1%}",
            current_text=f"{now:.1%}",
        )
        for i, (name, before, now) in enumerate(cells)
    )
    return Plot(height=len(bars) * ROW, bars=bars)
