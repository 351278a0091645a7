"""Processes that outlive the task that started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_CLOCK_SLACK_SECONDS = 1.0
BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Process(Record):
    """A process, identified beyond its pid, which the system may give to another process later.

    :param started: start time, epoch seconds; shifts when the machine's clock is set.
    :param marker: an argument that only this process's command line has. It identifies the process;
        without it the start time does.
    """

    pid: int
    started: float
    marker: str = ""

    def is_alive(self) -> bool:
        """Say whether this very process still runs."""
        found = self._find()
        return found is not None and found.status() != psutil.STATUS_ZOMBIE

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """End it and its children: SIGTERM, then SIGKILL after the grace time."""
        found = self._find()
        if found is None:
            return
        family = [*found.children(recursive=True), found]
        for member in family:
            _signal(member, signal.SIGTERM)
        for member in psutil.wait_procs(family, timeout=grace_seconds)[1]:
            _signal(member, signal.SIGKILL)
        psutil.wait_procs(family, timeout=grace_seconds)

    def _find(self) -> psutil.Process | None:
        try:
            found = psutil.Process(self.pid)
            same = self._is(found)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return found if same else None

    def _is(self, found: psutil.Process) -> bool:
        line = found.cmdline() if self.marker else []
        if line:  # for a moment after its start a process has none
            return self.marker in line
        began: float = found.create_time()
        return abs(began - self.started) < _CLOCK_SLACK_SECONDS


def start(
    command: Sequence[str],
    *,
    log: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    listener: socket.socket | None = None,
    marker: str = "",
) -> Process:
    """Start a process in its own session; its output goes to ``log``.

    :param environment: its whole environment; the caller's secrets are not inherited.
    :param listener: a socket that it inherits under the same file descriptor.
    :param marker: an argument of ``command`` that no other process has.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - a list built by this package, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment or {"PATH": os.environ.get("PATH", "")}),
            pass_fds=() if listener is None else (listener.fileno(),),
            start_new_session=True,
        )
    child.returncode = 0  # it outlives this process, so it is not waited for; Popen would warn of a leak
    return Process(pid=child.pid, started=psutil.Process(child.pid).create_time(), marker=marker)


def listener(port: int) -> socket.socket:
    """Bind a port of 127.0.0.1 for a process to be started; 0 is any free one.

    The socket itself is handed over, so that no other program can take the port in between. A free port
    refuses connections until its process listens.

    :raises InvalidConfigError: another program listens there.
    """
    taken = socket.socket()
    try:
        if port:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections may linger
        taken.bind(("127.0.0.1", port))
        if port:
            taken.listen(BACKLOG)
    except OSError as error:
        taken.close()
        msg = f"port {port} is taken; choose another or stop what listens there"
        raise InvalidConfigError(msg) from error
    return taken


def find_by_argument(*arguments: str) -> list[Process]:
    """Return processes with all ``arguments`` on their command line: also those that were never recorded."""
    return [
        Process(pid=found.pid, started=found.info["create_time"], marker=arguments[-1])
        for found in psutil.process_iter(["cmdline", "create_time"])
        if set(arguments) <= set(found.info["cmdline"] or ())
    ]


def tail(log: Path, lines: int = 8) -> str:
    """Return the last lines of a log on one line."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "no log"
    return " | ".join(text.strip().splitlines()[-lines:])


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
