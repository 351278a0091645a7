"""What is written over REST when MLflow answers, refuses, or hangs; with a real one: integration/release."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.rest_ledger import RestLedger
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd

END = RolloutEnd(id="e1", model="m", kind=EndKind.STOPPED, version="2", reason="why", actor="ann")


@pytest.fixture
def mlflow(monkeypatch):
    """MLflow's REST interface; the test may replace its answers by path."""
    answers = {
        "model-versions/search": lambda request: httpx.Response(200, json={}),
        "registered-models/create": lambda request: httpx.Response(
            400, json={"error_code": "RESOURCE_ALREADY_EXISTS"}
        ),
        "model-versions/create": lambda request: httpx.Response(
            200, json={"model_version": {"version": "7"}}
        ),
    }
    asked = []

    async def answer(request):
        path = request.url.path.removeprefix("/api/2.0/mlflow/")
        asked.append((path, json.loads(request.content or b"{}")))
        found = answers[path](request)
        return await found if asyncio.iscoroutine(found) else found

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(
        MlflowServer, "http", lambda self: httpx.AsyncClient(base_url=self.uri, transport=transport)
    )
    return answers, asked


def test_end_is_a_version_of_the_ledger_with_its_number(mlflow):
    assert RestLedger(MlflowServer("http://mlflow.test")).record_end(END).number == 7
    path, document = mlflow[1][-1]
    assert (path, document["name"], document["source"]) == (
        "model-versions/create",
        "m.mlops-ledger",
        "mlops-ledger:/m",
    )
    assert RolloutEnd.from_json(json.loads(document["tags"][0]["value"])) == END


def test_end_that_is_there_is_not_written_again(mlflow):
    answers, asked = mlflow
    tag = {"key": "mlops.end", "value": json.dumps(END.to_json())}
    found = {"model_versions": [{"version": "3", "tags": [tag]}]}
    answers["model-versions/search"] = lambda request: httpx.Response(200, json=found)
    assert RestLedger(MlflowServer("http://mlflow.test")).record_end(END).number == 3
    assert [path for path, _ in asked] == ["model-versions/search"]


@pytest.mark.parametrize("path", ["registered-models/create", "model-versions/create"])
def test_refusal_is_an_outage(mlflow, path):
    mlflow[0][path] = lambda request: httpx.Response(503)
    with pytest.raises(ServiceUnavailableError, match="does not answer"):
        RestLedger(MlflowServer("http://mlflow.test")).record_end(END)


def test_mlflow_that_hangs_is_left_in_time(mlflow):
    mlflow[0]["model-versions/search"] = lambda request: asyncio.Event().wait()
    with pytest.raises(ServiceUnavailableError, match=r"did not answer within 0\.05 s"):
        RestLedger(MlflowServer("http://mlflow.test"), seconds=0.05).record_end(END)
