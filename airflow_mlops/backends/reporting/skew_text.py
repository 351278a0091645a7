"""Skew report for a terminal: the ranked table of its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mlops.core.data.skew.report import SkewReport, SkewTest

ROWS = 40
HEAD = ("column", "test", "moved", "surely", "allowed", "threshold is", "")


def skew_text(report: SkewReport) -> str:
    """Return verdict, reasons, and the strongest tests as aligned text."""
    verdict = report.verdict
    lines = [f"{verdict.gate}: {verdict.outcome}, {len(verdict.findings)} checks"]
    lines += [f"  {reason}" for reason in verdict.reasons]
    lines += [f"  note: {note}" for note in report.notes]
    if report.multivariate and report.multivariate.sentence not in verdict.reasons:
        lines.append(f"  {report.multivariate.sentence}")
    rows = [HEAD, *(_row(test) for test in report.tests[:ROWS])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines += ["", *("  ".join(map(_cell, row, widths, range(len(HEAD)))).rstrip() for row in rows)]
    if len(report.tests) > ROWS:
        lines.append(f"{len(report.tests) - ROWS} weaker tests are not shown; --json has them all")
    return "\n".join(lines)


def _row(test: SkewTest) -> tuple[str, ...]:
    effect = test.effect
    numbers = (effect.value, max(0.0, effect.lower), test.threshold)
    told = "skewed" if test.skewed else "quiet"
    return (test.column, effect.name, *(f"{number:.4f}" for number in numbers), test.source, told)


def _cell(text: str, width: int, place: int) -> str:
    return text.rjust(width) if 2 <= place <= 4 else text.ljust(width)
