"""Validation report: comparisons with their confidence bounds, and the verdict that rests on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import AliasChoices, Field

from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict
from airflow_mlops.moved import names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__getattr__ = names_of(__name__)


class ComparisonAnswer(StrEnum):
    """Result of comparing the challenger with a rival."""

    BETTER = "better"
    NOT_WORSE = "not worse"
    WORSE = "worse"
    TOO_CLOSE = "too close to tell"
    TOO_SMALL = "too small to tell"
    NO_VALUE = "no value"


OUTCOME_OF_ANSWER = {
    ComparisonAnswer.BETTER: Outcome.PASS,
    ComparisonAnswer.NOT_WORSE: Outcome.PASS,
    ComparisonAnswer.WORSE: Outcome.FAIL,
    ComparisonAnswer.TOO_CLOSE: Outcome.INCONCLUSIVE,
    ComparisonAnswer.TOO_SMALL: Outcome.WARN,
    ComparisonAnswer.NO_VALUE: Outcome.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Record):
    """One metric of the challenger and of a rival on the same rows.

    :param segment: ``column=value``, empty for all rows.
    :param gain: challenger less rival in the metric's own direction: above 0 is better.
    :param lower, upper: one-sided confidence bounds of the gain.
    :param allowed: how far below 0 the gain may lie.
    :param p_value: of the null hypothesis "worse by more than allowed", Holm-adjusted over the declared
        segments; its JSON key is ``doubt``.
    :param pooled: how many small segments it unites, 0 for none.
    :param units: rows or entities that both values rest on, of several classes the rarest's; at most 4,096.
    """

    metric: str
    rival: str
    segment: str = ""
    rows: int
    challenger: float | None = None
    other: float | None = None
    gain: float | None = None
    lower: float | None = None
    upper: float | None = None
    allowed: float
    p_value: Annotated[
        float | None,
        Field(validation_alias=AliasChoices("doubt", "p_value"), serialization_alias="doubt"),
    ] = None
    answer: ComparisonAnswer
    pooled: int = 0
    units: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Value(Record):
    """One metric of one model on all held-back rows.

    :param model: its role: ``challenger``, ``champion``, ``anchor`` or ``baseline``.
    :param value: in the metric's own direction and unit, ``None`` if it has none on these rows.
    :param lower, upper: one-sided confidence bounds.
    """

    metric: str
    model: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeakSlice(Record):
    """A segment found by search where the challenger is significantly worse than the champion.

    :param gain: mean per row in the metric's own direction: below 0 is worse.
    :param lower, upper: one-sided confidence bounds of this slice alone, not corrected for the search.
    :param allowed: how far below 0 the gain may lie.
    """

    name: str
    metric: str
    rows: int
    gain: float
    lower: float
    upper: float
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Record):
    """Everything that validation found about a challenger.

    :param rows_digest: of the held-back rows that every model was judged on.
    :param versions: what was judged, by role.
    :param alpha: probability that a one-sided bound lies on the wrong side of the true value.
    :param tries: candidates that were judged on these rows, this one included.
    :param anchor_tries: candidates that were compared with this anchor, on whatever rows; ``anchor_alpha``:
        the level of the lower bounds of comparisons with it.
    """

    verdict: Verdict
    rows: int
    rows_digest: str = ""
    alpha: float = 0.05
    tries: int = 1
    anchor_tries: int = 1
    anchor_alpha: float = 0.05
    values: tuple[Value, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    weak_slices: tuple[WeakSlice, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first names in one line, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def warned(check: str, subject: str, reason: str, observed: float, allowed: float = 0) -> Finding:
    """Return a finding that a person should read: with it the outcome is a warning at least."""
    return Finding(
        check=check,
        subject=subject,
        outcome=Outcome.WARN,
        severity=Severity.WARNING,
        reason=reason,
        observed=observed,
        allowed=allowed,
    )


def noted(subject: str, reason: str) -> Finding:
    """Return a finding for information: it never changes the outcome."""
    return Finding(check="note", subject=subject, outcome=Outcome.PASS, severity=Severity.INFO, reason=reason)
