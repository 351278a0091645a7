from __future__ import annotations

import asyncio
import json
import os

import httpx
import pytest

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.registry_watch import RegistrySnapshot, changes, read_snapshot
from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.triggers.registry import ModelRegistryTrigger


def registered(aliases, *versions):
    model = {
        "aliases": [{"alias": name, "version": version} for name, version in aliases.items()],
        "latest_versions": [{"version": version} for version in versions],
    }
    return httpx.Response(200, json={"registered_model": model})


UNKNOWN = httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"})
BEFORE = registered({"champion": "1"}, "1")


class Store:
    """An asset's state store: keeps what is set as JSON."""

    def __init__(self):
        self.kept = {}

    async def aget(self, key):
        return json.loads(self.kept[key]) if key in self.kept else None

    async def aset(self, key, value):
        self.kept[key] = json.dumps(value)


@pytest.fixture
def server(monkeypatch):
    """A server that gives prepared answers, the last one again and again; keeps the requests."""
    server = MlflowServer("http://mlflow.test", username="ann", password="secret")
    server.answers, server.requests = [], []

    def answer(request):
        server.requests.append(request)
        given = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if isinstance(given, Exception):
            raise given
        return given

    real = httpx.AsyncClient
    monkeypatch.setattr(
        httpx, "AsyncClient", lambda **more: real(transport=httpx.MockTransport(answer), **more)
    )

    async def found(self):
        return server

    monkeypatch.setattr(MlflowHook, "aserver", found)
    return server


def events(count, store=None, **more):
    """Run a trigger until it fired so often."""
    trigger = ModelRegistryTrigger(model="churn", **more)
    trigger.poll_seconds, trigger.asset_state_store = 0.0, store

    async def first():
        found = []
        async for event in trigger.run():
            found.append(event.payload)
            if len(found) == count:
                break
        return found

    return asyncio.run(asyncio.wait_for(first(), 10))


MOVED = {"model": "churn", "change": "alias", "alias": "champion", "from": "1", "to": "2"}
NEW = {"model": "churn", "change": "version", "version": "2"}


def test_alias_that_moved_and_new_version_are_events(server):
    server.answers = [BEFORE, registered({"champion": "2"}, "2")]
    assert events(2) == [NEW, MOVED]


def test_only_the_wanted_change_is_an_event(server):
    server.answers = [BEFORE, registered({"champion": "1"}, "2"), registered({"champion": "2"}, "2")]
    assert events(1, on=["alias"]) == [MOVED]


def test_alias_that_was_deleted_moved_to_none(server):
    server.answers = [BEFORE, registered({}, "1")]
    assert events(1)[0]["to"] is None


def test_first_version_of_a_model_nobody_registered_yet_is_an_event(server):
    server.answers = [UNKNOWN, registered({}, "1")]
    assert events(1) == [NEW | {"version": "1"}]


@pytest.mark.parametrize(
    "outage",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(503),
        httpx.Response(401),
        httpx.Response(404, text="proxy: no such host"),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={}),
    ],
    ids=["refused", "slow", "503", "401", "proxy", "no json", "no model"],
)
def test_server_that_does_not_answer_is_waited_for_and_is_no_change(server, outage):
    server.answers = [BEFORE, outage, outage, BEFORE, registered({"champion": "2"}, "1")]
    assert events(1) == [MOVED]


def test_change_while_the_triggerer_was_down_is_told_afterwards(server):
    store = Store()
    asyncio.run(
        store.aset("mlops.registry.churn", RegistrySnapshot(aliases={"champion": "1"}, newest=1).to_json())
    )
    server.answers = [registered({"champion": "2"}, "2")]
    assert events(2, store) == [NEW, MOVED]


def test_what_was_seen_is_kept_after_it_was_told(server):
    store = Store()
    server.answers = [BEFORE, registered({"champion": "2"}, "1"), registered({"champion": "3"}, "1")]
    events(2, store)
    assert json.loads(store.kept["mlops.registry.churn"])["aliases"] == {"champion": "2"}


def test_deleted_newest_version_does_not_make_older_numbers_new(server):
    server.answers = [registered({}, "5"), registered({}, "4"), registered({}, "6")]
    assert events(1) == [NEW | {"version": "6"}]


def test_credentials_are_in_the_request_only(server):
    server.answers = [BEFORE, registered({}, "1")]
    events(1)
    assert server.requests[0].headers["Authorization"].startswith("Basic ")
    assert "secret" not in json.dumps(ModelRegistryTrigger(model="churn").serialize())
    assert not [name for name, value in os.environ.items() if "secret" in value and "MLFLOW" in name]


def test_trigger_is_rebuilt_from_its_arguments():
    path, kwargs = ModelRegistryTrigger(model="churn", on=("alias",), poll_seconds=5).serialize()
    assert path == "airflow_mlops.triggers.registry.ModelRegistryTrigger"
    assert ModelRegistryTrigger(**kwargs).serialize() == (path, kwargs)


@pytest.mark.parametrize("wrong", [{"on": ["stage"]}, {"on": []}, {"poll_seconds": 0}], ids=str)
def test_arguments_that_are_not_understood_are_named(wrong):
    with pytest.raises(InvalidConfigError, match=next(iter(wrong))):
        ModelRegistryTrigger(model="churn", **wrong)


def test_database_is_no_server_to_ask():
    with pytest.raises(InvalidConfigError, match="scheme 'sqlite', allowed: http or https"):
        asyncio.run(read_snapshot(MlflowServer("sqlite:///mlflow.db"), "churn"))


def test_outage_is_named_with_the_address(server):
    server.answers = [httpx.Response(502)]
    with pytest.raises(ServiceUnavailableError, match=r"MLflow at http://mlflow\.test does not answer"):
        asyncio.run(read_snapshot(server, "churn"))


def test_nothing_changed_is_no_event():
    seen = RegistrySnapshot(aliases={"champion": "1"}, newest=3)
    assert changes("churn", seen, seen) == []
