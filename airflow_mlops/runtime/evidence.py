"""The evidence run of the running DAG run, as operators use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_mlops.backends.evidence.protocol import EvidenceKey, EvidenceStore
from airflow_mlops.core.record import Record
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import EvidenceRunLink, FullReportLink
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import page_path, report_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_mlops.core.data.skew.report import SkewReport


@dataclass(frozen=True, slots=True)
class RunEvidence:
    """An evidence store with one of its runs opened.

    :param url: the run's page in the store's UI; empty without one.
    """

    store: EvidenceStore
    run: str
    url: str = ""

    def keep(self, path: str, document: Record | Mapping[str, Any]) -> dict[str, str]:
        """Store a document and return its location: ``{"evidence_run": ..., "path": ...}``."""
        self.store.write_json(
            self.run, path, document.to_json() if isinstance(document, Record) else document
        )
        return {"evidence_run": self.run, "path": path}

    def url_of(self, path: str) -> str:
        """Return the URL of a document of the run; empty for a store without a UI."""
        return self.url and f"{self.url}/artifacts/{quote(path)}"


def evidence_key(model: str, context: Context) -> EvidenceKey:
    """Return the identity of the running DAG run: the same for every task and try of it."""
    dag_run = context["dag_run"]
    return EvidenceKey(model=model, dag_id=dag_run.dag_id, run_id=dag_run.run_id)


def open_evidence(mlflow_conn_id: str, model: str, context: Context) -> RunEvidence:
    """Open the evidence run of the running DAG run; the first task creates it.

    :raises AirflowFailException: MLflow refuses, e.g. the login or a deleted experiment: no retry helps.
    """
    key = evidence_key(model, context)
    tags = {"mlops.partition": str(context["dag_run"].partition_key or "")}
    hook = MlflowHook(mlflow_conn_id)
    with fail_fast():
        store = hook.evidence()
        run = store.open(key, tags)
        evidence = RunEvidence(store=store, run=run, url=hook.ui_url(run))
    EvidenceRunLink().record(context, evidence.url)
    return evidence


def keep_report(
    evidence: RunEvidence, path: str, document: Record | Mapping[str, Any], context: Context
) -> dict[str, str]:
    """Store a document as the task's full report, the target of the button *Full report*."""
    evidence.keep(path, document)
    return note_report(evidence, path, context)


def keep_skew(
    evidence: RunEvidence, gate: str, report: SkewReport, context: Context, reference: Mapping[str, Any]
) -> dict[str, str]:
    """Store a skew report as JSON and as an HTML page, the target of the button *Full report*.

    :param reference: description of the reference, added to the JSON.
    """
    from airflow_mlops.backends.reporting.skew import render_skew

    kept = evidence.keep(report_path(gate), report.to_json() | {"reference": dict(reference)})
    page = render_skew(report, title=f"{gate} report".replace("_", " ").capitalize())
    keep_page(evidence, page_path(gate), page, context)
    return kept


def keep_page(evidence: RunEvidence, path: str, text: str, context: Context) -> dict[str, str]:
    """Store a text, such as HTML, as the task's full report."""
    evidence.store.write_text(evidence.run, path, text)
    return note_report(evidence, path, context)


def note_report(evidence: RunEvidence, path: str, context: Context) -> dict[str, str]:
    """Make a stored document the target of the button *Full report*; return its location."""
    FullReportLink().record(context, evidence.url_of(path))
    return {"evidence_run": evidence.run, "path": path}
