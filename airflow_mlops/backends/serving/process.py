"""Processes that outlive the task that started them."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLOCK_SLACK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process(Record):
    """A process by pid and start time, so that a reused pid is never mistaken for it."""

    pid: int
    started: float

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
            same = abs(found.create_time() - self.started) < CLOCK_SLACK_SECONDS
        except psutil.NoSuchProcess:
            return None
        return found if same else None


def start(
    command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str] | None = None
) -> Process:
    """Start a process in a session of its own; its output goes to ``log``.

    :param environment: all of its environment; the caller's secrets are not inherited.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - a list built by this package, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment or {"PATH": os.environ.get("PATH", "")}),
            start_new_session=True,
        )
    child.returncode = 0  # it lives on after us: nobody here waits for it, and that is no leak
    return Process(pid=child.pid, started=psutil.Process(child.pid).create_time())


def find_by_argument(argument: str) -> list[Process]:
    """Return processes that carry ``argument`` on their command line (started but never recorded)."""
    return [
        Process(pid=found.pid, started=found.info["create_time"])
        for found in psutil.process_iter(["cmdline", "create_time"])
        if argument in (found.info["cmdline"] or ())
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
