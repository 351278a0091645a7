from __future__ import annotations

import json
import sys

import pytest
from fakes.kubernetes_client import kubernetes_connection

from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.serving import RemoteServingHook, ServingHook
from airflow_mlops.hooks.serving_backends import EXTRAS
from airflow_mlops.provider_info import get_provider_info


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


def test_watchers_share_a_back_end_until_the_connection_is_another(connection, tmp_path):
    connection(conn_type="mlops_serving", extra={"state_dir": str(tmp_path)})
    first = ServingHook("c").shared_backend()
    assert ServingHook("c").shared_backend() is first
    assert ServingHook("c").backend() is not first
    connection(conn_type="mlops_serving", extra={"state_dir": str(tmp_path / "b")})
    assert ServingHook("c").shared_backend().state_dir == tmp_path / "b"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"conn_type": "http"}, "type 'http'; allowed: mlops_local_serving"),
        ({"conn_type": "mlops_local_serving"}, "extra: key 'state_dir' is missing: the folder that holds"),
        (
            {"conn_type": "mlops_local_serving", "extra": {"state_dir": "/x", "prts": 1}},
            "extra: unknown key 'prts'; one of: .*state_dir.*did you mean 'ports'",
        ),
        (
            {"conn_type": "mlops_local_serving", "extra": {"state_dir": "/x", "ports": {"m": 99999}}},
            "extra: ports.m: 99999, allowed: 65535 or less",
        ),
        (
            {"conn_type": "mlops_local_serving", "extra": {"state_dir": "/x", "workers": 0}},
            "extra: workers: 0, allowed: 1 or more",
        ),
    ],
)
def test_serving_connection_with_a_mistake_is_named(connection, fields, named):
    connection(**fields)
    with pytest.raises(InvalidConfigError, match=named):
        ServingHook("c").backend()


KSERVE = {"backend": "kserve", "models": "s3://m/{endpoint}/{version}"}
VERTEX = {
    "backend": "vertex",
    "models": "projects/p/locations/r/models/{endpoint}@{version}",
    "endpoints": {"m": "projects/p/locations/r/endpoints/7"},
}


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"backend": "sagemaker"}, "extra: backend: 'sagemaker', one of: local, kserve, http_route, vertex"),
        ({"backend": "kserve"}, "extra: key 'models' is missing: where models are"),
        ({"backend": "http_route"}, "extra: key 'services' is missing: names of Services"),
        (
            {"backend": "vertex", "models": "x"},
            "extra: key 'endpoints' is missing: resource name per endpoint",
        ),
        ({**KSERVE, "state_dir": "/x"}, "extra: unknown key 'state_dir'; one of: .*models"),
        ({**KSERVE, "names": "demo"}, "extra: names: 'demo', allowed: a mapping"),
        ({**KSERVE, "ready_seconds": True}, "extra: ready_seconds: True, allowed: a number"),
        ({**KSERVE, "models": "s3://m"}, "model location 's3://m'; allowed: a text with"),
        ({**VERTEX, "endpoints": {"m": "7"}}, "'7'; allowed: projects"),
        (
            {
                **VERTEX,
                "endpoints": {
                    "m": "projects/p/locations/a/endpoints/1",
                    "n": "projects/p/locations/b/endpoints/1",
                },
            },
            "endpoints: regions a, b, allowed: one",
        ),
    ],
)
def test_remote_serving_connection_with_a_mistake_is_named(connection, extra, named):
    connection(conn_type="mlops_serving", extra=extra)
    with pytest.raises(InvalidConfigError, match=named):
        ServingHook("c").backend()


def test_local_connection_type_serves_nothing_else(connection):
    connection(conn_type="mlops_local_serving", extra=KSERVE)
    with pytest.raises(InvalidConfigError, match="'kserve'; type mlops_local_serving is always local"):
        ServingHook("c").backend()


def test_any_connection_type_serves_locally_too(connection, tmp_path):
    connection(conn_type="mlops_serving", extra={"backend": "local", "state_dir": str(tmp_path)})
    assert ServingHook("c").backend().state_dir == tmp_path


@pytest.mark.parametrize(
    ("extra", "package", "installed"),
    [
        (KSERVE, "kubernetes", "airflow.providers.cncf.kubernetes"),
        (VERTEX, "google", "airflow.providers.google"),
    ],
)
def test_package_that_is_not_installed_is_named(connection, monkeypatch, extra, package, installed):
    for name in [name for name in sys.modules if name.startswith(installed)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, installed, None)
    connection(conn_type="mlops_serving", extra=extra)
    with pytest.raises(MissingDependencyError, match=rf"airflow-provider-mlops\[{package}\]"):
        ServingHook("c").backend()
    passed, why = ServingHook("c").test_connection()
    assert not passed
    assert package in why


def test_kubernetes_connection_gives_client_and_namespace(connection, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", kubernetes_connection("http://127.0.0.1:9"))
    connection(conn_type="mlops_serving", extra={**KSERVE, "ready_seconds": 5, "mode": "Knative"})
    objects = ServingHook("c").backend().platform.objects
    assert ServingHook("c").test_connection() == (True, "kserve: understood; no endpoint was read")
    assert objects.namespace == "models"
    assert objects.client.api_client.configuration.host == "http://127.0.0.1:9"
    assert objects.retrier.retry_policy.ready_seconds == 5
    connection(conn_type="mlops_serving", extra={"backend": "http_route", "services": "{endpoint}-{version}"})
    assert ServingHook("c").backend().platform.port == 80


def test_google_connection_gives_the_client_of_the_endpoints_region(connection, monkeypatch):
    google = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True}}
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(google))
    name = "projects/p/locations/europe-west4/endpoints/7"
    connection(conn_type="mlops_serving", extra={**VERTEX, "endpoints": {"m": name}})
    backend = ServingHook("c").backend()
    assert backend.platform.store.client.client.api_endpoint == "europe-west4-aiplatform.googleapis.com:443"
    assert backend.url("m") == f"https://europe-west4-aiplatform.googleapis.com/v1/{name}:predict"


def test_every_back_end_has_its_extras_in_the_form():
    form = next(t for t in get_provider_info()["connection-types"] if t["connection-type"] == "mlops_serving")
    assert form["conn-fields"]["backend"]["schema"]["enum"] == list(EXTRAS)
    for extra in EXTRAS.values():
        needed = {name for name, field in extra.model_fields.items() if field.is_required()}
        assert needed <= set(form["conn-fields"])
    assert form["hook-class-name"].endswith(RemoteServingHook.__name__)
    assert RemoteServingHook.conn_type == "mlops_serving"
