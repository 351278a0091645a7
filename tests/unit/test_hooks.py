from __future__ import annotations

import json

import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.serving import ServingHook


@pytest.fixture
def connection(monkeypatch):
    def make(**fields):
        monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps(fields))

    return make


@pytest.mark.parametrize(
    ("fields", "uri"),
    [
        ({"host": "https://mlflow.example.org"}, "https://mlflow.example.org"),
        ({"host": "mlflow", "port": 5000}, "http://mlflow:5000"),
        ({"host": "sqlite:///mlflow.db"}, "sqlite:///mlflow.db"),
    ],
)
def test_mlflow_address_comes_from_the_connection(connection, fields, uri):
    connection(conn_type="mlflow", **fields)
    assert MlflowHook("c").server().uri == uri


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "'c': host is empty"),
        ({"host": "x", "extra": {"tokn": "t"}}, "unknown extra 'tokn'; allowed: token"),
    ],
)
def test_mlflow_connection_with_a_mistake_is_named(connection, fields, named):
    connection(conn_type="mlflow", **fields)
    with pytest.raises(InvalidConfigError, match=named):
        MlflowHook("c").server()


def test_mlflow_connection_can_be_tested(connection, tmp_path):
    connection(conn_type="mlflow", host=f"sqlite:///{tmp_path}/mlflow.db")
    assert MlflowHook("c").test_connection() == (True, "MLflow answers")
    assert MlflowHook("c").ui_url("run") == ""
    connection(conn_type="mlflow", host="http://127.0.0.1:9")
    passed, why = MlflowHook("c").test_connection()
    assert not passed
    assert "http://127.0.0.1:9 does not answer" in why


def test_local_serving_comes_from_the_connection(connection, tmp_path):
    connection(conn_type="mlops_local_serving", extra={"state_dir": str(tmp_path), "ports": {"m": 8080}})
    hook = ServingHook("c")
    assert hook.backend().ports == {"m": 8080}
    assert hook.inference_log_dir == tmp_path / "inference_log"
    assert hook.test_connection() == (True, f"endpoints live in {tmp_path}")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"conn_type": "http"}, "type 'http'; allowed: mlops_local_serving"),
        ({"conn_type": "mlops_local_serving"}, "extra 'state_dir' is missing"),
        (
            {"conn_type": "mlops_local_serving", "extra": {"state_dir": "/x", "prts": 1}},
            "unknown extra 'prts'; allowed: state_dir",
        ),
        (
            {"conn_type": "mlops_local_serving", "extra": {"state_dir": "/x", "ports": {"m": 99999}}},
            "1 to 65535",
        ),
    ],
)
def test_serving_connection_with_a_mistake_is_named(connection, fields, named):
    connection(**fields)
    with pytest.raises(InvalidConfigError, match=named):
        ServingHook("c").backend()
