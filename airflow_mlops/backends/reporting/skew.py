"""Skew report as HTML with plots, and as text for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.reporting.chart import BAR_ROW, BarPair, bar_pairs, edge_ticks
from airflow_mlops.backends.reporting.page import render
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.shown import shown_value
from airflow_mlops.core.data.skew.report import OTHER_VALUES
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.nouns import with_noun
from airflow_mlops.core.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.skew.report import Distribution, EffectSize, SkewReport, SkewTest

_TABLE_ROWS, _TEXT_ROWS, _MOST_REASONS = 300, 40, 12
_OPEN_ROWS = 12
"""Tests shown at once; further tests without skew are collapsed."""
_WIDTH, _HEIGHT, _BINS = 320, 120, 32
_DAYS_APART = 3 * 86400.0
"""Span of datetimes below which their times of day are shown."""
_HUGE = 1e290
"""Larger edges are scaled down, because their differences would overflow."""
_HEADER = ("column", "test", "moved", "at least", "allowed", "threshold is", "")
_HEADLINES = {
    Outcome.PASS: "No skew",
    Outcome.WARN: "No skew; something is not as in the reference",
    Outcome.FAIL: "Skew found",
    Outcome.INCONCLUSIVE: "Inconclusive",
    Outcome.ERROR: "Could not be measured",
}
_TEST_NAMES = {
    "ks": "KS distance",
    "jensen_shannon": "Jensen-Shannon distance",
    "psi": "PSI",
    "wasserstein": "Wasserstein distance (sd)",
    "total_variation": "total variation",
    "linf": "largest change of a share",
    "null_share": "rise of null share",
    "new_categories": "rise of unknown categories",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A histogram of two outlines (numbers) or pairs of bars (categories); the other is empty.

    :param area: path of the reference's filled outline, ``line`` of the current one's.
    :param ticks: (x, text) along the axis.
    """

    height: float = _HEIGHT
    area: str = ""
    line: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    bars: tuple[BarPair, ...] = ()


def render_skew(
    report: SkewReport, *, title: str = "Skew report", reference: str = "reference", current: str = "current"
) -> str:
    """Return the report as HTML.

    :param reference: name of the reference window; ``current``: of the other one. Both are escaped.
    """
    shown = min(_TABLE_ROWS, max(_OPEN_ROWS, sum(test.skewed for test in report.tests)))
    return render(
        "skew.html.j2",
        title=title,
        report=report,
        verdict=_HEADLINES[report.verdict.outcome],
        reasons=report.verdict.reasons[:_MOST_REASONS],
        more_reasons=max(0, len(report.verdict.reasons) - _MOST_REASONS),
        compared=len({test.column for test in report.tests}),
        windows=(reference, current),
        first_rows=[_row(test) for test in report.tests[:shown]],
        other_rows=[_row(test) for test in report.tests[shown:_TABLE_ROWS]],
        more_rows=max(0, len(report.tests) - _TABLE_ROWS),
        cards=_cards(report),
        size=(_WIDTH, _HEIGHT),
    )


def write_skew(report: SkewReport, path: str, **names: str) -> None:
    """Write the report's HTML to a file.

    :param names: ``title``, ``reference``, ``current``, see :func:`render_skew`.
    :raises InvalidConfigError: the file cannot be written.
    """
    try:
        Path(path).write_text(render_skew(report, **names), encoding="utf-8")
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InvalidConfigError(msg) from error


def skew_text(report: SkewReport) -> str:
    """Return verdict, reasons and the strongest tests as aligned text."""
    verdict = report.verdict
    lines = [f"{verdict.gate}: {verdict.outcome}, {with_noun(len(verdict.findings), 'check')}"]
    lines += [f"  {reason}" for reason in verdict.reasons]
    lines += [f"  note: {note}" for note in report.notes]
    if report.multivariate and report.multivariate.sentence not in verdict.reasons:
        lines.append(f"  {report.multivariate.sentence}")
    rows = [_HEADER, *(_text_row(test) for test in report.tests[:_TEXT_ROWS])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADER))]
    lines += ["", *("  ".join(map(_aligned, row, widths, range(len(_HEADER)))).rstrip() for row in rows)]
    if len(report.tests) > _TEXT_ROWS:
        left_out = with_noun(len(report.tests) - _TEXT_ROWS, "weaker test")
        lines.append(f"{left_out} not shown; --json has them all")
    return "\n".join(lines)


