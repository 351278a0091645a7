"""Skew report as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.reporting.page import render
from airflow_mlops.backends.reporting.plots import HEIGHT, WIDTH, interval, plot_of
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Outcome

if TYPE_CHECKING:
    from airflow_mlops.core.data.skew.report import SkewReport, SkewTest

TABLE_ROWS = 300
OPEN_ROWS = 12
"""Tests in sight at once; further quiet ones are folded away."""
REASONS = 12
WORDS = {
    Outcome.PASS: "No skew",
    Outcome.WARN: "No skew; something could not be compared",
    Outcome.FAIL: "Skew found",
    Outcome.INCONCLUSIVE: "Inconclusive",
    Outcome.ERROR: "Could not be measured",
}
NAMES = {
    "ks": "KS distance",
    "jensen_shannon": "Jensen-Shannon distance",
    "psi": "PSI",
    "wasserstein": "Wasserstein distance (sd)",
    "total_variation": "total variation",
    "linf": "largest change of a share",
    "null_share": "rise of null share",
    "new_categories": "rise of unknown categories",
}


def render_skew(
    report: SkewReport, *, title: str = "Skew report", reference: str = "reference", current: str = "current"
) -> str:
    """Return the report as HTML.

    :param reference: what the reference window is called, ``current`` alike; any text, it is escaped.
    """
    shown = min(TABLE_ROWS, max(OPEN_ROWS, sum(test.skewed for test in report.tests)))
    return render(
        "skew.html.j2",
        title=title,
        report=report,
        verdict=WORDS[report.verdict.outcome],
        reasons=report.verdict.reasons[:REASONS],
        more_reasons=max(0, len(report.verdict.reasons) - REASONS),
        compared=len({test.column for test in report.tests}),
        windows=(reference, current),
        first_rows=[_row(test) for test in report.tests[:shown]],
        other_rows=[_row(test) for test in report.tests[shown:TABLE_ROWS]],
        more_rows=max(0, len(report.tests) - TABLE_ROWS),
        cards=_cards(report),
        size=(WIDTH, HEIGHT),
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


def _row(test: SkewTest) -> dict[str, Any]:
    return {
        "test": test,
        "name": NAMES.get(test.effect.name, test.effect.name),
        "at": interval(test.effect, test.threshold),
    }


def _cards(report: SkewReport) -> list[dict[str, Any]]:
    tests: dict[str, list[SkewTest]] = {}
    for test in report.tests:
        tests.setdefault(test.column, []).append(test)
    return [
        {"distribution": d, "tests": tests.get(d.column, []), "plot": plot_of(d)}
        for d in report.distributions
    ]
