"""Extra links on a task's page: evidence run, full report, update report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


class RecordedLink(BaseOperatorLink):
    """A link whose URL the task records while it runs, as an XCom under the link's own key."""

    def record(self, context: Context, url: str) -> None:
        """Record the URL of the running task."""
        if url:
            context["ti"].xcom_push(key=self.xcom_key, value=url)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the recorded URL; empty if there is none."""
        from airflow.sdk.execution_time.xcom import XCom

        return str(XCom.get_value(ti_key=ti_key, key=self.xcom_key) or "")


class EvidenceRunLink(RecordedLink):
    """Link to the MLflow run that holds the DAG run's evidence."""

    name = "Evidence run"


class FullReportLink(RecordedLink):
    """Link to the task's full report, an artifact of the evidence run."""

    name = "Full report"


class UpdateReportLink(RecordedLink):
    """Link to the report of the whole update: verdicts, metrics, segments, readiness, approval, rollout."""

    name = "Update report"
