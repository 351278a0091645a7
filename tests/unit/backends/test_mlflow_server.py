"""MLflow behind a proxy that wants a login, and what its refusals are called."""

from __future__ import annotations

import asyncio
import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.core.errors import (
    AccessDeniedError,
    RegistryRefusedError,
    ServiceUnavailableError,
)

LOGINS = ("Basic " + base64.b64encode(b"ann:secret").decode(), "Bearer token")


@pytest.fixture
def proxy():
    """A server that answers ``/health`` and searches to who is logged in; the test may replace answers."""
    answers = {}

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            known = self.headers.get("Authorization") in LOGINS
            status, headers, body = answers.get(self.path.split("?")[0], (200 if known else 401, {}, b"{}"))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that the base class calls

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", answers
    server.shutdown()
    thread.join()
    server.server_close()


def search(server):
    with server.session() as client:
        return list(client.search_experiments(max_results=1))


@pytest.mark.parametrize(
    ("login", "options"),
    [("", {"username": "ann", "password": "secret"}), ("", {"token": "token"}), ("ann:secret@", {})],
    ids=["login", "token", "login in the address"],
)
def test_health_is_asked_with_the_credentials(proxy, login, options):
    server = MlflowServer(f"http://{login}{proxy[0]}", **options)
    assert search(server) == []
    assert asyncio.run(server.ask("registered-models/get")) == {}
    assert server.uri == f"http://{proxy[0]}"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"username": "ann", "password": "wrong"}, "refuses the login 'ann' \\(401\\)"),
        ({"token": "old"}, "refuses the token"),
        ({}, "refuses a request without login and token"),
    ],
)
def test_wrong_login_is_named(proxy, options, named):
    server = MlflowServer(f"http://{proxy[0]}", **options)
    with pytest.raises(AccessDeniedError, match=named) as caught:
        search(server)
    with pytest.raises(ServiceUnavailableError, match=named):
        asyncio.run(server.ask("registered-models/get"))
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("body", [b"{}", b"<html>Log in</html>"], ids=["JSON", "a page"])
def test_login_that_only_the_interface_wants_is_named_too(proxy, body):
    proxy[1]["/health"] = (200, {}, b"OK")
    proxy[1]["/api/2.0/mlflow/experiments/search"] = (401, {}, body)
    with pytest.raises(AccessDeniedError, match="refuses a request without login and token"):
        search(MlflowServer(f"http://{proxy[0]}"))


def test_page_for_people_to_log_in_is_named(proxy):
    proxy[1]["/health"] = (302, {"Location": "https://login.example.org/x"}, b"")
    with pytest.raises(AccessDeniedError, match=r"sends to login\.example\.org \(302\), a page for people"):
        search(MlflowServer(f"http://{proxy[0]}", token="token"))


def test_refusal_of_mlflow_is_named_and_no_outage(proxy):
    refusal = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "nonsense was asked"}'
    proxy[1]["/api/2.0/mlflow/experiments/search"] = (400, {"Content-Type": "application/json"}, refusal)
    with pytest.raises(RegistryRefusedError, match=r"refuses: .*nonsense was asked"):
        search(MlflowServer(f"http://{proxy[0]}", token="token"))


@pytest.fixture
def evidence(tmp_path):
    return MlflowEvidence(MlflowServer(f"sqlite:///{tmp_path}/mlflow.db"))


def test_deleted_experiment_is_named_with_the_way_to_restore_it(evidence):
    key = EvidenceKey(model="m", dag_id="m__training", run_id="r1")
    run = evidence.open(key)
    with evidence.server.session() as client:
        number = client.get_experiment_by_name("m").experiment_id
        client.delete_experiment(number)
    named = f"experiment 'm' is deleted in MLflow.*mlflow experiments restore --experiment-id {number}"
    for ask in (lambda: evidence.open(key), lambda: evidence.search("m", {}), lambda: evidence.find("m", {})):
        with pytest.raises(RegistryRefusedError, match=named):
            ask()
    with pytest.raises(RegistryRefusedError, match="holds it as deleted"):
        evidence.set_tags(run, {"a": "b"})
    with evidence.server.session() as client:
        client.restore_experiment(number)
    assert evidence.open(key) == run
