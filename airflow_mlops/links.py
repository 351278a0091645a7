"""Buttons on a task's page that lead to what it kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

EVIDENCE_URL = "_mlops_evidence_url"


class EvidenceRunLink(BaseOperatorLink):
    """Leads to the MLflow run that holds the DAG run's evidence."""

    name = "Evidence run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL noted while the task ran; empty if it never opened its evidence run."""
        return getattr(operator, EVIDENCE_URL, "")
