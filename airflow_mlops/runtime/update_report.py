"""Update report, rebuilt from the documents of the evidence run after each task that stores one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.evidence.protocol import EvidenceStore
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.verdict import Verdict, VerdictSummary, summary
from airflow_mlops.links import UpdateReportLink
from airflow_mlops.runtime.evidence import RunEvidence
from airflow_mlops.runtime.paths import (
    APPROVAL_PATH,
    CANDIDATE_PATH,
    CARD_PAGE_PATH,
    CARD_PATH,
    NOMINATED,
    PROFILE_PATH,
    READINESS_PATH,
    ROLLOUT,
    ROLLOUT_REPORT_PATH,
    STAGE,
    UPDATE_PAGE_PATH,
    UPDATE_PATH,
    VALIDATION_PATH,
    VERSION,
    page_path,
    report_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.sdk import Context

    from airflow_mlops.core.release.version_status import Parts, UpdateRollout
    from airflow_mlops.core.training.candidate import Candidate

_UPDATE = "update"
_DOCUMENTS = {
    "schema": report_path("schema"),
    "skew": page_path("skew"),
    "validation": VALIDATION_PATH,
    "readiness": READINESS_PATH,
    "card": CARD_PAGE_PATH,
}
"""Part of the report and the document that it links to."""
_MOST = 10
_MOST_ROLLOUTS = 3
_logger = logging.getLogger(__name__)


def keep_update(evidence: RunEvidence, candidate: Candidate, context: Context) -> None:
    """Write the report into the evidence run of the running DAG run, over an older one.

    An error here never changes a decision: it is logged, and the next task writes the report again.
    """
    model, version = candidate.model, candidate.version
    try:
        evidence.store.set_tags(evidence.run, {VERSION: version, STAGE: _UPDATE})
        kept = _Kept(evidence.store, tuple(dict.fromkeys((evidence.run, candidate.evidence_run))))
        _write(kept, model, version, evidence.url, context)
    except Exception:
        _logger.exception("no update report of %s version %s; the decision is unchanged", model, version)


def keep_update_of(evidence: RunEvidence, model: str, context: Context) -> None:
    """Rewrite the newest report of a rollout's version."""
    store = evidence.store
    try:
        version = store.tags(evidence.run)[VERSION]
        reported = store.find(model, {VERSION: version, STAGE: _UPDATE}, limit=1)
        if not reported:
            _logger.info("version %s of %s has no update report to rewrite", version, model)
            return
        before = store.read_json(reported[0], UPDATE_PATH).get("candidate") or {}
        run_url = evidence.url.replace(evidence.run, reported[0])
        runs = tuple(dict.fromkeys(filter(None, (reported[0], before.get("evidence_run")))))
        _write(_Kept(store, runs), model, version, run_url, context)
    except Exception:
        _logger.exception("no update report of %s after its rollout; the decision is unchanged", model)


