"""A registered model deleted and made again in a real MLflow: numbers come back, models do not."""

from __future__ import annotations

import asyncio

import pytest
from builders import promotion

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.backends.registry.registry_watch import RegistrySnapshot, changes, read_snapshot

pytestmark = pytest.mark.integration


@pytest.fixture
def registry(tmp_path):
    return MlflowRegistry(MlflowServer(f"sqlite:///{tmp_path}/mlflow.db"))


def make(registry, *runs):
    """Make the registered model, with a version for each evidence run; delete the one before."""
    with registry.server.session() as client:
        if client.search_registered_models("name = 'm'"):
            client.delete_registered_model("m")
        client.create_registered_model("m")
        for run in runs:
            client.create_model_version("m", "x:/y", tags={"mlops.evidence_run": run} if run else {})


@pytest.mark.parametrize("runs", [("r1", "r9"), ("", "")], ids=["of two runs", "of no run"])
def test_promotion_that_was_cut_off_does_not_make_another_model_champion(registry, monkeypatch, runs):
    make(registry, runs[0])

    def cut_off(self, entry):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowRegistry, "_apply", cut_off)
        with pytest.raises(KeyboardInterrupt):
            registry.promote(promotion("m", None, "1"))
    make(registry, runs[1])
    assert registry.settle("m") is None
    assert registry.alias("m", CHAMPION_ALIAS) is None
    assert registry.ledger("m") == []
    assert registry.promote(promotion("m", None, "1", run="run-9")).number == 2
    assert registry.alias("m", CHAMPION_ALIAS) == "1"


def test_promotion_that_was_cut_off_is_completed_while_the_model_is_the_same(registry, monkeypatch):
    make(registry, "r1")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowRegistry, "_apply", lambda self, entry: True)
        promoted = registry.promote(promotion("m", None, "1"))
    assert promoted.identity == "r1"
    assert registry.settle("m") == "1"


def test_watcher_sees_every_version_of_a_model_that_was_made_again_between_two_looks():
    before = RegistrySnapshot(aliases={"champion": "1"}, newest=3, created_at=100)
    now = RegistrySnapshot(aliases={"champion": "1"}, newest=2, created_at=200)
    assert changes("m", before, now) == [
        {"model": "m", "change": "version", "version": "1"},
        {"model": "m", "change": "version", "version": "2"},
        {"model": "m", "change": "alias", "alias": "champion", "from": None, "to": "1"},
    ]
    earlier_release = RegistrySnapshot(aliases={"champion": "1"}, newest=3)
    assert changes("m", earlier_release, now) == []


@pytest.mark.parametrize(("created_at", "newest"), [(100, 3), (200, 2), (None, 3)])
def test_snapshot_keeps_a_deleted_version_of_the_same_model_only(created_at, newest):
    class Server:
        uri = "http://mlflow"

        async def ask(self, path, **asked):
            model = {"latest_versions": [{"version": "2"}], "creation_timestamp": created_at}
            return {"registered_model": model}

    before = RegistrySnapshot(newest=3, created_at=100)
    assert asyncio.run(read_snapshot(Server(), "m", before)).newest == newest
