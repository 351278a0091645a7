"""Clearance of a registered version, from its tags and the decisions in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.backends.registry.protocol import DECISION
from airflow_mlops.core.errors import NotClearedError
from airflow_mlops.core.release.approval import ApprovalAnswer
from airflow_mlops.core.release.clearance import clearance, overridden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.backends.registry.protocol import DecisionEntry, ModelRegistry, ModelVersion
    from airflow_mlops.core.release.clearance import Clearance, ReleaseRule

_CLOCKS_APART = 300.0
"""Seconds by which the clocks of Airflow and of the registry may differ."""


def require_clearance(
    registry: ModelRegistry, model: str, version: str, rule: ReleaseRule, *, by: str = "", reason: str = ""
) -> Clearance:
    """Return the clearance of a version; stop the work if it is refused and not overridden.

    :param by: user who overrides a refusal; ``reason``: why; empty for no override.
    :raises NotClearedError: with every reason, and what to do.
    """
    known = registry.version(model, version)
    last = last_decision(registry.decisions(model), known)
    found = clearance(
        f"{model} version {known.version}",
        known.tags,
        rule,
        answer=last.decision if last else "",
        said=last.sentence if last else "",
    )
    found = overridden(found, by=by, reason=reason, approvers=rule.approvers)
    if not found.allowed:
        raise NotClearedError(found.reason)
    return found


def last_decision(decisions: Sequence[DecisionEntry], version: ModelVersion) -> DecisionEntry | None:
    """Return the last decision about a version, by its place in the ledger.

    An approval older than the version is about another one of the same number, of a model that was deleted
    and made again; a rejection counts in any case.

    :param decisions: of the model, oldest first.
    """
    oldest = version.created_at - _CLOCKS_APART
    about = [
        one
        for one in decisions
        if one.kind == DECISION
        and one.version == version.version
        and (one.decision != ApprovalAnswer.APPROVED or one.at >= oldest)
    ]
    return about[-1] if about else None


def override_by(given: str | None, context: Context) -> str:
    """Return who overrides a refusal: the user named, else the one who started the run; empty if unknown."""
    return (given or getattr(context["dag_run"], "triggering_user_name", None) or "").strip()
