"""Real processes of tests: found, waited for, killed with SIGKILL as the kernel would."""

from __future__ import annotations

import contextlib
import time

import psutil

SECONDS = 10.0


def until(condition, what="it", seconds=20.0, pause=0.02):
    """Wait for a condition; the one place where tests of real processes sleep until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(pause)


def processes_of(folder):
    """Return what runs with a folder on its command line."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())]


def kill_now(*processes):
    """SIGKILL processes at once and wait until none is left; one that nobody has buried yet is dead."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: not any(map(_lives, processes)), "processes to be gone", SECONDS, pause=0.005)


def family(pid):
    """Return a process and all its descendants."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def worker_of(task_pid, scheduler_pid):
    """Return the worker that supervises a task and the process that runs it."""
    task = psutil.Process(task_pid)
    worker = task.parent()
    assert worker.pid != scheduler_pid
    return worker, task


def _lives(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
