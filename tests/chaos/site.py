"""Where chaos happens: real Airflow, MLflow, gateway and model servers below one folder, and the reaper."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
from builders import VALIDATED, bring_into_service, promotion
from chaos.schedule import TASKS
from processes import kill_now

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.process import Process, start
from airflow_mlops.demo.api import AirflowApi
from airflow_mlops.demo.services import Services

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
MODEL, ON_TRIGGERER, ON_WORKER = "chaos", "chaos__rollout", "chaos__rollout_on_worker"
WORKERS = 2
QUICK = {
    "CORE__PARALLELISM": "8",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
}
"""What finds the dead sooner than Airflow's defaults do; nothing else differs from the demo."""


class Site:
    """Starts it all, makes versions, stops it all.

    :param dags: folder of the DAG files.
    :param dag_ids: DAGs to wait for.
    """

    tasks: Mapping[str, str] = TASKS

    def __init__(
        self, home: Path, *, dags: Path = HERE / "dags", dag_ids: tuple[str, ...] = (ON_TRIGGERER, ON_WORKER)
    ) -> None:
        self.home = home.absolute()
        self.dag_ids = dag_ids
        state_dir = self.home / "serving"
        serving = {"state_dir": str(state_dir), "workers": WORKERS}
        connection = {"conn_type": "mlops_local_serving", "extra": serving}
        environment = {
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),  # a checkout that is not the installed one
            "AIRFLOW_CONN_MLOPS_SERVING": json.dumps(connection),
            **{f"AIRFLOW__{name}": value for name, value in QUICK.items()},
        }
        self.services = Services(self.home, dags_folder=dags, environment=environment)
        self.serving = LocalServing(state_dir, workers=WORKERS)
        self.reaper: Process | None = None

    def start(self) -> None:
        """Start everything; the reaper too, which looks once a second."""
        self.services.start()
        self.api = AirflowApi(self.services.airflow_url)
        self.server = MlflowServer(self.services.mlflow_url)
        self.registry = MlflowRegistry(self.server)
        self.serving.state_dir.mkdir(exist_ok=True)
        self.reaper = start(
            self.reap_command(),
            log=self.home / "reaper.log",
            folder=self.home,
            environment=self.services.environment(),
        )
        self.api.wait_for_dags(*self.dag_ids)

    def reap_command(self) -> list[str]:
        """Return the command of the reaper."""
        command = [sys.executable, "-m", "airflow_mlops.cli", "reap", "--revive", "--every", "1"]
        return [*command, "--state-dir", str(self.serving.state_dir)]

    def new_version(self) -> str:
        """Register one more version of the same good model."""
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        model = {"name": "model", "python_model": str(HERE / "model.py"), "pip_requirements": ["mlflow"]}
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # MLflow has a lot to say
            with self.server.session(), mlflow.start_run() as run:
                made = mlflow.pyfunc.log_model(**model)
            return self.registry.register(MODEL, run.info.run_id, made.model_uri, VALIDATED).version

    def begin(self) -> None:
        """Put a first version into service, so that there is a champion."""
        version = self.new_version()
        model_dir = self.registry.download(MODEL, version, self.home / "first")
        bring_into_service(self.serving, MODEL, version, model_dir)
        self.registry.promote(promotion(MODEL, None, version, at=time.time()))

    def task(self, dag_id: str, run_id: str, step: str) -> dict:
        """Return the task of a step, ``{}`` if Airflow does not answer."""
        try:
            return self.api.tasks(dag_id, run_id)[self.tasks[step]]
        except httpx.HTTPError:
            return {}

    def champion(self) -> str | None:
        return self.registry.alias(MODEL, CHAMPION_ALIAS)

    def wait_for_answer(self, body: object, *, seconds: float = 60) -> float:
        """Wait until the gateway answers a request; return when it was."""
        deadline = time.time() + seconds
        url = f"{self.serving.url(MODEL)}/invocations"
        while time.time() < deadline:
            try:
                if httpx.post(url, json=body, timeout=seconds).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.02)
        return time.time()

    def sweep(self, *, all_of_it: bool = False) -> None:
        """End idle workers that a killed scheduler left behind; they would wait for work for ever."""
        scheduler = self.services.processes["scheduler"].pid
        left = [p for p in psutil.process_iter(["cwd", "cmdline"]) if p.info["cwd"] == str(self.home)]
        if not all_of_it:
            left = [
                p for p in left if "<idle>" in " ".join(p.info["cmdline"] or ()) and p.ppid() != scheduler
            ]
        kill_now(*left)

    def stop(self) -> None:
        """Stop everything; nothing is left running."""
        if self.reaper is not None:
            self.reaper.stop()
        self.services.stop()
        if "scheduler" not in self.services.processes:
            self.services.processes["scheduler"] = Process(pid=0, started=0.0)
        self.sweep(all_of_it=True)
