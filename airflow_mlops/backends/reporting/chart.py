"""Geometry shared by the charts of all reports: ticks, truncated names, forest plots, pairs of bars.

Coordinates are units of an SVG viewBox; the templates draw them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FOREST_WIDTH, FOREST_RIGHT, FOREST_ROW = 1000, 800, 24
"""Forest plot: names are left of the frame, texts right of it."""
BAR_ROW = 18
_LEFT_LEAST, _LEFT_MOST, _CHAR, _FOOT = 160, 345, 7, 42
_BAR_WIDTH = 140
_NAME_CHARS, _CATEGORY_CHARS = 54, 16
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_SECONDS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
_MOST_TIME_TICKS = 8


def shorten(name: str, most: int = _NAME_CHARS) -> str:
    """Truncate a name to the width beside a chart."""
    return name if len(name) <= most else name[: most - 1] + "…"


def round_ticks(low: float, high: float, about: int = 6) -> tuple[float, ...]:
    """Return round numbers within a range.

    >>> round_ticks(-0.013, 0.021)
    (-0.01, 0.0, 0.01, 0.02)
    """
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in _STEPS if factor * unit >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(i * step, 12) + 0.0 for i in range(first, last + 1))


def time_ticks(began: float, ended: float) -> list[tuple[float, str]]:
    """Return at most eight round times (UTC) and their labels."""
    span = max(ended - began, 1.0)
    days = math.ceil(span / _MOST_TIME_TICKS / 86400) * 86400
    every = next((step for step in _SECONDS if span / step <= _MOST_TIME_TICKS), days)
    form = "%H:%M:%S" if every < 60 else "%H:%M" if every < 86400 else "%b %d"
    first = math.ceil(began / every)
    moments = [number * every for number in range(first, int(ended // every) + 1)]
    return [(at, f"{datetime.fromtimestamp(at, UTC):{form}}") for at in moments]


def edge_ticks(
    edges: Sequence[float], text: Callable[[float], str], *, step: float, dropped: int = 0
) -> tuple[tuple[float, str], ...]:
    """Return position and label of a histogram's first, middle and last inner edge.

    :param step: width of a bin; the first bin lies left of the first edge.
    :param dropped: 1 if that bin is not drawn.
    """
    chosen = sorted({0, len(edges) // 2, len(edges) - 1})
    return tuple((round((i + 1 - dropped) * step, 1), text(edges[i])) for i in chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestValue:
    """Value and interval of a forest plot's row, in the axis' unit; ``None`` where there is no value.

    :param look: its meaning, a CSS class: ``better``, ``worse``, …
    :param limit: this row's limit, drawn as a dashed line.
    :param sets_scale: whether the axis must cover it; other rows are clipped at the frame.
    """

    name: str
    words: str
    look: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    limit: float | None = None
    sets_scale: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """Position of a value in a forest plot; ``at`` is ``None`` where there is no value.

    :param beyond: -1 or 1 if the value lies left or right of the frame.
    """

    y: int
    name: str
    full_name: str
    words: str
    look: str
    at: float | None
    low: float | None
    high: float | None
    limit: float | None
    beyond: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """A forest plot: one value with its interval per row, over a common axis.

    :param label: label of the axis.
    :param left: left edge of the frame, right of the names.
    :param line: position of the solid line, 0 for differences; ``None`` for none.
    """

    label: str
    left: int
    rows: tuple[ForestRow, ...]
    ticks: tuple[tuple[float, str], ...]
    line: float | None

    @property
    def bottom(self) -> int:
        """Height of the axis."""
        return len(self.rows) * FOREST_ROW + 6

    @property
    def height(self) -> int:
        """Height of the whole plot."""
        return self.bottom + _FOOT


def forest(estimates: Sequence[ForestValue], label: str, *, line: float | None = None) -> Forest:
    """Lay out a forest plot, one value per row."""
    low, high = _range(estimates, line)
    ticks = round_ticks(low, high)
    left = min(_LEFT_MOST, max(_LEFT_LEAST, 20 + _CHAR * max(len(one.name) for one in estimates)))

    def x(value: float | None) -> float | None:
        if value is None:
            return None
        return round(left + min(max((value - low) / (high - low), 0.0), 1.0) * (FOREST_RIGHT - left), 1)

    rows = tuple(
        ForestRow(
            y=6 + i * FOREST_ROW,
            name=shorten(one.name),
            full_name=one.name,
            words=one.words,
            look=one.look,
            at=x(one.value),
            low=x(one.lower),
            high=x(one.upper),
            limit=x(one.limit),
            beyond=0 if one.value is None else int(one.value > high) - int(one.value < low),
        )
        for i, one in enumerate(estimates)
    )
    marks = tuple((x(tick) or 0.0, _tick_text(tick, ticks)) for tick in ticks)
    return Forest(label=label, left=left, rows=rows, ticks=marks, line=x(line))


@dataclass(frozen=True, slots=True, kw_only=True)
class BarPair:
    """Two bars of a category: name, widths, shares as text."""

    name: str
    top: float
    reference: float
    current: float
    reference_text: str
    current_text: str


def bar_pairs(shares: Sequence[tuple[str, float, float]], *, without_bars: str) -> tuple[BarPair, ...]:
    """Lay out pairs of bars, one per row; the longest bar has the full width.

    :param shares: name, share in the reference, share in the current data.
    :param without_bars: row shown as text only: bars of all other values together would dwarf the rest.
    """
    highest = max((share for name, *pair in shares if name != without_bars for share in pair), default=0.0)

    def width(share: float) -> float:
        return round(share / (highest or 1.0) * _BAR_WIDTH, 1)

    return tuple(
        BarPair(
            name=shorten(name, _CATEGORY_CHARS),
            top=i * BAR_ROW,
            reference=0.0 if name == without_bars else width(before),
            current=0.0 if name == without_bars else width(now),
            reference_text=f"{before:.1%}",
            current_text=f"{now:.1%}",
        )
        for i, (name, before, now) in enumerate(shares)
    )


def _range(estimates: Sequence[ForestValue], line: float | None) -> tuple[float, float]:
    leading = [one for one in estimates if one.sets_scale] or list(estimates)
    ends = [end for one in leading for end in (one.value, one.lower, one.upper, one.limit)]
    known = _finite([*ends, line])
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-6)
    return low - room, high + room


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _tick_text(tick: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(tick) or 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) + (0 if _is_round(step) else 1)
    return f"{tick:,.{min(digits, 9)}f}"


def _is_round(step: float) -> bool:
    """Return whether a step is 1, 2 or 5 times a power of ten; 2.5 needs one more digit."""
    lead: float = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
    return abs(lead - 2.5) > 1e-6