def plot_of(distribution: Distribution) -> Plot:
    """Lay out both distributions of a column."""
    return _bars(distribution) if distribution.names else _histogram(distribution)


def _row(test: SkewTest) -> dict[str, Any]:
    name = _TEST_NAMES.get(test.effect.name, test.effect.name)
    return {"test": test, "name": name, "at": _interval(test.effect, test.threshold)}


def _interval(effect: EffectSize, threshold: float, width: float = 100.0) -> dict[str, float]:
    """Return the positions of interval, value and threshold on the row's scale."""
    highest = max(effect.upper, threshold * 1.5, 1e-9)
    places = {"low": effect.lower, "high": effect.upper, "value": max(0.0, effect.value), "limit": threshold}
    return {name: round(min(1.0, value / highest) * width, 2) for name, value in places.items()}


def _cards(report: SkewReport) -> list[dict[str, Any]]:
    tests: dict[str, list[SkewTest]] = {}
    for test in report.tests:
        tests.setdefault(test.column, []).append(test)
    return [
        {"distribution": d, "tests": tests.get(d.column, []), "plot": plot_of(d)}
        for d in report.distributions
    ]


def _text_row(test: SkewTest) -> tuple[str, ...]:
    effect = test.effect
    numbers = (effect.value, max(0.0, effect.lower), test.threshold)
    said = test.answer
    return (test.column, effect.name, *(f"{number:.4f}" for number in numbers), test.source, said)


def _aligned(text: str, width: int, place: int) -> str:
    return text.rjust(width) if 2 <= place <= 4 else text.ljust(width)


def _bars(distribution: Distribution) -> Plot:
    shares = zip(distribution.names, distribution.reference, distribution.current, strict=True)
    bars = bar_pairs(list(shares), without_bars=OTHER_VALUES)
    return Plot(height=len(bars) * BAR_ROW, bars=bars)


def _histogram(distribution: Distribution) -> Plot:
    """Redistribute the counted bins over bins of equal width; the open outer bins stay outermost."""
    if not distribution.edges:
        return Plot()
    unit = 1e-10 if max(map(abs, distribution.edges)) > _HUGE else 1.0
    edges = [edge * unit for edge in distribution.edges]
    borders = _borders(edges)
    sides = [_rebin(edges, shares, borders) for shares in (distribution.reference, distribution.current)]
    first, last = (1 if not any(side[end] for side in sides) else 0 for end in (0, -1))
    sides = [side[first : len(side) - last] for side in sides]
    highest = max((max(side) for side in sides if side), default=0.0) or 1.0
    area, line = (_outline([share / highest for share in side]) for side in sides)
    shown, step = [border / unit for border in borders], _WIDTH / max(1, len(sides[0]))
    is_short = shown[-1] - shown[0] < _DAYS_APART
    ticks = edge_ticks(
        shown, lambda edge: _edge_text(edge, distribution.kind, is_short), step=step, dropped=first
    )
    return Plot(area=f"{area} V{_HEIGHT} H0 Z", line=line, ticks=ticks)


def _borders(edges: Sequence[float]) -> list[float]:
    if len(edges) <= _BINS:
        return list(edges)
    low, high = edges[0], edges[-1]
    return [low + (high - low) * i / _BINS for i in range(_BINS + 1)]


def _rebin(edges: Sequence[float], shares: Sequence[float], borders: Sequence[float]) -> list[float]:
    """Return the shares below, between and above the borders; values are uniform within a bin."""
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
    step = _WIDTH / len(heights)
    points = [f"M0,{_HEIGHT}"]
    for i, height in enumerate(heights):
        top = round(_HEIGHT - height * (_HEIGHT - 6), 1)
        points.append(f"V{top} H{round((i + 1) * step, 1)}")
    return " ".join(points)


def _edge_text(value: float, kind: Kind, is_short: bool) -> str:  # noqa: FBT001 - private
    """Return an edge's label; of datetimes the date, with the time where all are within days."""
    if kind is Kind.DATETIME:
        text = shown_value(round(value), kind)
        return text if is_short else text.partition(" ")[0]
    return f"{value:.4g}"
