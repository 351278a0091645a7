from __future__ import annotations

import threading

import httpx
import pytest
from mlflow_service import MlflowService


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A real MLflow server that a test may kill and start again."""
    service = MlflowService(tmp_path_factory.mktemp("mlflow"))
    service.start()
    yield service
    service.stop()


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
