"""Clearance of a version for traffic: what its gates recorded, what a person decided, and an override."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.release.approval import ApprovalAnswer
from airflow_mlops.core.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

COMPARED_WITH = "mlops.compared_with"
"""Tag of a version: the champion that validation compared it with, or ``none``."""
NOT_COMPARED = "none"
APPROVAL_ASKED = "asked"
"""Value of the approval's tag while a person's answer is awaited."""
_ACCEPTED = tuple(str(outcome) for outcome in Outcome if outcome.is_accepted)
_WHAT_TO_DO = (
    "train and validate a version that passes, or start the rollout with an override: a reason, given by an "
    "approver"
)


class ReleaseGate(StrEnum):
    """What a version passes before it may receive traffic."""

    VALIDATION = "validation"
    READINESS = "readiness"
    CARD = "card"
    APPROVAL = "approval"

    @property
    def tag(self) -> str:
        """Name of the version's tag that holds the outcome."""
        return f"mlops.{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRule(Record):
    """What is demanded of a version besides an accepted validation.

    :param required: gates that must have recorded an accepted outcome; validation always must.
    :param approvers: users, by id or name, who may override a refusal; empty: whoever may start the run.
    """

    required: tuple[ReleaseGate, ...] = ()
    approvers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance(Record):
    """Whether a version may receive traffic.

    :param reason: why not; kept when it is overridden.
    :param override: who overrode the refusal, and why; empty if nobody did.
    """

    allowed: bool
    reason: str = ""
    override: str = ""


def stale_comparison(subject: str, compared: str | None, champion: str | None) -> str:
    """Return why an answer about a version does not hold any more; empty if it does.

    :param compared: champion that the version was compared with; ``None``: there was none.
    :param champion: the champion now.
    """
    if compared == champion:
        return ""
    was = f"champion {compared}" if compared else "no champion"
    return f"{subject} was compared with {was}, and champion is now {champion or 'none'}"


def clearance(
    subject: str,
    tags: Mapping[str, str],
    rule: ReleaseRule,
    *,
    answer: str = "",
    said: str = "",
    stale: str = "",
) -> Clearance:
    """Clear a version, or refuse it with every reason.

    A person's last answer comes first: after a rejection nothing else matters but an override. A gate that
    recorded an outcome counts, required or not.

    :param subject: the version, as the reasons name it.
    :param tags: of the version.
    :param answer: the last decision about it: ``approved``, ``rejected``, or empty for none.
    :param said: that decision in words.
    :param stale: why the comparison does not hold any more; empty if it does.
    """
    gates = (ReleaseGate.VALIDATION, ReleaseGate.READINESS, ReleaseGate.CARD)
    reasons = [_approval(tags, rule, answer, said), *(_outcome(tags, gate, rule) for gate in gates), stale]
    found = [reason for reason in reasons if reason]
    if not found:
        return Clearance(allowed=True)
    return Clearance(allowed=False, reason=f"{subject} must not receive traffic: {'; '.join(found)}")


def overridden(refused: Clearance, *, by: str, reason: str, approvers: Collection[str]) -> Clearance:
    """Lift a refusal if a named approver gave a reason; otherwise say what to do.

    :param by: the user; empty if nobody is known by name.
    :param reason: in the user's words; empty: no override is asked for.
    :param approvers: users who may; empty: every one who is known by name.
    """
    if refused.allowed:
        return refused
    if not reason:
        return replace(refused, reason=f"{refused.reason}; {_WHAT_TO_DO}")
    if not by:
        return replace(refused, reason=f"{refused.reason}; an override needs a user who is known by name")
    if approvers and by not in approvers:
        allowed = ", ".join(sorted(approvers))
        return replace(refused, reason=f"{refused.reason}; {by} may not override it, allowed: {allowed}")
    return replace(refused, allowed=True, override=f"overridden by {by}: {reason} ({refused.reason})")


def _approval(tags: Mapping[str, str], rule: ReleaseRule, answer: str, said: str) -> str:
    """Return why the approval is missing or refused; empty if it is neither."""
    if answer == ApprovalAnswer.APPROVED:
        return ""
    if answer:
        return said or answer
    if tags.get(ReleaseGate.APPROVAL.tag) == APPROVAL_ASKED:
        return "a person was asked to approve it and has not answered"
    return "nobody approved it" if ReleaseGate.APPROVAL in rule.required else ""


def _outcome(tags: Mapping[str, str], gate: ReleaseGate, rule: ReleaseRule) -> str:
    """Return why a gate's recorded outcome is not good enough; empty if it is."""
    known = tags.get(gate.tag, "")
    if known in _ACCEPTED:
        return ""
    if known:
        return f"its {gate} ended with {known!r}, allowed: {', '.join(_ACCEPTED)}"
    must = gate is ReleaseGate.VALIDATION or gate in rule.required
    return f"no {gate} is recorded with it" if must else ""
