"""Model servers of one endpoint: start one, wait until it is healthy, end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import time
from typing import TYPE_CHECKING

import httpx

from airflow_mlops.backends.serving.local import process
from airflow_mlops.core.errors import MlopsError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_mlops.backends.serving.local.state import EndpointState, Server, StateFile

_HEALTHY_SECONDS = 90.0
_POLL_SECONDS = 0.1
_KEPT = ("PATH", "PYTHONPATH", "HOME", "LANG", "TZ")
MODULE = "airflow_mlops.backends.serving.local.model_server"


class ModelProcesses:
    """Starts and stops the model servers of one endpoint.

    :param file: the endpoint's state file; written before and after a process is started.
    :param log_dir: root of the inference log.
    :param meanwhile: called repeatedly while a server starts, which takes seconds.
    :param pause: waits for a moment between two looks at a server that starts.
    :param parent: pid of the process that the servers must not outlive; ``None`` if they may.
    """

    def __init__(
        self,
        file: StateFile,
        log_dir: Path,
        *,
        meanwhile: Callable[[], object] = lambda: None,
        pause: Callable[[float], object] = time.sleep,
        parent: int | None = None,
    ) -> None:
        self.file = file
        self.log_dir = log_dir
        self.meanwhile = meanwhile
        self.pause = pause
        self.parent = parent

    def keep_model(self, version: str, model_dir: Path) -> None:
        """Copy a model folder to where the version's server reads it, now and after a restart."""
        shutil.rmtree(self._home(version), ignore_errors=True)
        shutil.copytree(model_dir, self.kept_model(version))

    def kept_model(self, version: str) -> Path:
        """Return the folder from which a version's server reads its model."""
        return self._home(version) / "model"

    def launch(self, state: EndpointState, server: Server) -> None:
        """Start a server on a free port and wait until it answers.

        :raises ServiceUnavailableError: it did not; it is stopped, and removed from the state unless stable.
        :raises MlopsError: what ``pause`` raises; the server is stopped, too.
        """
        home = self._home(server.version)
        model = str(self.kept_model(server.version))
        for orphan in process.find_by_argument("-m", MODULE, model):
            orphan.stop()
        with process.listener(0) as listener:
            server.healthy, server.process, server.port = False, None, listener.getsockname()[1]
            self.file.write(state)
            server.process = process.start(
                self._command(server, listener),
                log=home / "server.log",
                folder=home,
                environment=_environment(),
                listener=listener,
                marker=model,
            )
        self.file.write(state)
        mine = server.process
        try:
            self._wait_healthy(state, server, home / "server.log")
        except MlopsError:
            mine.stop()
            if server.version != state.stable and _runs(state, server, mine):
                del state.servers[server.version]
            self.file.write(state)
            raise

    def _wait_healthy(self, state: EndpointState, server: Server, log: Path) -> None:
        mine, deadline = server.process, time.monotonic() + _HEALTHY_SECONDS
        while is_up(server) and time.monotonic() < deadline:
            self.meanwhile()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{server.port}/ping", timeout=2).status_code == httpx.codes.OK:
                    return
            self.pause(_POLL_SECONDS)
            if not _runs(state, server, mine):
                msg = f"model server of version {server.version}: replaced or removed while it was starting"
                raise ServiceUnavailableError(msg)
        why = f"not healthy after {_HEALTHY_SECONDS:g} s" if is_up(server) else "ended while starting"
        msg = f"model server of version {server.version}: {why}: {process.tail(log)}"
        raise ServiceUnavailableError(msg)

    def end(self, server: Server) -> None:
        """Stop a server and remove its copy of the model."""
        if server.process is not None:
            server.process.stop()
        shutil.rmtree(self._home(server.version), ignore_errors=True)

    def _command(self, server: Server, listener: socket.socket) -> list[str]:
        options = {
            "--model-dir": str(self.kept_model(server.version)),
            "--listener": str(listener.fileno()),
            "--endpoint": self.file.endpoint,
            "--version": server.version,
            "--log-dir": str(self.log_dir),
            "--workers": str(server.workers),
        }
        if self.parent is not None:
            options["--parent"] = str(self.parent)
        return [sys.executable, "-m", MODULE, *(part for option in options.items() for part in option)]

    def _home(self, version: str) -> Path:
        return self.file.folder / "versions" / version


def _runs(state: EndpointState, server: Server, mine: process.Process | None) -> bool:
    """Say whether the state still has this very process for the server: others may change it in a pause."""
    return state.servers.get(server.version) is server and server.process == mine


def is_up(server: Server) -> bool:
    """Say whether the server's process runs."""
    return server.process is not None and server.process.is_alive()


def free_port() -> int:
    """Return a port of 127.0.0.1 that no program uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    """Return the environment of a model server: what Python needs, no secrets."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
