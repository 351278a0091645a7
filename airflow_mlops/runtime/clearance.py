"""Clearance of a registered version, from its tags, the decisions in the ledger, and the champion now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, DECISION
from airflow_mlops.core.errors import InvalidRecordError, NotClearedError
from airflow_mlops.core.release.approval import ApprovalAnswer
from airflow_mlops.core.release.clearance import (
    COMPARED_WITH,
    NOT_COMPARED,
    clearance,
    overridden,
    stale_comparison,
)
from airflow_mlops.runtime.paths import VALIDATION_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.backends.evidence.protocol import EvidenceStore
    from airflow_mlops.backends.registry.protocol import DecisionEntry, ModelRegistry, ModelVersion
    from airflow_mlops.core.release.clearance import Clearance, ReleaseRule

_CLOCKS_APART = 300.0
"""Seconds by which the clocks of Airflow and of the registry may differ."""


def require_clearance(
    registry: ModelRegistry,
    model: str,
    version: str,
    rule: ReleaseRule,
    *,
    stale: str = "",
    by: str = "",
    reason: str = "",
) -> Clearance:
    """Return the clearance of a version; stop the work if it is refused and not overridden.

    :param stale: of :func:`stale_version`.
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
        stale=stale,
    )
    found = overridden(found, by=by, reason=reason, approvers=rule.approvers)
    if not found.allowed:
        raise NotClearedError(found.reason)
    return found


def compared_tag(champion: str | None) -> dict[str, str]:
    """Return the tag by which a version records the champion it was compared with."""
    return {COMPARED_WITH: champion or NOT_COMPARED}


def stale_version(store: EvidenceStore, version: ModelVersion, champion: str | None) -> str:
    """Return why a version's comparison does not hold any more; empty if it does, or is not known.

    Known is what validation recorded: a tag, of an earlier release the report in the evidence run.

    :param champion: the champion now.
    """
    compared = version.tags.get(COMPARED_WITH) or _reported(store, version)
    if compared is None or champion == version.version:
        return ""
    subject = f"{version.model} version {version.version}"
    stale = stale_comparison(subject, None if compared == NOT_COMPARED else compared, champion)
    if not stale:
        return ""
    run = "/".join(version.tags.get(name, "?") for name in ("mlops.dag_id", "mlops.run_id"))
    return f"{stale}; to compare again, clear validate_model in {run}"


def _reported(store: EvidenceStore, version: ModelVersion) -> str | None:
    try:
        versions = store.read_json(version.evidence_run, VALIDATION_PATH).get("versions")
    except InvalidRecordError:
        return None
    return versions.get(CHAMPION_ALIAS, NOT_COMPARED) if versions else None


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
