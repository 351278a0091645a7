"""Base of the tasks between training and nomination: a candidate, and the verdict that may skip them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.core.verdict import Verdict
from airflow_mlops.links import EvidenceRunLink, FullReportLink, UpdateReportLink

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.sdk import BaseOperatorLink


class CandidateOperator(BaseOperator):
    """A task about a candidate.

    :param model: registered model. Templated.
    :param candidate: what ``TrainModelOperator`` returned. Templated.
    :param verdict: what ``ValidateModelOperator`` returned; ``None`` to proceed without one. Templated.
    """

    template_fields: Sequence[str] = ("model", "candidate", "verdict")
    operator_extra_links: Collection[BaseOperatorLink] = (
        EvidenceRunLink(),
        FullReportLink(),
        UpdateReportLink(),
    )
    ui_color = "#ead1dc"

    def __init__(
        self,
        *,
        model: str,
        candidate: Any,
        verdict: Any = None,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.candidate = candidate
        self.verdict = verdict
        self.mlflow_conn_id = mlflow_conn_id


def skip_refused(verdict: Any) -> None:
    """Skip the task if a verdict refused the candidate."""
    if verdict is None:
        return
    said = Verdict.from_json(verdict)
    if not said.outcome.is_accepted:
        raise AirflowSkipException(said.sentence())
