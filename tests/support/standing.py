"""A real Airflow with MLflow and data to train on, as integration and browser tests stand it up."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
from guarded_model import write_plans
from postgres_server import airflow_database

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.backends.profiling.files.dataset import describe_window
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.demo.api import AirflowApi
from airflow_mlops.demo.services import Services

DAGS = Path(__file__).parents[1] / "integration" / "dags"
USERS = "admin:admin,op:op,viewer:viewer,guest:"
"""User to role; *guest* may sign in and has no role."""


def write_data(folder):
    """Two months of rows, and the schema they meet."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for month in ("2013-01", "2013-02"):
        signal = rng.normal(size=1500)
        late = (signal + rng.normal(size=1500) > 0).astype(int)
        ids = [f"{month}-{i}" for i in range(1500)]
        pd.DataFrame({"id": ids, "x": signal, "late": late}).to_parquet(folder / f"{month}.parquet")
    schema = folder.parent / "steady.yaml"
    schema.write_text(infer_schema(profile_window(describe_window(str(folder))), "steady").to_yaml())
    return schema


@contextmanager
def standing_airflow(home):
    """Services on free ports; nothing of them is left afterwards."""
    with airflow_database() as database, _standing(home, database) as standing:
        yield standing
    commands = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(home) in command] == []


@contextmanager
def _standing(home, database):
    calls, plans = home / "calls", home / "plans"
    write_plans(plans)
    (home / "lake").mkdir()
    services = Services(
        home / "services",
        dags_folder=DAGS,
        environment={
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),  # a checkout that is not the installed one
            "AIRFLOW_VAR_STEADY_URI": str(home / "data"),
            "AIRFLOW_VAR_STEADY_SCHEMA": str(write_data(home / "data")),
            "STEADY_CALLS": str(calls),
            "AIRFLOW_VAR_LAKE": str(home / "lake"),
            "AIRFLOW_VAR_LAKE_SCHEMA": str(home / "lake.yaml"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": USERS,
            "GUARDED_PLANS": str(plans),
            **database,
        },
    )
    try:
        services.start()
        api = AirflowApi(services.airflow_url)
        registry = MlflowRegistry(MlflowServer(services.mlflow_url))
        standing = SimpleNamespace(services=services, api=api, registry=registry, calls=calls, plans=plans)
        standing.home, standing.url = home, services.airflow_url
        standing.passwords = json.loads((services.home / "passwords.json").read_text())
        yield standing
    finally:
        services.stop()


def pause(standing, dag_id):
    """Let no run of a DAG begin."""
    standing.api._send("PATCH", f"dags/{dag_id}", json={"is_paused": True})


def state_of(standing, dag_id, run, task):
    return standing.api.tasks(dag_id, run)[task]["state"]


def wait_for_state(standing, dag_id, run, task, state):
    reached = lambda: state_of(standing, dag_id, run, task) == state  # noqa: E731
    standing.api.wait(reached, 120, f"{task} to be {state}")


def wait_for_form(standing, model, partition):
    """Announce data and wait until the candidate trained on it is put before a person; return the run."""
    training = f"{model}__training"
    standing.api.wait_for_dags(training, f"{model}__rollout")
    pause(standing, f"{model}__rollout")
    standing.api.announce(f"mlops/{model}/data", partition)
    run = standing.api.wait_for_partition(training, partition)

    def asked():
        state = state_of(standing, training, run, "approve_model")
        assert state not in ("failed", "upstream_failed", "skipped", "success"), state
        return state == "awaiting_input"

    standing.api.wait(asked, 180, "the form")
    return run
