"""Buttons on a task's page that lead to what it kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

EVIDENCE_URL = "_mlops_evidence_url"
REPORT_URL = "_mlops_report_url"
UPDATE_URL = "_mlops_update_url"


class EvidenceRunLink(BaseOperatorLink):
    """Leads to the MLflow run that holds the DAG run's evidence."""

    name = "Evidence run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL noted while the task ran; empty if it never opened its evidence run."""
        return getattr(operator, EVIDENCE_URL, "")


class FullReportLink(BaseOperatorLink):
    """Leads to the task's full report among the artifacts of the evidence run."""

    name = "Full report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL noted when the report was kept; empty before."""
        return getattr(operator, REPORT_URL, "")


class UpdateReportLink(BaseOperatorLink):
    """Leads to the report of the whole update: verdicts, metrics, segments, readiness, approval, rollout."""

    name = "Update report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL noted when the report was written; empty before."""
        return getattr(operator, UPDATE_URL, "")
