"""Local serving with a real gateway and light model servers, and clients that never pause."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path

import httpx
from processes import processes_of, until

from airflow_mlops.backends.serving.local import model_process
from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.state import StateFile

TESTS = Path(__file__).parents[1]
ME = "m__rollout/run-1"


@contextlib.contextmanager
def light_serving(state_dir, monkeypatch, **more):
    """Yield a back end whose model servers start at once; nothing of it is left afterwards."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(model_process, "MODULE", "fakes.light_model_server")
    backend = LocalServing(state_dir, **more)
    try:
        yield backend
    finally:
        backend.stop_all()
        assert processes_of(state_dir) == []


def changed(serving, endpoint):
    """Hold the lock of an endpoint's state, whose changes are stored when the block ends."""
    return StateFile(serving.state_dir / endpoint, endpoint).locked()


def model(folder, milliseconds=(1, 2), **more):
    """A model folder for the light server: how long it takes, at least and at most."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(json.dumps({"milliseconds": milliseconds, **more}))
    return folder


def deployed(serving, endpoint, version, folder, **more):
    """Bring up an endpoint with one version that has all traffic; return its address."""
    serving.claim(endpoint, ME)
    serving.deploy(endpoint, version, model(folder / f"{endpoint}-{version}", **more), holder=ME)
    serving.promote(endpoint, version, holder=ME)
    return serving.url(endpoint)


def ask(url):
    return httpx.post(f"{url}/invocations", json={"inputs": [1]}, timeout=20)


class Clients:
    """Several clients, each waiting for its answers, until the block ends; keeps version and status."""

    def __init__(self, url, count=4):
        self.url, self.answers, self.go = url, [], True
        self.threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(count)]

    def ask(self):
        with httpx.Client(timeout=10) as client:
            while self.go:
                try:
                    answer = client.post(f"{self.url}/invocations", json={"inputs": [1]})
                    self.answers.append((answer.headers.get("X-Model-Version"), answer.status_code))
                except httpx.HTTPError as error:
                    self.answers.append((None, type(error).__name__))

    def more(self, count=50, seconds=20):
        """Wait until some more answers came."""
        goal = len(self.answers) + count
        until(lambda: len(self.answers) >= goal, f"{count} more answers", seconds)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.go = False
        for thread in self.threads:
            thread.join()
