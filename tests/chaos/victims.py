"""Who is killed, and who brings it back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
from chaos.judging import Kill
from chaos.schedule import Cell, Target
from chaos.site import MODEL
from chaos.traffic import BODY
from local_serving import changed
from processes import family, kill_now, worker_of

if TYPE_CHECKING:
    import random

    from chaos.site import Site

RESTART_SECONDS = 1.0
START_SECONDS = 20.0


def kill(site: Site, cell: Cell, rollout: int, task: dict, rng: random.Random) -> Kill | None:
    """Kill; ``None`` when there is nothing to kill (any more).

    What a service manager restarts (scheduler, triggerer) is started again after a second; Airflow replaces
    its worker; the reaper brings the gateway back; a model server forks another sibling.
    """
    if cell.target is Target.CANARY:
        _wait_for_canary(site, cell)
        with changed(site.serving, MODEL) as state:  # so that it is still the canary when it dies
            return _kill_server(cell, rollout, state, state.canary)
    if cell.target is Target.SIBLING:
        state = site.serving.endpoint_state(MODEL)
        return _kill_server(cell, rollout, state, state.stable, rng)
    try:
        victims = _victims(site, cell, task)
    except psutil.NoSuchProcess:
        return None
    at, gone = _kill(victims)
    if cell.target in ("scheduler", "triggerer"):
        time.sleep(RESTART_SECONDS)
        site.services.run(str(cell.target))
        site.sweep()
    back = site.wait_for_answer(BODY) if cell.target is Target.GATEWAY else time.time()
    return _said(cell, rollout, (at, gone, back))


def _wait_for_canary(site: Site, cell: Cell) -> None:
    """Wait for the canary's process while it is being deployed; later it is there or gone for good."""
    deadline = time.monotonic() + START_SECONDS
    while cell.step == "deploy" and time.monotonic() < deadline:
        state = site.serving.endpoint_state(MODEL)
        if state.canary is not None:
            return
        time.sleep(0.05)


def _victims(site: Site, cell: Cell, task: dict) -> list[psutil.Process]:
    if cell.target is Target.WORKER:
        if task.get("state") != "running" or not task.get("pid"):
            raise psutil.NoSuchProcess(0)
        return list(worker_of(task["pid"], site.services.processes["scheduler"].pid))
    if cell.target is Target.GATEWAY:
        known = site.serving.endpoint_state(MODEL).gateway
    else:
        known = site.services.processes[str(cell.target)]
    if known is None:
        raise psutil.NoSuchProcess(0)
    return [psutil.Process(known.pid)]


def _kill_server(cell, rollout, state, version, rng=None) -> Kill | None:
    server = state.servers.get(version or "")
    if server is None or server.process is None:
        return None
    try:
        first, *workers = family(server.process.pid)
    except psutil.NoSuchProcess:
        return None
    if rng is not None and not workers:
        return None
    at, gone = _kill([first, *workers] if rng is None else [rng.choice(workers)])
    return _said(cell, rollout, (at, gone, gone), server.slot)


def _kill(victims: list[psutil.Process]) -> tuple[float, float]:
    at = time.time()
    kill_now(*victims)
    return at, time.time()


def _said(cell: Cell, rollout: int, times: tuple[float, float, float], slot: str = "") -> Kill:
    at, gone, back = times
    where = {"target": str(cell.target), "step": cell.step, "rollout": rollout, "slot": slot}
    return Kill(**where, at=at, gone=gone, back=back)
