"""Airflow and MLflow as processes on this machine, with all state below one folder."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.model_process import free_port
from airflow_mlops.backends.serving.local.process import Process, start, tail
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.demo.preload import write_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

USERS = {"admin": "admin", "op": "op", "viewer": "viewer"}
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
_REAPER = "reaper"
_REAPER_SECONDS = "2"
_READY_SECONDS = 120.0


class Services:
    """MLflow server, Airflow's four components and the local gateway's state, in ``home``.

    Pids and ports are stored in ``home/services.json``, so that another process can stop the services.

    :param home: folder for all state of the services.
    :param dags_folder: folder of the DAG files.
    :param environment: further variables for Airflow (``AIRFLOW_VAR_…`` for instance).
    :param reaps: also run a reaper, which needs none of the others: it takes unwatched canaries out of
        traffic, restarts what died of the gateways, and writes ends of rollouts to the ledger.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags_folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        reaps: bool = False,
    ) -> None:
        self.home = home.absolute()
        self.dags_folder = dags_folder
        self.extra = dict(environment or {})
        self.reaps = reaps
        self._file = self.home / "services.json"
        self.ports: dict[str, int] = {}
        self.processes: dict[str, Process] = {}
        if self._file.exists():
            kept = json.loads(self._file.read_text())
            self.ports = kept["ports"]
            self.processes = {name: Process.from_json(p) for name, p in kept["processes"].items()}

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and API."""
        return f"http://127.0.0.1:{self.ports['api-server']}"

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow."""
        return f"http://127.0.0.1:{self.ports['mlflow']}"

    @property
    def serving(self) -> LocalServing:
        """The local serving back end the DAGs use."""
        return LocalServing(self.home / "serving")

    def start(self) -> None:
        """Start all services and wait until they answer.

        :raises ServiceUnavailableError: a service did not answer; shows its last log lines.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.ports = {name: free_port() for name in ("mlflow", "api-server", "worker-log", "trigger-log")}
        self._prepare()
        self.run("mlflow")
        subprocess.run(  # noqa: S603 - constants
            [_program("airflow"), "db", "migrate"],
            env=self.environment(),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for component in (*AIRFLOW, *((_REAPER,) if self.reaps else ())):
            self.run(component)
        self._wait("mlflow", f"{self.mlflow_url}/health")
        self._wait("api-server", f"{self.airflow_url}/api/v2/version")

    def run(self, name: str) -> Process:
        """Start one component; also used to restart a killed one."""
        log = self.home / f"{name}.log"
        self.processes[name] = start(
            self._command(name), log=log, folder=self.home, environment=self.environment()
        )
        self._write()
        return self.processes[name]

    def stop(self) -> None:
        """Stop all services, model servers and gateways too; the reaper first, which would revive them."""
        for name in (_REAPER, *AIRFLOW, "mlflow"):
            if name in self.processes:
                self.processes[name].stop()
        self.serving.stop_all()
        self.processes = {}
        if self.home.exists():
            self._write()

    def environment(self) -> dict[str, str]:
        """Return the environment of all Airflow processes: settings, connections, variables."""
        return {
            **{name: os.environ[name] for name in ("HOME", "LANG", "TZ") if name in os.environ},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "2",
            "GIT_PYTHON_REFRESH": "quiet",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "AIRFLOW_CONN_MLFLOW_DEFAULT": json.dumps({"conn_type": "mlflow", "host": self.mlflow_url}),
            "AIRFLOW_CONN_MLOPS_SERVING": json.dumps(
                {"conn_type": "mlops_local_serving", "extra": {"state_dir": str(self.home / "serving")}}
            ),
            **{f"AIRFLOW__{name}": value for name, value in self._settings().items()},
            **self.extra,
        }

    def _settings(self) -> dict[str, str]:
        """Return Airflow's settings: local addresses, fast detection of dead processes, no examples."""
        return {
            "CORE__DAGS_FOLDER": str(self.dags_folder),
            "CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{role}" for u, role in USERS.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.ports["api-server"]),
            "API__WORKERS": "1",
            "API__BASE_URL": self.airflow_url,
            "API_AUTH__JWT_SECRET": self._secret("jwt"),
            "CORE__FERNET_KEY": "",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",  # new and changed files are parsed at once
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
            "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
            "WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
            "LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "LOGGING__WORKER_LOG_SERVER_PORT": str(self.ports["worker-log"]),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.ports["trigger-log"]),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def _command(self, name: str) -> list[str]:
        if name == _REAPER:
            where = ["--state-dir", str(self.serving.state_dir), "--tracking-uri", self.mlflow_url]
            return [
                sys.executable,
                "-m",
                "airflow_mlops.cli",
                "reap",
                "--revive",
                "--every",
                _REAPER_SECONDS,
                *where,
            ]
        if name != "mlflow":
            return [_program("airflow"), name]
        database, artifacts = self.home / "mlflow.db", self.home / "mlflow-artifacts"
        options = {
            "--host": "127.0.0.1",
            "--port": str(self.ports["mlflow"]),
            "--workers": "1",
            "--backend-store-uri": f"sqlite:///{database}",
            "--artifacts-destination": str(artifacts),
        }
        return [_program("mlflow"), "server", *(part for option in options.items() for part in option)]

    def _prepare(self) -> None:
        (self.home / "plugins").mkdir(exist_ok=True)
        write_settings(self.home)
        (self.home / "passwords.json").write_text(json.dumps({user: user for user in USERS}))
        (self.home / "passwords.json").chmod(0o600)

    def _secret(self, name: str) -> str:
        path = self.home / f"{name}.secret"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(64))
        return path.read_text()

    def _wait(self, name: str, url: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and self.processes[name].is_alive():
            try:
                if httpx.get(url, timeout=2).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        msg = f"{name} did not start: {tail(self.home / f'{name}.log')}"
        raise ServiceUnavailableError(msg)

    def _write(self) -> None:
        processes = {name: process.to_json() for name, process in self.processes.items()}
        fresh = self._file.with_suffix(".tmp")
        fresh.write_text(json.dumps({"ports": self.ports, "processes": processes}))
        fresh.replace(self._file)


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)
