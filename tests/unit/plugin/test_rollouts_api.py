"""What the API tells of rollouts, and who may stop one; with a real API server: tests/browser."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from airflow.api_fastapi.core_api.security import get_user
from builders import canary_beside_champion
from fastapi import HTTPException
from fastapi.testclient import TestClient

from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.lease import stopped
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.plugin import ledger, rollouts
from airflow_mlops.plugin.rollouts import STOP_HEADER

HOLDER = "special__rollout/run-1"
OURS = {STOP_HEADER: "stop", "Content-Type": "application/json"}
STOP = {"model": "m", "reason": "complaints since noon"}


@pytest.fixture
def serving(monkeypatch):
    """Version 2 gets 25 % beside version 1, in a rollout of a DAG of its own."""
    backend = canary_beside_champion(HOLDER)
    monkeypatch.setattr(ServingHook, "shared_backend", lambda self: backend)
    return backend


@pytest.fixture
def registry(monkeypatch):
    found = InMemoryRegistry()
    monkeypatch.setattr(rollouts, "_ledger", lambda: found)
    return found


@pytest.fixture
def allowed():
    """What the user may do, as pairs of method and DAG."""
    return {("PUT", "special__rollout"), ("GET", "special__rollout")}


@pytest.fixture
def api(monkeypatch, allowed, serving, registry):
    """The API for a signed-in user of an auth manager that knows permissions by DAG."""
    ann = SimpleNamespace(get_name=lambda: "ann", get_id=lambda: "1")

    def requires(method, param_dag_id):
        def inner(request, user):
            assert user is ann
            if (method, param_dag_id) not in allowed:
                raise HTTPException(403, "Forbidden")

        return inner

    monkeypatch.setattr(rollouts, "requires_access_dag", requires)
    app = ledger.ledger_api()
    app.dependency_overrides = {get_user: lambda: ann, rollouts.READ_RUNS.dependency: lambda: None}
    return TestClient(app, base_url="http://airflow.test")


def stop(api, asked=STOP, headers=OURS):
    return api.post("/stop", json=asked, headers=headers)


def test_stop_takes_the_canary_out_of_traffic_and_names_the_user(api, serving, registry):
    answer = stop(api)
    said = answer.json()
    assert (answer.status_code, said["ledger"]) == (200, "written")
    assert said["sentence"].startswith("m: version 2 stopped, 25 % → 0 %; version 1 serves")
    assert serving.traffic("m").canary is None
    (end,) = registry.ends("m")
    assert (end.kind, end.actor, end.reason) == ("stopped", "ann", "complaints since noon")


def test_mlflow_that_is_away_leaves_the_entry_pending_and_its_address_unsaid(api, serving, monkeypatch):
    class Away:
        def record_end(self, end):
            raise ServiceUnavailableError("MLflow at http://secret does not answer")

    monkeypatch.setattr(rollouts, "_ledger", Away)
    answer = stop(api)
    assert (answer.status_code, answer.json()["ledger"], "secret" in answer.text) == (200, "pending", False)
    assert (serving.traffic("m").canary, len(serving.pending_ends("m"))) == (None, 1)


def test_nothing_to_stop_is_an_answer(api, serving, allowed):
    serving.stop("m", None, now=time.time())
    allowed.add(("PUT", "m__rollout"))
    said = stop(api).json()
    assert ("nothing to stop" in said["sentence"], said["ledger"]) == (True, "")


def test_dag_of_the_rollout_that_holds_the_endpoint_decides_who_may_stop(api, serving, allowed):
    allowed.remove(("PUT", "special__rollout"))
    allowed.add(("PUT", "m__rollout"))
    assert stop(api).status_code == 403
    assert serving.traffic("m").canary_percent == 25


def test_user_who_is_not_signed_in_is_401(serving):
    answer = TestClient(ledger.ledger_api()).post("/stop", json=STOP, headers=OURS)
    assert answer.status_code == 401
    assert TestClient(ledger.ledger_api()).get("/rollout?model=m").status_code == 401
    assert serving.traffic("m").canary_percent == 25


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "application/json"}, 403),
        ({**OURS, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**OURS, "Sec-Fetch-Site": "same-site"}, 403),
        ({**OURS, "Origin": "http://evil.test"}, 403),
        ({**OURS, "Origin": "null"}, 403),
        ({**OURS, "Content-Type": "text/plain"}, 415),
        ({**OURS, "Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
    ids=["header", "cross-site", "same-site", "origin", "null origin", "text", "form"],
)
def test_what_another_site_could_send_is_refused(api, serving, headers, code):
    assert stop(api, headers=headers).status_code == code
    assert serving.traffic("m").canary_percent == 25


@pytest.mark.parametrize(
    "more",
    [
        {"Origin": "http://airflow.test"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
        {"Content-Type": "application/json; charset=utf-8"},
    ],
    ids=["origin", "fetch", "charset"],
)
def test_own_page_is_let_in(api, more):
    assert stop(api, headers=OURS | more).status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "m"},
        {"model": "m", "reason": " \n"},
        {"model": "m", "reason": "x" * 1001},
        {"model": "m'", "reason": "why"},
        {**STOP, "version": "2"},
        [],
    ],
    ids=["no reason", "empty reason", "long reason", "name", "more", "list"],
)
def test_request_that_is_none_is_422(api, serving, asked):
    assert stop(api, asked).status_code == 422
    assert serving.traffic("m").canary_percent == 25


def test_unknown_endpoint_is_404_for_whoever_may_know(api, allowed):
    assert stop(api, {"model": "x", "reason": "why"}).status_code == 403
    allowed.add(("PUT", "x__rollout"))
    answer = stop(api, {"model": "x", "reason": "why"})
    assert (answer.status_code, "m" in answer.json()["detail"].split()) == (404, False)


def test_back_end_that_is_away_is_503_without_its_address(api, serving, allowed, monkeypatch):
    def away(*_, **__):
        raise ServiceUnavailableError("https://10.0.0.1 does not answer")

    monkeypatch.setattr(serving, "stop", away)
    assert stop(api).status_code == 503
    monkeypatch.setattr(serving, "endpoints", away)
    assert stop(api).status_code == 403
    allowed.add(("PUT", "m__rollout"))
    answer = stop(api)
    assert (answer.status_code, "10.0.0.1" in answer.text) == (503, False)
    assert api.get("/endpoints").status_code == 503


def test_gateway_that_is_away_does_not_hide_whose_rollout_it_is(api, serving, monkeypatch):
    def away(endpoint):
        raise ServiceUnavailableError("the gateway does not answer")

    monkeypatch.setattr(serving, "traffic", away)
    assert rollouts._holder(serving, "m") == HOLDER
    serving.leases["m"] = stopped(serving.leases["m"])
    assert rollouts._holder(serving, "m") == ""


def test_rollout_is_shown_to_who_may_read_its_dag(api, allowed):
    said = api.get("/rollout?model=m").json()
    assert (said["traffic"]["canary"], said["traffic"]["canary_percent"]) == ("2", 25)
    assert (said["traffic"]["holder"], said["watched"], said["lease_seconds"] > 0) == (HOLDER, True, True)
    assert (said["dag_id"], said["may_stop"]) == ("special__rollout", True)
    allowed.remove(("PUT", "special__rollout"))
    assert api.get("/rollout?model=m").json()["may_stop"] is False
    allowed.clear()
    assert api.get("/rollout?model=m").status_code == 403


def test_endpoints_of_every_connection_are_listed(api, monkeypatch):
    monkeypatch.setenv("AIRFLOW__MLOPS__SERVING_CONN_IDS", "one, two")
    named = {
        "one": SimpleNamespace(endpoints=lambda: ["b", "a"]),
        "two": SimpleNamespace(endpoints=lambda: ["c"]),
    }
    monkeypatch.setattr(ServingHook, "shared_backend", lambda self: named[self.serving_conn_id])
    assert api.get("/endpoints").json() == {"endpoints": ["a", "b", "c"]}

    def away():
        raise ServiceUnavailableError("gone")

    named["one"].endpoints = away
    assert api.get("/endpoints").json() == {"endpoints": ["c"]}


def test_connection_that_is_not_there_is_503(api, allowed, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("AIRFLOW__MLOPS__SERVING_CONN_IDS", "nowhere")
    assert api.get("/endpoints").status_code == 503
