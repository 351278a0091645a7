"""Security operator: clients whose number of requests suggests model extraction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.links import EvidenceRunLink
from airflow_mlops.runtime.evidence import open_evidence
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.paths import EXTRACTION_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_mlops.core.validation.security.security import ExtractionPolicy

_HOUR = 3600.0


class CheckExtractionOperator(BaseOperator):
    """Counts requests per client in the inference log; returns the verdict and does not fail on it.

    :param model: registered model; also the endpoint. Templated.
    :param policy: thresholds, and the logged column that names the client.
    :param hours: length of the period, back from now.
    """

    template_fields: Sequence[str] = ("model",)
    operator_extra_links = (EvidenceRunLink(),)
    ui_color = "#ead1dc"

    def __init__(
        self,
        *,
        model: str,
        policy: ExtractionPolicy,
        hours: float = 24.0,
        serving_conn_id: str = "mlops_serving",
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.policy = policy
        self.hours = hours
        self.serving_conn_id = serving_conn_id
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Count, store the report, return the verdict."""
        from airflow_mlops.backends.metrics.inference_log import client_names, read_inference_log
        from airflow_mlops.core.validation.security.extraction import judge_extraction

        evidence = open_evidence(self.mlflow_conn_id, self.model, context)
        with fail_fast():
            folder = ServingHook(self.serving_conn_id).inference_log_dir
            log = read_inference_log(folder, self.model, since=time.time() - self.hours * _HOUR)
        clients = client_names(log, self.policy.client)
        verdict = judge_extraction(clients, log.answers["time"].to_numpy(), self.policy)
        evidence.keep(EXTRACTION_PATH, verdict)
        self.log.info(verdict.sentence())
        return verdict.to_json()
