"""Extra links on a task's page: evidence run, full report, update report."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

_logger = logging.getLogger(__name__)


class RecordedLink(BaseOperatorLink):
    """A link whose URL the task records while it runs, as an XCom under the link's own key."""

    def record(self, context: Context, url: str) -> None:
        """Record the URL of the running task; without a task instance there is no page to show it on.

        A link is a convenience: a push that fails is logged, and the task goes on.
        """
        push = getattr(context.get("ti"), "xcom_push", None)
        if not url or push is None:
            return
        try:
            push(key=self.xcom_key, value=url)
        except Exception as error:  # noqa: BLE001 - whatever the XCom backend raises
            _logger.warning("link %r was not recorded: %s: %s", self.name, type(error).__name__, error)

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
