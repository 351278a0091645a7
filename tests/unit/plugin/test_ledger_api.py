"""What the ledger's API shows to whom; with a real api-server it is tested in tests/browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.api_fastapi.core_api.security import get_user
from builders import promotion
from fastapi import HTTPException
from fastapi.testclient import TestClient

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.history import History
from airflow_mlops.backends.registry.protocol import DecisionEntry
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.plugin import ledger
from airflow_mlops.plugin.mlops import MlopsPlugin

HIDDEN = {"model": "m", "version": "2", "decision": "rejected", "dag_id": "secret", "number": 2}
HISTORY = History(
    model="m", champion="1", changes=(promotion("m", None, "1"),), decisions=(DecisionEntry(**HIDDEN),)
)


@pytest.fixture
def readable():
    """DAGs that the user may read."""
    return {"m__rollout", "secret"}


@pytest.fixture
def api(monkeypatch, readable):
    """The API for a signed-in user of an auth manager that knows permissions by DAG."""

    def requires(method, param_dag_id):
        def inner(request, user):
            assert (method, user) == ("GET", "ann")
            if param_dag_id not in readable:
                raise HTTPException(403, "Forbidden")

        return inner

    async def found(server, model):
        return HISTORY

    monkeypatch.setattr(ledger, "requires_access_dag", requires)
    monkeypatch.setattr(ledger, "read_history", found)
    monkeypatch.setattr(MlflowHook, "server", lambda self: MlflowServer("http://mlflow.test"))
    app = ledger.ledger_api()
    app.dependency_overrides = {get_user: lambda: "ann", ledger.READ_RUNS.dependency: lambda: None}
    return TestClient(app)


def test_changes_and_decisions_come_in_one_list_newest_first(api):
    answer = api.get("/ledger?model=m")
    said = answer.json()
    assert (said["champion"], said["withheld"]) == ("1", 0)
    assert [(e["kind"], e["dag_id"]) for e in said["entries"]] == [
        ("decision", "secret"),
        ("promotion", "m__rollout"),
    ]
    assert answer.headers["Cache-Control"] == "no-store"


def test_entries_of_dags_that_the_user_may_not_read_are_left_out_and_counted(api, readable):
    readable.remove("secret")
    said = api.get("/ledger?model=m").json()
    assert ([e["dag_id"] for e in said["entries"]], said["withheld"]) == (["m__rollout"], 1)


def test_ledger_of_which_the_user_may_read_nothing_is_forbidden(api, readable):
    readable.clear()
    answer = api.get("/ledger?model=m")
    assert (answer.status_code, "secret" in answer.text) == (403, False)


def test_entry_that_is_none_is_the_registrys_fault(api, monkeypatch):
    async def broken(server, model):
        raise InvalidRecordError("entry 3 of http://mlflow.test")

    monkeypatch.setattr(ledger, "read_history", broken)
    answer = api.get("/ledger?model=m")
    assert (answer.status_code, "mlflow.test" in answer.text) == (502, False)


@pytest.mark.parametrize(
    "address", ["sqlite:////secret/mlflow.db", "http://ann:secret@127.0.0.1:9"], ids=["no server", "away"]
)
def test_mlflow_that_cannot_be_read_is_named_without_its_address(api, monkeypatch, address):
    monkeypatch.setattr(MlflowHook, "server", lambda self: MlflowServer(address))
    answer = api.get("/models")
    assert answer.status_code == 503
    assert "MLflow cannot be read" in answer.text
    assert "secret" not in answer.text


def test_connection_that_is_not_there_is_named(api, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_CONN_ID", "nowhere")
    assert api.get("/models").status_code == 503


def test_every_route_asks_the_auth_manager():
    for route in ledger.ledger_api().routes:
        assert route.dependencies, route.path
        assert route.methods == ({"POST"} if route.path == "/stop" else {"GET"})


def test_plug_in_has_the_page_and_the_api_under_one_address():
    (app,) = MlopsPlugin().fastapi_apps
    (page,) = MlopsPlugin.react_apps
    assert (app["url_prefix"], page["bundle_url"]) == ("/mlops", "mlops/models.js")
    assert f"globalThis.{page['name']} = " in Path(ledger.__file__).with_name("models.js").read_text()