def _write(kept: _Kept, model: str, version: str, run_url: str, context: Context) -> None:
    from airflow_mlops.backends.reporting.update import render_update
    from airflow_mlops.core.release.version_status import update_report

    run = kept.runs[0]
    report = update_report(
        _parts(kept, model, version),
        model=model,
        version=version,
        evidence_run=run,
        written_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
    page = render_update(report, run_url, _DOCUMENTS)
    kept.store.write_json(run, UPDATE_PATH, report.to_json())
    kept.store.write_text(run, UPDATE_PAGE_PATH, page)
    UpdateReportLink().record(context, RunEvidence(kept.store, run, run_url).url_of(UPDATE_PAGE_PATH))


@dataclass
class _Kept:
    """Documents of an update, and the reasons of those that are missing.

    :param runs: evidence runs to search: the DAG run's own first, then that of the training.
    """

    store: EvidenceStore
    runs: tuple[str, ...]
    missing: dict[str, str] = field(default_factory=dict)

    def read(self, part: str, path: str, make: Callable[[dict[str, Any]], Any]) -> Any:
        """Return a document converted by ``make``; ``None``, with a noted reason, if there is none."""
        try:
            document = self._document(path)
            return self.lacks(part, "no task of this run stored it") if document is None else make(document)
        except (InvalidRecordError, KeyError, TypeError, ValueError) as error:
            return self.lacks(part, f"{path} cannot be read: {error}")

    def _document(self, path: str) -> dict[str, Any] | None:
        for run in self.runs:
            try:
                return self.store.read_json(run, path)
            except InvalidRecordError:
                continue
        return None

    def lacks(self, part: str, reason: str) -> None:
        """Record a missing part."""
        self.missing[part] = reason


def _parts(kept: _Kept, model: str, version: str) -> Parts:
    """Read all documents of the run; unreadable ones are recorded as missing."""
    from airflow_mlops.core.release.readiness import ReadinessReport
    from airflow_mlops.core.release.version_status import Missing, Parts
    from airflow_mlops.core.training.candidate import Candidate
    from airflow_mlops.core.validation.report import Report

    skew = kept.read("skew", report_path("skew"), _skew) or (None, None)
    return Parts(
        candidate=kept.read("candidate", CANDIDATE_PATH, Candidate.from_json),
        data=_data(kept),
        schema=kept.read("schema", report_path("schema"), _schema),
        skew_verdict=skew[0],
        skew=skew[1],
        validation=kept.read("validation", VALIDATION_PATH, Report.from_json),
        readiness=kept.read("readiness", READINESS_PATH, ReadinessReport.from_json),
        card=kept.read("card", CARD_PATH, _card),
        approval=kept.read("approval", APPROVAL_PATH, partial(_decision, version)),
        nominated=kept.store.tags(kept.runs[0]).get(NOMINATED) == version,
        rollouts=_rollouts(kept, model, version),
        missing=tuple(Missing(part=part, reason=reason) for part, reason in kept.missing.items()),
    )


def _data(kept: _Kept) -> Any:
    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.release.version_status import ColumnNulls, UpdateData

    def update_data(document: Mapping[str, Any]) -> UpdateData:
        profile = Profile.from_json(document)
        shares = [
            ColumnNulls(name=c.name, null_share=c.nulls / max(1, profile.rows)) for c in profile.columns
        ]
        worst = sorted((one for one in shares if one.null_share > 0), key=lambda one: -one.null_share)
        return UpdateData(
            partitions=profile.partitions,
            rows=profile.rows,
            columns=len(profile.columns),
            nulls=tuple(worst[:_MOST]),
        )

    return kept.read("data", PROFILE_PATH, update_data)


def _decision(version: str, document: dict[str, Any]) -> Any:
    from airflow_mlops.core.release.approval import ApprovalDecision

    decision = ApprovalDecision.from_json(document)
    if decision.version != version:
        msg = f"it is about version {decision.version}"
        raise InvalidRecordError(msg)
    return decision


def _schema(document: dict[str, Any]) -> VerdictSummary:
    return summary(Verdict.from_json(document), {"path": report_path("schema")})


def _skew(document: dict[str, Any]) -> Any:
    from airflow_mlops.core.data.skew.report import SkewReport
    from airflow_mlops.core.release.version_status import UpdateSkew

    report = SkewReport.from_json(document)
    return summary(report.verdict, {"path": report_path("skew")}), UpdateSkew(
        reference_rows=report.reference_rows,
        current_rows=report.current_rows,
        skewed=report.skewed_columns,
        tests=report.tests[:_MOST],
        notes=report.notes,
    )


def _card(document: dict[str, Any]) -> Any:
    from airflow_mlops.core.release.card import ModelCard
    from airflow_mlops.core.release.version_status import CardState

    sections = ModelCard.from_json(document).sections
    return CardState(
        stated=tuple(one.title for one in sections if one.is_filled),
        empty=tuple(one.title for one in sections if not one.is_filled),
    )


def _rollouts(kept: _Kept, model: str, version: str) -> tuple[UpdateRollout, ...]:
    """Return the version's rollouts, newest first; each has its own evidence run."""
    from airflow_mlops.core.release.version_status import UpdateRollout
    from airflow_mlops.core.rollout.history import RolloutHistory

    found = kept.store.search(model, {VERSION: version, STAGE: ROLLOUT}, limit=_MOST_ROLLOUTS)
    if not found:
        kept.lacks("rollout", "no rollout of this version has begun")
    rollouts = []
    for run, tags in found:
        its = _Kept(kept.store, (run,))
        history = its.read("rollout", ROLLOUT_REPORT_PATH, RolloutHistory.from_json)
        rollouts.append(
            UpdateRollout(evidence_run=run, outcome=tags.get("mlops.rollout", ""), history=history)
        )
    return tuple(rollouts)
