"""Processes that tests kill with SIGKILL, as the kernel would."""

from __future__ import annotations

import psutil


def kill_now(*processes):
    """SIGKILL processes at once and wait until none is left."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=10)


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
