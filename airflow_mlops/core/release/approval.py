"""Approval: what a person is shown, and what is kept of the answer."""

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

    :param by: the person's name; empty if nobody was asked or nobody answered in time.
    :param user: the person's id in Airflow's auth manager.
    :param because: ``person``, ``timeout``, or ``no warning``.
    :param at: ISO 8601, UTC; empty if nobody was asked.
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
    """Say whether a person has to decide; without a warning only if that is required."""
    return when is When.REQUIRED or any(one.outcome is not Outcome.PASS for one in verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person decides between.

    :param champion: the version that serves now, if any.
    :param default: the option that holds if nobody answers.
    :param until: when the form closes, as people read it.
    :param asked_before: whether an earlier try of the task asked and no answer arrived.
    """

    model: str
    version: str
    champion: str | None
    default: str
    until: str
    asked_before: bool = False


def opening(choice: Choice) -> str:
    """Return as Markdown what is asked and what each answer does."""
    champion, model = choice.champion, escaped(choice.model)
    serves = f"version {champion}, the champion, goes on serving" if champion else "still no version serves"
    again = (
        "**You may have answered this before.** No answer arrived, so please answer again.\n\n"
        if choice.asked_before
        else ""
    )
    return again + "\n".join(
        [
            f"Version {choice.version} of **{model}** is trained and was checked. It serves nobody yet.",
            "",
            "- **Approve**: it becomes a *challenger* and the tasks that follow run; a rollout then gives it "
            "requests step by step.",
            f"- **Reject**: the tasks that follow are skipped; {serves}.",
            f"- No answer until {choice.until}: *{choice.default}* holds.",
            "",
            "Your name and your comment are kept in the ledger of the model.",
        ]
    )


def question(
    report: Report | None, verdicts: Iterable[Verdict], links: Mapping[str, str], choice: Choice | None = None
) -> str:
    """Return the form's body as Markdown: the choice, the comparison, what was found, where the rest is."""
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
    """Return all rows as a whole, and of segments those that did not pass; then how many others."""
    bad = [c for c in report.comparisons if c.segment and OUTCOME_OF_ANSWER[c.answer] is not Outcome.PASS]
    shown = [*(c for c in report.comparisons if not c.segment), *bad][:_MOST_ROWS]
    rows = tuple((c.segment or "all", *compared_row(c)) for c in shown)
    rest = len(report.comparisons) - len(shown)
    note = f" {rest} more comparisons are in the report." if rest else ""
    if any(one.rival == "baseline" for one in shown):
        note = " The *baseline* is the best guess without a model." + note
    return "\n\n".join(
        [
            "### Compared with other models on the same rows",
            table(("Rows of", *COMPARISON_HEADER), rows),
            "*Gain*: this version less the other, so that above 0 is better, and the bounds it lies between. "
            f"Judged on {report.rows} rows that were held back from training.{note}",
        ]
    )
