from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from guarded_model import write_plans

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.profiling.arrow import profile_window
from airflow_mlops.backends.profiling.dataset import describe_window
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.core.data.inference import infer_schema
from airflow_mlops.demo.api import AirflowApi
from airflow_mlops.demo.services import Services

DAGS = Path(__file__).parent / "dags"


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


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """A real Airflow with MLflow, on free ports; nothing of it is left afterwards."""
    home = tmp_path_factory.mktemp("airflow")
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
        },
    )
    try:
        services.start()
        api = AirflowApi(services.airflow_url)
        api.wait_for_dags("steady__training", "steady__rollout", "steady__rollout_on_worker")
        registry = MlflowRegistry(MlflowServer(services.mlflow_url))
        yield SimpleNamespace(services=services, api=api, registry=registry, calls=calls, plans=plans)
    finally:
        services.stop()
    commands = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(home) in command] == []


class Clients(threading.Thread):
    """About thirty requests a second until stopped; keeps version and status of each answer."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.answers, self._stop_sending = url, [], threading.Event()

    def run(self):
        body = {"dataframe_split": {"columns": ["x"], "data": [[0.5]]}}
        with httpx.Client(timeout=20) as client:
            while not self._stop_sending.wait(0.03):
                answer = client.post(f"{self.url}/invocations", json=body)
                self.answers.append((answer.headers.get("X-Model-Version"), answer.status_code))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stop_sending.set()
        self.join()


@pytest.fixture
def clients():
    return Clients
