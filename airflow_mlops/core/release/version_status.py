"""The report of one update and the status of its version: what is known, where it stands and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.core.data.skew.report import SkewTest
from airflow_mlops.core.record import Record
from airflow_mlops.core.release.approval import ApprovalAnswer, ApprovalDecision
from airflow_mlops.core.release.readiness import ReadinessReport
from airflow_mlops.core.rollout.end import EndKind
from airflow_mlops.core.rollout.history import RolloutHistory
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.validation.report import Report
from airflow_mlops.core.verdict import Outcome, VerdictSummary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.verdict import Finding, Verdict

REPORT_FORMAT = 1
"""Incremented when a JSON key is renamed or changes its meaning; not for new keys."""
_MOST_REASONS = 10
_COMPARISON_CHECKS = ("floor", "ceiling", "against_champion", "against_anchor", "against_baseline")
UNDER_WAY = ("", "intervened")
"""What the tag of a rollout that has not ended says."""
_SECURITY_CHECKS = ("conflicting_duplicates", "label_flips", "label_rate")
_ELSEWHERE = (*_COMPARISON_CHECKS, "weak_slice", "predictions", "rows", "labels")
_OPTIONAL_SECTIONS = ("calibration", "fairness", "behaviour", "security")
"""Optional parts of a validation; all others are always there."""


class State(StrEnum):
    """Status of a version."""

    UNDECIDED = "undecided"
    REFUSED = "refused"
    NOT_READY = "not ready"
    REJECTED = "rejected"
    CHALLENGER = "challenger"
    ROLLING_OUT = "rolling out"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(Record):
    """One gate of the update with its outcome; ``None`` if it has not concluded.

    :param reasons: of what did not pass, worst first, at most ten; ``more`` says how many were left out.
    """

    name: str
    outcome: Outcome | None = None
    reasons: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing(Record):
    """A part of the report that is missing: neither passed nor failed, but unknown."""

    part: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNulls(Record):
    """A column with missing values, 0 to 1."""

    name: str
    null_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateData(Record):
    """The new data that started the update.

    :param partitions: keys; empty for the whole dataset.
    :param nulls: columns with missing values, most first, at most ten.
    """

    rows: int
    columns: int
    partitions: tuple[str, ...] = ()
    nulls: tuple[ColumnNulls, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSkew(Record):
    """What differs from the reference.

    :param tests: the strongest, at most ten.
    :param skewed: columns whose change is significantly greater than allowed.
    """

    reference_rows: int
    current_rows: int
    skewed: tuple[str, ...] = ()
    tests: tuple[SkewTest, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardState(Record):
    """Titles of the model card's filled and empty sections."""

    stated: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRollout(Record):
    """One rollout of the version.

    :param outcome: ``promoted``, ``rolled_back``; empty while it is under way.
    :param history: empty until the rollout ended.
    """

    evidence_run: str
    outcome: str = ""
    history: RolloutHistory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Record):
    """What the evidence runs hold about an update; ``None`` where nothing was found.

    :param schema: its worst findings; with many columns a whole verdict is too much. ``skew_verdict`` alike.
    :param nominated: whether the version was made a challenger.
    :param rollouts: newest first.
    :param missing: why a part is not there.
    """

    candidate: Candidate | None = None
    data: UpdateData | None = None
    schema: VerdictSummary | None = None
    skew_verdict: VerdictSummary | None = None
    skew: UpdateSkew | None = None
    validation: Report | None = None
    readiness: ReadinessReport | None = None
    card: CardState | None = None
    approval: ApprovalDecision | None = None
    nominated: bool = False
    rollouts: tuple[UpdateRollout, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport(Parts):
    """All that is known about one update of a model.

    :param format: version of this record's JSON.
    :param written_at: ISO 8601, UTC.
    :param reasons: why the version has this status, the most important first.
    :param gates: every gate in the order of the run, also those that have not concluded.
    """

    format: int = REPORT_FORMAT
    model: str
    version: str
    evidence_run: str
    written_at: str
    state: State
    reasons: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()


def update_report(
    parts: Parts, *, model: str, version: str, evidence_run: str, written_at: str
) -> UpdateReport:
    """Conclude status, reasons and gates; what is not known stays unknown."""
    known = {name: getattr(parts, name) for name in type(parts).__dataclass_fields__}
    return UpdateReport(
        **known | {"missing": missing_of(parts)},
        model=model,
        version=version,
        evidence_run=evidence_run,
        written_at=written_at,
        state=state_of(parts),
        reasons=reasons_of(parts),
        gates=gates_of(parts),
    )


def state_of(parts: Parts) -> State:
    """Return the status; the latest event decides."""
    begun = _begun(parts)
    if begun:
        if begun[0].outcome in UNDER_WAY:
            return State.ROLLING_OUT
        return State.PROMOTED if begun[0].outcome == EndKind.PROMOTED else State.ROLLED_BACK
    if parts.validation and not parts.validation.verdict.outcome.is_accepted:
        return State.REFUSED
    if parts.readiness and not parts.readiness.verdict.outcome.is_accepted:
        return State.NOT_READY
    if parts.approval and parts.approval.answer is ApprovalAnswer.REJECTED:
        return State.REJECTED
    return State.CHALLENGER if parts.nominated else State.UNDECIDED


def reasons_of(parts: Parts) -> tuple[str, ...]:
    """Return the reasons of the status; of what passed, only the overall comparisons."""
    state, validation = state_of(parts), parts.validation
    first: Sequence[str] = ()
    begun = _begun(parts)
    if begun and begun[0].history:
        first = (begun[0].history.reason,)
    elif state is State.REFUSED and validation:
        return validation.verdict.reasons
    elif state is State.NOT_READY and parts.readiness:
        return parts.readiness.verdict.reasons
    elif parts.approval and parts.approval.because != "no warning":
        first = (decision_sentence(parts.approval),)
    warned = [reason for verdict in _verdicts(parts) for reason in verdict.reasons]
    return tuple(dict.fromkeys((*first, *warned, *_shown(validation))))


def _begun(parts: Parts) -> list[UpdateRollout]:
    """Return the rollouts that moved on, newest first: of one that was refused, only a later step counts."""
    return [one for one in parts.rollouts if one.outcome != EndKind.REFUSED or one.history]


def gates_of(parts: Parts) -> tuple[Gate, ...]:
    """Return every gate, concluded or not."""
    named = {
        "schema": parts.schema,
        "skew": parts.skew_verdict,
        "validation": parts.validation.verdict if parts.validation else None,
        "readiness": parts.readiness.verdict if parts.readiness else None,
    }
    judged = tuple(_gate(name, verdict) for name, verdict in named.items())
    return (*judged, _approved(parts.approval), _rolled_out(parts.rollouts))


def missing_of(parts: Parts) -> tuple[Missing, ...]:
    """Return the missing parts, including those of the validation."""
    if parts.validation is None:
        return parts.missing
    found = sections_of(parts.validation)
    why = "nothing was judged: not configured, or validation ended before"
    return (
        *parts.missing,
        *(Missing(part=part, reason=why) for part in _OPTIONAL_SECTIONS if not found[part]),
    )


def sections_of(validation: Report) -> dict[str, list[Finding]]:
    """Group findings other than comparisons by section; an author's check may have any name."""
    found: dict[str, list[Finding]] = {section: [] for section in _OPTIONAL_SECTIONS}
    for finding in validation.verdict.findings:
        if finding.check in _ELSEWHERE:
            continue
        if finding.check == "note":
            section = "security" if finding.subject == "poisoning" else ""
        elif finding.check in _SECURITY_CHECKS:
            section = "security"
        else:
            section = finding.check if finding.check in _OPTIONAL_SECTIONS else "behaviour"
        if section:
            found[section].append(finding)
    return found


def decision_sentence(decision: ApprovalDecision) -> str:
    """Return a decision as text."""
    who = f"by {decision.by}" if decision.by else f"without a person: {decision.because}"
    said = f": {decision.comment}" if decision.comment else ""
    return f"{decision.answer} {who}{said}"


def _verdicts(parts: Parts) -> list[Verdict]:
    found = [parts.validation and parts.validation.verdict, parts.readiness and parts.readiness.verdict]
    return [verdict for verdict in found if verdict]


def _shown(validation: Report | None) -> list[str]:
    """Return the passed overall comparisons: floor or ceiling, champion, baseline."""
    metrics = {one.metric for one in validation.comparisons} if validation else set()
    findings = validation.verdict.findings if validation else ()
    ranked = [f for check in _COMPARISON_CHECKS for f in findings if f.check == check]
    return [f.reason for f in ranked if f.outcome is Outcome.PASS and f.subject in metrics]


def _gate(name: str, verdict: Verdict | None) -> Gate:
    if verdict is None:
        return Gate(name=name)
    reasons = verdict.reasons
    more = max(0, len(reasons) - _MOST_REASONS)
    return Gate(name=name, outcome=verdict.outcome, reasons=reasons[:_MOST_REASONS], more=more)


def _approved(decision: ApprovalDecision | None) -> Gate:
    if decision is None:
        return Gate(name="approval")
    outcome = Outcome.PASS if decision.answer is ApprovalAnswer.APPROVED else Outcome.FAIL
    return Gate(name="approval", outcome=outcome, reasons=(decision_sentence(decision),))


def _rolled_out(rollouts: Sequence[UpdateRollout]) -> Gate:
    if not rollouts:
        return Gate(name="rollout")
    outcome, history = rollouts[0].outcome, rollouts[0].history
    ended: Outcome | None = Outcome.PASS if outcome == EndKind.PROMOTED else Outcome.FAIL
    reason = history.reason if history else outcome.replace("_", " ")
    if outcome in UNDER_WAY:
        ended, reason = None, history.reason if history else "under way"
    return Gate(name="rollout", outcome=ended, reasons=(reason,))
