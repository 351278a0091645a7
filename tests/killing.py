"""Processes that tests kill with SIGKILL, as the kernel would."""

from __future__ import annotations

import contextlib
import time

import psutil

SECONDS = 10.0


def kill_now(*processes):
    """SIGKILL processes at once and wait until none is left; one that nobody has buried yet is dead."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + SECONDS
    while any(map(_lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.005)


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
