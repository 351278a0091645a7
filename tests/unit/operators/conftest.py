from __future__ import annotations

import json
from collections import defaultdict
from types import SimpleNamespace

import pytest
from builders import VALIDATED, bring_into_service, promotion
from fakes.task_instance import TaskInstance

from airflow_mlops.backends.evidence.in_memory import InMemoryEvidence
from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.serving import ServingHook


class OutletEvent:
    def __init__(self):
        self.extra, self.partitions = {}, []

    def add_partitions(self, keys):
        self.partitions += keys


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Registry, evidence and serving in memory behind the hooks."""
    found = SimpleNamespace(
        registry=InMemoryRegistry(),
        evidence=InMemoryEvidence(),
        serving=InMemoryServing(),
        model_dir=tmp_path / "model",
        log_dir=tmp_path / "inference_log",
        server=MlflowServer(f"sqlite:///{tmp_path}/mlflow.db"),
    )
    found.model_dir.mkdir()
    (found.model_dir / "MLmodel").write_text("flavors: {}\n")
    monkeypatch.setattr(MlflowHook, "registry", lambda self: found.registry)
    monkeypatch.setattr(MlflowHook, "evidence", lambda self: found.evidence)
    monkeypatch.setattr(MlflowHook, "server", lambda self: found.server)
    monkeypatch.setattr(MlflowHook, "ui_url", lambda self, run: f"http://mlflow/{run}")
    monkeypatch.setattr(ServingHook, "backend", lambda self: found.serving)
    monkeypatch.setattr(ServingHook, "shared_backend", lambda self: self.backend())
    monkeypatch.setattr(ServingHook, "metrics", lambda self, endpoint, backend, *watched: None)
    monkeypatch.setattr(ServingHook, "inference_log_dir", found.log_dir)
    return found


@pytest.fixture
def forms(monkeypatch):
    """What is put before people, instead of Airflow's supervisor."""
    shown = []
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **form: shown.append(form)
    )
    return shown


@pytest.fixture
def run(world):
    """Execute an operator as a task of one DAG run."""

    def execute(operator, *, run_id="run-1", dag_id="m__stage", partition="2013-01", params=None, **more):
        dag_run = SimpleNamespace(
            dag_id=dag_id, run_id=run_id, partition_key=partition, run_type="asset_triggered"
        )
        context = {
            "dag_run": dag_run,
            "task": operator,
            "ti": TaskInstance(),
            "params": params or {},
            "outlet_events": defaultdict(OutletEvent),
            "triggering_asset_events": {},
        } | more
        world.context = context
        return operator.execute(context)

    return execute


@pytest.fixture
def champion(world, run):
    """Version 1 is champion and serves; version 2 is registered."""
    for number in ("1", "2"):
        world.registry.register("m", f"run-of-{number}", str(world.model_dir), VALIDATED)
    world.registry.promote(promotion("m", None, "1"))
    bring_into_service(world.serving, "m", "1", world.model_dir)
    return world


@pytest.fixture
def trained_champion(world):
    """Registers version 1, trained on a window, as champion."""

    def register(uri, partitions=("2013-01",), digest=""):
        window = {"uri": str(uri), "partitions": json.dumps(list(partitions)), "digest": digest}
        tags = {f"mlops.{name}": value for name, value in window.items() if value}
        world.registry.register("m", "training", str(world.model_dir), tags)
        world.registry.promote(promotion("m", None, "1"))
        return world

    return register
