"""A real MLflow server that tests may kill and start again."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import httpx
from processes import family, kill_now, until

from airflow_mlops.backends.serving.local.model_process import free_port
from airflow_mlops.backends.serving.local.process import start

if TYPE_CHECKING:
    from pathlib import Path

READY_SECONDS = 90.0


class MlflowService:
    """``mlflow server`` over SQLite in a folder, always on the same port."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self) -> None:
        options = {
            "--backend-store-uri": f"sqlite:///{self.home}/mlflow.db",
            "--artifacts-destination": str(self.home / "artifacts"),
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--workers": "2",
        }
        flags = [part for option in options.items() for part in option]
        command = [sys.executable, "-m", "mlflow", "server", *flags]
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = kept | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = self.home / "mlflow.log"
        self.process = start(command, log=log, folder=self.home, environment=environment)
        until(self._answers, f"MLflow: {log}", READY_SECONDS, pause=0.2)

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        """End it at once, as a crash of the machine would."""
        kill_now(*reversed(family(self.process.pid)))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False
