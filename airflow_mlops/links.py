"""Extra links on a task's page: evidence run, full report, update report."""

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
    """Link to the MLflow run that holds the DAG run's evidence."""

    name = "Evidence run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL recorded while the task ran; empty if it did not open its evidence run."""
        return getattr(operator, EVIDENCE_URL, "")


class FullReportLink(BaseOperatorLink):
    """Link to the task's full report, an artifact of the evidence run."""

    name = "Full report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL recorded when the report was stored; empty before."""
        return getattr(operator, REPORT_URL, "")


class UpdateReportLink(BaseOperatorLink):
    """Link to the report of the whole update: verdicts, metrics, segments, readiness, approval, rollout."""

    name = "Update report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL recorded when the report was written; empty before."""
        return getattr(operator, UPDATE_URL, "")
