"""Approval by a person: what the form shows, and the decision that is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.release.card import COMPARISON_HEADER, compared_row, escaped, table
from airflow_mlops.core.validation.report import OUTCOME_OF_ANSWER
from airflow_mlops.core.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mlops.core.validation.report import Report
    from airflow_mlops.core.verdict import Verdict

_MOST_ROWS = 40
_MOST_REASONS = 10


class When(StrEnum):
    """When a person is asked."""

    REQUIRED = "required"
    ON_WARNING = "on_warning"


class ApprovalAnswer(StrEnum):
    """What was decided."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecision(Record):
    """Who decided what about a version, when and why.

    :param by: the person's name; empty if no person was asked or no answer came in time.
    :param user: the person's id in Airflow's auth manager.
    :param because: ``person``, ``timeout``, or ``no warning``.
    :param at: ISO 8601, UTC; empty if no person was asked.
    """

    model: str
    version: str
    answer: ApprovalAnswer
    by: str = ""
    user: str = ""
    because: str = "person"
    comment: str = ""
    at: str = ""


def must_ask(when: When, verdicts: Iterable[Verdict]) -> bool:
    """Return whether a person must decide; without a warning only if that is required."""
    return when is When.REQUIRED or any(one.outcome is not Outcome.PASS for one in verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person decides between.

    :param champion: the version that serves now, if any.
    :param default: the option that applies without an answer.
    :param until: when the form closes, as text for people.
    :param asked_before: whether an earlier try of the task asked and no answer arrived.
    """

    model: str
    version: str
    champion: str | None
    default: str
    until: str
    asked_before: bool = False


def opening(choice: Choice) -> str:
    """Return the question and the effect of each answer, as Markdown."""
    champion, model = choice.champion, escaped(choice.model)
    serves = f"version {champion}, the champion, goes on serving" if champion else "still no version serves"
    again = (
        "**You may have answered this before.** No answer arrived, so please answer again.\n\n"
        if choice.asked_before
        else ""
    )
    return again + "\n".join(
        [
            f"Version {choice.version} of **{model}** is trained and was checked. It serves no requests yet.",
            "",
            "- **Approve**: it becomes a *challenger* and the tasks that follow run; a rollout then gives it "
            "requests step by step.",
            f"- **Reject**: the tasks that follow are skipped; {serves}.",
            f"- No answer until {choice.until}: *{choice.default}* applies.",
            "",
            "Your name and your comment are recorded in the ledger of the model.",
        ]
    )


def question(
    report: Report | None, verdicts: Iterable[Verdict], links: Mapping[str, str], choice: Choice | None = None
) -> str:
    """Return the form's body as Markdown: choice, comparisons, results of the checks, links."""
    parts = [opening(choice)] if choice else []
    if report and report.comparisons:
        parts.append(_comparison(report))
    parts.append("### What the checks say")
    for one in verdicts:
        reasons = [f"- {escaped(reason)}" for reason in one.reasons[:_MOST_REASONS]]
        parts.append("\n".join([f"**{escaped(one.gate)}: {one.outcome}**", "", *reasons]).strip())
    named = [f"[{escaped(name)}]({url})" for name, url in links.items() if url]
    if named:
        parts.append("### Read more\n\n" + " · ".join(named))
    return "\n\n".join(parts)


def _comparison(report: Report) -> str:
    """Return comparisons on all rows, those of segments that did not pass, and how many are left out."""
    bad = [c for c in report.comparisons if c.segment and OUTCOME_OF_ANSWER[c.answer] is not Outcome.PASS]
    shown = [*(c for c in report.comparisons if not c.segment), *bad][:_MOST_ROWS]
    rows = tuple((c.segment or "all", *compared_row(c)) for c in shown)
    rest = len(report.comparisons) - len(shown)
    note = f" {rest} more comparisons are in the report." if rest else ""
    if any(one.rival == "baseline" for one in shown):
        note = " The *baseline* is the best constant prediction." + note
    if any(one.rival == "anchor" for one in shown):
        note = " The *anchor* is the best earlier champion: losses of several versions count from it." + note
    return "\n\n".join(
        [
            "### Compared with other models on the same rows",
            table(("Rows of", *COMPARISON_HEADER), rows),
            "*Gain*: this version less the other, so that above 0 is better, and the bounds it lies between. "
            f"Judged on {report.rows} rows that were held back from training.{note}",
        ]
    )
