"""Serving for the triggerer's benchmark: one real HAProxy with two versions, and an endpoint per analysis."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from airflow_mlops.backends.serving.local.backend import LocalServing
from airflow_mlops.backends.serving.local.gateway import Gateway
from airflow_mlops.backends.serving.local.state import EndpointState, Server, StateFile
from airflow_mlops.core.rollout.lease import Lease

VERSIONS = {"1": 80, "2": 20}
REQUESTS_PER_SECOND = 25


class Model(ThreadingHTTPServer):
    """Model server that answers at once: 200, or 500 while ``fails`` is set."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.fails = False
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(500 if self.server.fails else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Site:
    """Local endpoints behind one gateway, under a steady stream of requests.

    :param home: folder; its sub-folder ``serving`` is the connection's ``state_dir``.
    """

    def __init__(self, home: Path, *, lease_seconds: float):
        self.serving = LocalServing(home / "serving")
        self.endpoints: list[str] = []
        self.models = {version: Model() for version in VERSIONS}
        self.lease_seconds = lease_seconds
        folder = home / "gateway"
        folder.mkdir(parents=True)
        self.gateway = Gateway(folder)
        self.process, self.port = self.gateway.start(0)
        for number, (version, weight) in enumerate(VERSIONS.items(), start=1):
            self.gateway.assign(f"slot{number}", self.models[version].server_port)
            self.gateway.set_weight(f"slot{number}", weight)
        self._stopped = threading.Event()
        self._clients = threading.Thread(target=self._send, daemon=True)
        self._clients.start()

    def add(self, endpoint: str) -> None:
        """Write the state of an endpoint under a lease; all endpoints share the gateway's socket."""
        lease = Lease(holder=endpoint, token=1, expires_at=time.time() + self.lease_seconds)
        servers = {
            version: Server(version=version, slot=f"slot{number}", healthy=True)
            for number, version in enumerate(VERSIONS, start=1)
        }
        known = {"port": self.port, "gateway": self.process, "stable": "1", "canary": "2", "percent": 20}
        state = EndpointState(endpoint=endpoint, servers=servers, holder=endpoint, lease=lease, **known)
        folder = self.serving.state_dir / endpoint
        folder.mkdir(parents=True)
        (folder / "gateway.sock").symlink_to(self.gateway.socket)
        StateFile(folder, endpoint).write(state)
        self.endpoints.append(endpoint)

    def looked_at(self) -> list[float]:
        """Return when each endpoint was polled last: the time at which its lease was renewed."""
        paths = (self.serving.state_dir / endpoint / "state.json" for endpoint in self.endpoints)
        return [json.loads(p.read_text())["lease"]["expires_at"] - self.lease_seconds for p in paths]

    def stop(self) -> None:
        """Stop requests, models and the gateway."""
        self._stopped.set()
        self._clients.join()
        self.process.stop()
        self.gateway.listener.stop()
        for model in self.models.values():
            model.shutdown()
            model.server_close()

    def _send(self) -> None:
        with httpx.Client(timeout=5) as client:
            while not self._stopped.wait(1 / REQUESTS_PER_SECOND):
                client.get(f"http://127.0.0.1:{self.port}/")


@contextmanager
def open_site(home, *, count, lease_seconds):
    site = Site(home, lease_seconds=lease_seconds)
    try:
        for number in range(count):
            site.add(f"e{number:04}")
        yield site
    finally:
        site.stop()


def write_rows(site_file, environment):
    """Write the deferred tasks in a separate process, as Airflow reads its settings on import."""
    script = Path(__file__).with_name("triggerer_rows.py")
    subprocess.run(
        [sys.executable, script, site_file], env=environment, check=True, stdout=subprocess.DEVNULL
    )
