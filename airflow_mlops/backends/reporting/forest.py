"""Geometry of forest plots: a value and its interval a row, over one axis; in viewBox units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH, RIGHT = 1000, 800
"""Names stand left of the plot, words right of it."""
LEFT_LEAST, LEFT_MOST, CHAR = 160, 345, 7
ROW, FOOT = 24, 42
NAME_CHARS = 54
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a row shows, in the axis' own unit; ``None`` where there is no value.

    :param look: what it means, a CSS class: ``better``, ``worse``, …
    :param limit: where this row's bar lies, drawn as a dashed line.
    :param sets_scale: whether the axis has to show all of it; others are cut at the frame.
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
class Row:
    """A bar's place; ``at`` is ``None`` where there is no value.

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
    """A plot.

    :param label: of the axis.
    :param left: where the frame begins; the names need what is left of it.
    :param line: where the solid line lies, 0 for differences; ``None`` for none.
    """

    label: str
    left: int
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    line: float | None

    @property
    def bottom(self) -> int:
        """Height of the axis."""
        return len(self.rows) * ROW + 6

    @property
    def height(self) -> int:
        """Height of the whole plot."""
        return self.bottom + FOOT


def forest(bars: Sequence[Bar], label: str, *, line: float | None = None) -> Forest:
    """Draw bars, one a row."""
    low, high = _range(bars, line)
    ticks = ticks_of(low, high)
    left = min(LEFT_MOST, max(LEFT_LEAST, 20 + CHAR * max(len(bar.name) for bar in bars)))

    def x(value: float | None) -> float | None:
        if value is None:
            return None
        return round(left + min(max((value - low) / (high - low), 0.0), 1.0) * (RIGHT - left), 1)

    rows = tuple(
        Row(
            y=6 + i * ROW,
            name=shortened(bar.name),
            full_name=bar.name,
            words=bar.words,
            look=bar.look,
            at=x(bar.value),
            low=x(bar.lower),
            high=x(bar.upper),
            limit=x(bar.limit),
            beyond=0 if bar.value is None else int(bar.value > high) - int(bar.value < low),
        )
        for i, bar in enumerate(bars)
    )
    marks = tuple((x(tick) or 0.0, _text(tick, ticks)) for tick in ticks)
    return Forest(label=label, left=left, rows=rows, ticks=marks, line=x(line))


def ticks_of(low: float, high: float, about: int = 6) -> tuple[float, ...]:
    """Return round numbers within a range.

    >>> ticks_of(-0.013, 0.021)
    (-0.01, 0.0, 0.01, 0.02)
    """
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in STEPS if factor * unit >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(i * step, 12) + 0.0 for i in range(first, last + 1))


def shortened(name: str) -> str:
    """Cut a name to what fits beside a plot."""
    return name if len(name) <= NAME_CHARS else name[: NAME_CHARS - 1] + "…"


def _range(bars: Sequence[Bar], line: float | None) -> tuple[float, float]:
    leading = [bar for bar in bars if bar.sets_scale] or list(bars)
    ends = [end for bar in leading for end in (bar.value, bar.lower, bar.upper, bar.limit)]
    known = _finite([*ends, line])
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-6)
    return low - room, high + room


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _text(tick: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(tick) or 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) + (0 if _is_round(step) else 1)
    return f"{tick:,.{min(digits, 9)}f}"


def _is_round(step: float) -> bool:
    """Say whether a step is 1, 2 or 5 of its power of ten; 2.5 needs a digit more."""
    lead: float = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
    return abs(lead - 2.5) > 1e-6
