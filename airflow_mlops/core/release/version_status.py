"""Where a version stands and why: concluded from what its update left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.release.approval import ApprovalAnswer
from airflow_mlops.core.release.update import Gate, Missing, State, UpdateReport
from airflow_mlops.core.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.release.approval import ApprovalDecision
    from airflow_mlops.core.release.update import Parts, UpdateRollout
    from airflow_mlops.core.validation.report import Report
    from airflow_mlops.core.verdict import Finding, Verdict

_MOST_REASONS = 10
_COMPARISON_CHECKS = ("floor", "against_champion", "against_baseline")
_SECURITY_CHECKS = ("conflicting_duplicates", "label_flips", "label_rate")
_ELSEWHERE = (*_COMPARISON_CHECKS, "weak_slice", "predictions", "rows", "labels")
_OPTIONAL_SECTIONS = ("calibration", "fairness", "behaviour", "security")
"""Parts of a validation that the configuration may ask for; others are always there."""


def update_report(
    parts: Parts, *, model: str, version: str, evidence_run: str, written_at: str
) -> UpdateReport:
    """Conclude; what is not known stays not known."""
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
    """Say where the version stands; the latest word counts."""
    if parts.rollouts:
        ended = {"promoted": State.PROMOTED, "rolled_back": State.ROLLED_BACK}
        return ended.get(parts.rollouts[0].outcome, State.ROLLING_OUT)
    if parts.validation and not parts.validation.verdict.outcome.is_accepted:
        return State.REFUSED
    if parts.readiness and not parts.readiness.verdict.outcome.is_accepted:
        return State.NOT_READY
    if parts.approval and parts.approval.answer is ApprovalAnswer.REJECTED:
        return State.REJECTED
    return State.CHALLENGER if parts.nominated else State.UNDECIDED


def reasons_of(parts: Parts) -> tuple[str, ...]:
    """Say why it stands there; of what passed, the comparison as a whole."""
    state, validation = state_of(parts), parts.validation
    first: Sequence[str] = ()
    if parts.rollouts and parts.rollouts[0].history:
        first = (parts.rollouts[0].history.reason,)
    elif state is State.REFUSED and validation:
        return validation.verdict.reasons
    elif state is State.NOT_READY and parts.readiness:
        return parts.readiness.verdict.reasons
    elif parts.approval and parts.approval.because != "no warning":
        first = (decision_text(parts.approval),)
    warned = [reason for verdict in _verdicts(parts) for reason in verdict.reasons]
    return tuple(dict.fromkeys((*first, *warned, *_shown(validation))))


def gates_of(parts: Parts) -> tuple[Gate, ...]:
    """Return every gate, answered or not."""
    named = {
        "schema": parts.schema,
        "skew": parts.skew_verdict,
        "validation": parts.validation.verdict if parts.validation else None,
        "readiness": parts.readiness.verdict if parts.readiness else None,
    }
    judged = tuple(_gate(name, verdict) for name, verdict in named.items())
    return (*judged, _approved(parts.approval), _rolled_out(parts.rollouts))


def missing_of(parts: Parts) -> tuple[Missing, ...]:
    """Return the parts that are not there, those inside the validation too."""
    if parts.validation is None:
        return parts.missing
    found = sections_of(parts.validation)
    why = "nothing was judged: not configured, or validation ended before"
    return (
        *parts.missing,
        *(Missing(part=part, reason=why) for part in _OPTIONAL_SECTIONS if not found[part]),
    )


def sections_of(validation: Report) -> dict[str, list[Finding]]:
    """Sort the findings that are no comparison; an author's check may have any name."""
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


def decision_text(decision: ApprovalDecision) -> str:
    """Put a decision into words."""
    who = f"by {decision.by}" if decision.by else f"without a person: {decision.because}"
    said = f": {decision.comment}" if decision.comment else ""
    return f"{decision.answer} {who}{said}"


def _verdicts(parts: Parts) -> list[Verdict]:
    found = [parts.validation and parts.validation.verdict, parts.readiness and parts.readiness.verdict]
    return [verdict for verdict in found if verdict]


def _shown(validation: Report | None) -> list[str]:
    """Return what passed, as far as it carries the promotion: floor, champion, baseline."""
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
    return Gate(name="approval", outcome=outcome, reasons=(decision_text(decision),))


def _rolled_out(rollouts: Sequence[UpdateRollout]) -> Gate:
    if not rollouts:
        return Gate(name="rollout")
    ended = {"promoted": Outcome.PASS, "rolled_back": Outcome.FAIL}.get(rollouts[0].outcome)
    history = rollouts[0].history
    return Gate(name="rollout", outcome=ended, reasons=(history.reason,) if history else ("under way",))
