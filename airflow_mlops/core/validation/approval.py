"""Approval: what a person is shown, and what is kept of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.core.outcome import Outcome
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.card import escaped, table
from airflow_mlops.core.validation.card_sections import COMPARED, compared_row
from airflow_mlops.core.validation.report import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mlops.core.outcome import Verdict
    from airflow_mlops.core.validation.report import Report

MOST_ROWS = 40
MOST_REASONS = 10


class When(StrEnum):
    """When a person is asked."""

    REQUIRED = "required"
    ON_WARNING = "on_warning"


class Answered(StrEnum):
    """What was decided."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Record):
    """Who decided what about a version, when and why.

    :param by: the person's name; empty if nobody was asked or nobody answered in time.
    :param because: ``person``, ``timeout``, or ``no warning``.
    :param at: ISO 8601, UTC; empty if nobody was asked.
    """

    model: str
    version: str
    answer: Answered
    by: str = ""
    because: str = "person"
    comment: str = ""
    at: str = ""


def must_ask(when: When, verdicts: Iterable[Verdict]) -> bool:
    """Say whether a person has to decide; without a warning only if that is required."""
    return when is When.REQUIRED or any(one.outcome is not Outcome.PASS for one in verdicts)


def question(report: Report | None, verdicts: Iterable[Verdict], links: Mapping[str, str]) -> str:
    """Return the form's body as Markdown: the comparison, what else was found, where the rest is."""
    parts = [_comparison(report)] if report and report.comparisons else []
    for one in verdicts:
        reasons = [f"- {escaped(reason)}" for reason in one.reasons[:MOST_REASONS]]
        parts.append("\n".join([f"**{escaped(one.gate)}: {one.outcome}**", "", *reasons]).strip())
    named = [f"[{escaped(name)}]({url})" for name, url in links.items() if url]
    return "\n\n".join([*parts, " · ".join(named)]).strip()


def _comparison(report: Report) -> str:
    """Return all rows as a whole, and of segments those that did not pass; then how many others."""
    bad = [c for c in report.comparisons if c.segment and OUTCOMES[c.answer] is not Outcome.PASS]
    shown = [*(c for c in report.comparisons if not c.segment), *bad][:MOST_ROWS]
    rows = tuple((c.segment or "all", *compared_row(c)) for c in shown)
    rest = len(report.comparisons) - len(shown)
    note = f"\n\n{rest} more comparisons are in the report." if rest else ""
    return table(("Rows of", *COMPARED), rows) + note
