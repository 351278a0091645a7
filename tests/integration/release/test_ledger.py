"""Promotions by real processes against a real MLflow server that is also killed and started again."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import promotion

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry import history
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.mlflow_ledger import MlflowLedger
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, DecisionEntry
from airflow_mlops.backends.registry.rest_ledger import RestLedger
from airflow_mlops.core.errors import RegistryConflictError, ServiceUnavailableError
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.triggers.registry import ModelRegistryTrigger

pytestmark = pytest.mark.integration
ROUNDS = 30
PROMOTER = Path(__file__).with_name("promoter.py")


@pytest.fixture
def model(service, request):
    """A registry whose model has version 1 as champion and versions enough for every round."""
    registry, name = MlflowRegistry(MlflowServer(service.url)), f"m{abs(hash(request.node.name))}"
    with registry.server.session() as client:
        client.create_registered_model(name)
        for _ in range(2 * ROUNDS + 1):
            client.create_model_version(name, "test:/nothing", await_creation_for=None)
    registry.promote(promotion(name, None, "1"))
    return registry, name


@contextmanager
def promoter(service):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(PROMOTER.parents[3])}
    with subprocess.Popen([sys.executable, str(PROMOTER), service.url], env=environment, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def order(process, entry, *, at=0.0, killed=False):
    process.stdin.write(json.dumps(entry.to_json() | {"at": at, "killed": killed}) + "\n")
    process.stdin.flush()


def test_of_two_processes_that_promote_at_once_exactly_one_wins_every_time(service, model):
    registry, name = model
    champion, won = "1", {"one": 0, "other": 0}
    with promoter(service) as one, promoter(service) as other:
        for number in range(ROUNDS):
            tried = {str(2 * number + 2): one, str(2 * number + 3): other}
            at = time.time() + 0.05
            for version, process in tried.items():
                order(process, promotion(name, champion, version), at=at)
            answers = {process.stdout.readline().strip(): version for version, process in tried.items()}
            assert set(answers) == {"won", "lost"}
            assert registry.alias(name, CHAMPION_ALIAS) == answers["won"]
            kept = registry.ledger(name)
            assert (len(kept), kept[-1].from_version, kept[-1].to_version) == (
                number + 2,
                champion,
                answers["won"],
            )
            champion = answers["won"]
            won["one" if tried[champion] is one else "other"] += 1
    assert sum(won.values()) == ROUNDS
    appended = registry.versions(f"{name}.mlops-ledger")
    assert len(appended) > ROUNDS + 1  # some claims did meet: both were written, one counts


def test_ledger_reads_the_same_over_rest_page_by_page(service, model, monkeypatch):
    registry, name = model
    for version in ("2", "3", "4"):
        registry.decide(
            DecisionEntry(model=name, version=version, decision="rejected", actor="ann", run_id=version)
        )
        registry.promote(promotion(name, str(int(version) - 1), version))
    monkeypatch.setattr(history, "_PAGE", "2")
    found = asyncio.run(history.read_history(registry.server, name))
    assert (found.model, found.champion) == (name, "4")
    assert list(found.changes) == registry.ledger(name)
    assert list(found.decisions) == registry.decisions(name)
    assert [e.number for e in (*found.changes, *found.decisions)] == [1, 3, 5, 7, 2, 4, 6]
    assert name in asyncio.run(history.models_with_a_ledger(registry.server))
    assert asyncio.run(history.read_history(registry.server, "unheard")) is None


def test_end_written_over_rest_is_the_registrys_entry_and_is_written_once(model):
    registry, name = model
    end = RolloutEnd(id="e1", model=name, kind=EndKind.STOPPED, version="2", reason="why", actor="ann")
    rest = RestLedger(registry.server, seconds=20)
    written = rest.record_end(end)
    assert registry.ends(name) == [written]
    assert (rest.record_end(end), registry.record_end(end)) == (written, written)
    assert len(registry.ends(name)) == 1


def test_process_killed_between_entry_and_alias_is_completed_by_the_next_one(service, model):
    registry, name = model
    with promoter(service) as process:
        order(process, promotion(name, "1", "2"), killed=True)
        assert process.wait() == -9
    assert registry.alias(name, CHAMPION_ALIAS) == "1"
    with pytest.raises(RegistryConflictError, match="champion is version 2, expected 1"):
        registry.promote(promotion(name, "1", "3"))
    assert registry.alias(name, CHAMPION_ALIAS) == "2"
    registry.promote(promotion(name, "2", "3"))
    assert [e.to_version for e in registry.ledger(name)] == ["1", "2", "3"]


@pytest.mark.parametrize("call", ["winner", "close"], ids=["before the alias", "after the alias"])
def test_server_killed_in_the_middle_is_a_named_outage_and_the_retry_completes(
    service, model, monkeypatch, call
):
    registry, name = model
    real = getattr(MlflowLedger, call)

    def dying(self, *arguments):
        service.kill()
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowLedger, call, dying)
        with pytest.raises(ServiceUnavailableError, match=f"MLflow at {service.url} does not answer"):
            registry.promote(promotion(name, "1", "2"))
    service.start()
    again = MlflowRegistry(MlflowServer(service.url))
    again.promote(promotion(name, "1", "2"))
    assert again.alias(name, CHAMPION_ALIAS) == "2"
    assert [e.to_version for e in again.ledger(name)] == ["1", "2"]


def test_trigger_outlives_a_server_that_is_killed_and_tells_what_moved(service, model, monkeypatch):
    registry, name = model

    async def found(self):
        return registry.server

    async def watch():
        trigger = ModelRegistryTrigger(model=name, poll_seconds=1, on=["alias"])
        trigger.poll_seconds = 0.1
        told = trigger.run()
        first = asyncio.ensure_future(anext(told))
        await asyncio.sleep(0.5)  # the first look
        service.kill()
        await asyncio.sleep(0.5)  # looks that nobody answers
        await asyncio.to_thread(service.start)
        await asyncio.to_thread(registry.promote, promotion(name, "1", "2"))
        return [(await first).payload, (await anext(told)).payload]

    monkeypatch.setattr(MlflowHook, "aserver", found)
    moved = {change["alias"]: change["to"] for change in asyncio.run(asyncio.wait_for(watch(), 60))}
    assert moved == {"champion": "2", "previous": "1"}
