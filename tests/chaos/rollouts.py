"""One rollout in which processes die: start it, kill at the steps that are chosen, say how it ended."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
from chaos.judging import PROMOTED, ROLLED_BACK, End, Kill
from chaos.schedule import Cell, Target
from chaos.site import MODEL, ON_TRIGGERER, ON_WORKER
from chaos.victims import kill

from airflow_mlops.demo.api import FINISHED

if TYPE_CHECKING:
    import random

    from chaos.site import Site

LONGEST_SECONDS = 300.0
POLL_SECONDS = 0.1
AT_STEP = ("queued", "running", "deferred")
LATEST = {"analyse_20": 5.0, "analyse_50": 5.0, "deploy": 2.0, "set_20": 0.1, "set_50": 0.1}
SHORT = 0.5
"""How many seconds after a step began it is hit at the latest; the others are over in about two."""
FRESH_SECONDS = 0.1
"""So soon after it was seen a step is still there; looking again would take as long."""


def roll_out(
    site: Site, number: int, chosen: list[Cell], rng: random.Random
) -> tuple[End, list[Kill], list[Cell]]:
    """Return how it ended, the kills that were done, and those that came too late."""
    version, before = site.new_version(), site.champion()
    on_worker = any(c.target is Target.WORKER and c.step.startswith("analyse") for c in chosen)
    on_triggerer = any(c.target is Target.TRIGGERER and c.step.startswith("analyse") for c in chosen)
    dag_id = ON_WORKER if on_worker and not on_triggerer else ON_TRIGGERER
    begun = time.monotonic()
    run_id = site.api.trigger(dag_id, conf={"version": version})
    done, late = [], []
    for cell in chosen:
        task = _reach(site, dag_id, run_id, cell, begun, rng)
        hit = kill(site, cell, number, task, rng) if task else None
        _say(number, cell, hit)
        if hit is None:
            late.append(replace(cell, at_once=True))
        else:
            done.append(hit)
    state = _finish(site, dag_id, run_id, begun)
    seconds = time.monotonic() - begun
    return _end(site, number, version, before, state, seconds), done, late


def _reach(site: Site, dag_id: str, run_id: str, cell: Cell, begun: float, rng: random.Random) -> dict:
    """Wait until a step runs, and a moment more; return its task, ``{}`` if it is over by then."""
    moment = 0.0 if cell.at_once else rng.uniform(0.0, LATEST.get(cell.step, SHORT))
    needs_worker = cell.target is Target.WORKER
    while time.monotonic() - begun < LONGEST_SECONDS:
        task = site.task(dag_id, run_id, cell.step)
        there = ("running",) if needs_worker else AT_STEP
        if task.get("state") in there and (task.get("pid") or not needs_worker):
            time.sleep(moment)
            if moment <= FRESH_SECONDS:
                return task
            again = site.task(dag_id, run_id, cell.step)
            return again if again.get("state") in AT_STEP else {}
        over = task.get("state") in ("success", "failed", "skipped", "upstream_failed")
        if over or _state(site, dag_id, run_id) in FINISHED:
            return {}
        time.sleep(POLL_SECONDS)
    return {}


def _finish(site: Site, dag_id: str, run_id: str, begun: float) -> str:
    while time.monotonic() - begun < LONGEST_SECONDS:
        state = _state(site, dag_id, run_id)
        if state in FINISHED:
            return state
        time.sleep(1.0)
    return "unfinished"


def _state(site: Site, dag_id: str, run_id: str) -> str:
    try:
        return str(site.api.run(dag_id, run_id)["state"])
    except httpx.HTTPError:
        return "unknown"


def _end(site: Site, number: int, version: str, before: str | None, state: str, seconds: float) -> End:
    """Compare Airflow, gateway, alias and ledger: an end is one only if all four say the same."""
    seen, champion = site.serving.traffic(MODEL), site.champion()
    entries = sum(entry.to_version == version for entry in site.registry.ledger(MODEL))
    found = (state, seen.stable, seen.canary, seen.canary_percent, seen.holder, champion)
    named = {
        ("success", version, None, 0, None, version): PROMOTED,
        ("failed", before, None, 0, None, before): ROLLED_BACK,
    }
    said = named.get(found, "run {}, stable {}, canary {} at {} %, held by {}, champion {}".format(*found))
    return End(rollout=number, version=version, state=said, entries=entries, seconds=round(seconds, 1))


def _say(number: int, cell: Cell, hit: Kill | None) -> None:
    back = f"back after {hit.back - hit.at:.1f} s" if hit else "too late, comes again"
    print(f"rollout {number}: kill -9 {cell.target} at {cell.step}: {back}", flush=True)
