"""A real Airflow with MLflow and data to train on, as integration and browser tests stand it up."""

from __future__ import annotations

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
from airflow_mlops.backends.profiling.arrow import profile_window
from airflow_mlops.backends.profiling.dataset import describe_window
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.core.data.inference import infer_schema
from airflow_mlops.demo.api import AirflowApi
from airflow_mlops.demo.services import Services

DAGS = Path(__file__).parent / "integration" / "dags"


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
def standing_airflow(home, *dag_ids, **environment):
    """Services on free ports, once they know the DAGs; nothing of them is left afterwards."""
    with airflow_database() as database, _standing(home, dag_ids, database | environment) as standing:
        yield standing
    commands = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(home) in command] == []


@contextmanager
def _standing(home, dag_ids, environment):
    calls, plans = home / "calls", home / "plans"
    write_plans(plans)
    services = Services(
        home / "services",
        dags_folder=DAGS,
        environment={
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),  # a checkout that is not the installed one
            "AIRFLOW_VAR_STEADY_URI": str(home / "data"),
            "AIRFLOW_VAR_STEADY_SCHEMA": str(write_data(home / "data")),
            "STEADY_CALLS": str(calls),
            "GUARDED_PLANS": str(plans),
            **environment,
        },
    )
    try:
        services.start()
        api = AirflowApi(services.airflow_url)
        api.wait_for_dags(*dag_ids)
        registry = MlflowRegistry(MlflowServer(services.mlflow_url))
        yield SimpleNamespace(services=services, api=api, registry=registry, calls=calls, plans=plans)
    finally:
        services.stop()


def wait_for_form(standing, model, partition):
    """Announce data and wait until the candidate trained on it is put before a person; return the run."""
    training = f"{model}__training"
    standing.api.announce(f"mlops/{model}/data", partition)
    run = standing.api.wait_for_partition(training, partition)

    def asked():
        state = standing.api.tasks(training, run)["approve_model"]["state"]
        assert state not in ("failed", "upstream_failed", "skipped", "success"), state
        return state == "awaiting_input"

    standing.api.wait(asked, 180, "the form")
    return run
