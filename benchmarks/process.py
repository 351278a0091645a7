"""What a whole process costs, imports and exit included."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU seconds (its own children included), wall seconds, peak memory of the largest process in MB."""

    user: float
    system: float
    wall: float
    peak_mb: float
    code: int
    output: str
    errors: str
    stopped: bool


def run(command: Sequence[str], *, limit: float) -> Cost:
    """Run a command to its end and return what it cost; it is killed after ``limit`` seconds."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        timer = threading.Timer(limit, process.kill)
        timer.start()
        peak = _Peak(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        stopped = not timer.is_alive()
        timer.cancel()
        output.seek(0)
        errors.seek(0)
        return Cost(
            user=usage.ru_utime,
            system=usage.ru_stime,
            wall=time.monotonic() - begin,
            peak_mb=peak.stop(),
            code=process.returncode,
            output=output.read(),
            errors=errors.read(),
            stopped=stopped,
        )


class _Peak:
    """Watches a process's high-water mark; the kernel's own count starts at the size of its parent."""

    def __init__(self, pid: int) -> None:
        self.status, self.done, self.mb = Path(f"/proc/{pid}/status"), threading.Event(), 0.0
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def stop(self) -> float:
        self.done.set()
        self.thread.join()
        return self.mb

    def _watch(self) -> None:
        while not self.done.wait(0.02):
            with contextlib.suppress(OSError, StopIteration):
                line = next(x for x in self.status.read_text().splitlines() if x.startswith("VmHWM"))
                self.mb = int(line.split()[1]) / 1e3
