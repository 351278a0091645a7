"""What a comparison leaves behind: answers with their intervals, and the verdict that rests on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Finding, Outcome, Severity, Verdict
from airflow_mlops.moved import names_of

__getattr__ = names_of(__name__)


class ComparisonAnswer(StrEnum):
    """What can be said about a difference."""

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
    ComparisonAnswer.TOO_SMALL: Outcome.PASS,
    ComparisonAnswer.NO_VALUE: Outcome.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Record):
    """One metric of the challenger beside a rival's on the same rows.

    :param segment: ``column=value``, empty for all rows.
    :param gain: challenger less rival in the metric's own direction: above 0 is better.
    :param lower, upper: one-sided confidence bounds of the gain.
    :param allowed: how far below 0 the gain may lie.
    :param doubt: p-value against "worse by more than allowed", Holm-adjusted over the declared segments.
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
    doubt: float | None = None
    answer: ComparisonAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Value(Record):
    """One metric of one model on all held-back rows.

    :param model: its role: ``challenger``, ``champion`` or ``baseline``.
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
    """A segment that nobody declared and where the challenger surely loses to the champion.

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
    """Everything a comparison found.

    :param rows_digest: of the held-back rows that every model was judged on.
    :param versions: what was judged, by role.
    :param alpha: chance that a bound is on the wrong side of the truth.
    """

    verdict: Verdict
    rows: int
    rows_digest: str = ""
    alpha: float = 0.05
    values: tuple[Value, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    weak_slices: tuple[WeakSlice, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)


def noted(subject: str, reason: str) -> Finding:
    """Return a finding that decides nothing."""
    return Finding(check="note", subject=subject, outcome=Outcome.PASS, severity=Severity.INFO, reason=reason)
