from __future__ import annotations

import pytest

from airflow_mlops.backends import mlflow_server
from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.serving.local.model_process import free_port
from airflow_mlops.core.errors import ServiceUnavailableError


def test_document_is_not_called_missing_when_the_server_went_away(monkeypatch):
    monkeypatch.setitem(mlflow_server.RESTRAINT, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = MlflowServer(f"http://127.0.0.1:{free_port()}")
    server._reached = True  # it answered before
    with pytest.raises(ServiceUnavailableError, match="does not answer"):
        MlflowEvidence(server).read_json("run", "approval.json")
