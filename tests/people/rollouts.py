"""One cell: a rollout, a person's action at one of its steps, and what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpx
from chaos.site import MODEL
from people.actions import act, answer, let_go
from people.judging import UNWATCHED_SECONDS, Seen
from people.schedule import ASK, STOPS, Action, Cell
from people.site import KEPT, now_and_then

from airflow_mlops.demo.api import FINISHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from people.site import PeopleSite
    from people.watch import Weights

REACH_SECONDS, FINISH_SECONDS, DEPLOY_SECONDS = 120.0, 120.0, 60.0
POLL_SECONDS = 0.1
AT_STEP = ("queued", "running", "deferred")
OVER = ("success", "failed", "skipped", "upstream_failed", "removed")
LEFT_TO_LEASE = (Action.MARK_FAILED, Action.MARK_SUCCESS, Action.DELETE_RUN, Action.DELETE_DAG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One run, by the version that it rolls out."""

    dag_id: str
    run_id: str
    version: str
    champion_before: str

    @property
    def holder(self) -> str:
        return f"{self.dag_id}/{self.run_id}"


def begin(site: PeopleSite, dag_id: str) -> Rollout:
    """Start a rollout of a new version."""
    version, before = site.new_version(), str(site.champion())
    run_id = site.api.trigger(dag_id, conf={"version": version})
    return Rollout(dag_id=dag_id, run_id=run_id, version=version, champion_before=before)


def claims(site: PeopleSite, rollout: Rollout, *, deploys: bool = True) -> str:
    """Wait until a rollout has claimed the endpoint, and deployed; return why it could not."""
    wanted = (rollout.holder, rollout.version)[: 2 if deploys else 1]

    def settled() -> bool:
        task = site.task(rollout.dag_id, rollout.run_id, "deploy")
        return site.held_by()[: len(wanted)] == wanted or task.get("state") in OVER

    now_and_then(settled, DEPLOY_SECONDS)
    state = site.task(rollout.dag_id, rollout.run_id, "deploy").get("state")
    if state == "success" or site.held_by()[: len(wanted)] == wanted:
        return ""
    return f"deploy_canary is {state}; {site.error_of(rollout.dag_id, rollout.run_id, 'deploy')}"


def act_in(site: PeopleSite, cell: Cell, rollout: Rollout, weights: Weights) -> Seen | None:
    """Do the action at its step, wait until its consequences are there; ``None`` if the step was missed."""
    if not _reach(site, cell, rollout):
        return None
    if cell.killed:
        site.kill_airflow()
    at = time.time()
    refused = act(site, cell, rollout.dag_id, rollout.run_id)
    said = time.time()
    released = let_go(site, cell, rollout.dag_id)
    if cell.killed:
        _wait_for_weight(site, cell, rollout)
        site.start_airflow()
    if cell.action is Action.DELETE_DAG:
        released = _put_dag_back(site, rollout)
    state = _finish(site, cell, rollout)
    seen = Seen(
        cell=cell,
        version=rollout.version,
        champion_before=rollout.champion_before,
        at=at,
        said=said,
        weights=weights.of(rollout.version, since=at),
        released=released,
        state=state,
        refused=refused,
    )
    return replace(seen, greens=_greens(site, rollout))


def look_back(site: PeopleSite, rollout: Rollout, seen: Seen) -> Seen:
    """Add what ledger, registry and gateway say of it, once the next rollout, which may tell, has claimed."""
    now_and_then(lambda: not site.serving.pending_ends(MODEL), 5)
    ends = [str(end.kind) for end in site.registry.ends(MODEL) if end.holder == rollout.holder]
    entries = sum(entry.to_version == rollout.version for entry in site.registry.ledger(MODEL))
    serving, champion = site.serving.traffic(MODEL), site.champion()
    return replace(seen, ends=tuple(ends), entries=entries, stable=serving.stable, champion=champion)


def _reach(site: PeopleSite, cell: Cell, rollout: Rollout) -> bool:
    """Wait until a step runs; whether it was seen before it was over."""
    begun, answered = time.monotonic(), False
    while time.monotonic() - begun < REACH_SECONDS:
        task = site.task(rollout.dag_id, rollout.run_id, cell.step)
        if _is_at(site, cell, rollout, task.get("state")):
            return True
        if task.get("state") in OVER or _state(site, rollout) in FINISHED:
            return False
        if cell.step != ASK and rollout.dag_id.endswith("asking") and not answered:
            answered = _answer(site, rollout)
        time.sleep(POLL_SECONDS)
    return False


def _is_at(site: PeopleSite, cell: Cell, rollout: Rollout, state: str | None) -> bool:
    """Whether the step is under way: a deployment once it holds the endpoint, a question once asked."""
    if cell.step == "deploy":
        return state == "running" and site.held_by()[0] == rollout.holder
    return state in (("deferred",) if cell.step == ASK else AT_STEP)


def _wait_for_weight(site: PeopleSite, cell: Cell, rollout: Rollout) -> None:
    """Wait, without Airflow, until the canary has no traffic any more, or as long as that may take."""
    if cell.action not in (*STOPS, *LEFT_TO_LEASE):
        return
    seconds = 5.0 if cell.action in STOPS else UNWATCHED_SECONDS
    now_and_then(lambda: not _gets_traffic(site, rollout), seconds)


def _gets_traffic(site: PeopleSite, rollout: Rollout) -> bool:
    seen = site.serving.traffic(MODEL)
    return seen.canary == rollout.version and seen.canary_percent > 0


def _put_dag_back(site: PeopleSite, rollout: Rollout) -> float:
    """Put the deleted DAG file back, once its rollout has ended or lost its canary."""
    now_and_then(lambda: not _gets_traffic(site, rollout) and site.held_by()[0] is None, UNWATCHED_SECONDS)
    released = time.time()
    site.put_back(rollout.dag_id.partition("__")[0])
    site.wait_until_parsed(rollout.dag_id)
    return released


def _finish(site: PeopleSite, cell: Cell, rollout: Rollout) -> str:
    """Wait until the run is over and nobody's canary gets traffic; answer a question that it asks."""
    answers = cell.step == ASK and cell.action is not Action.ANSWER_AFTER_STOP

    def over() -> bool:
        if answers and site.task(rollout.dag_id, rollout.run_id, ASK).get("state") == "deferred":
            _answer(site, rollout)
        return _state(site, rollout) in (*FINISHED, "gone") and not _gets_traffic(site, rollout)

    now_and_then(over, FINISH_SECONDS)
    return _state(site, rollout)


def _answer(site: PeopleSite, rollout: Rollout) -> bool:
    try:
        answer(site, rollout.dag_id, rollout.run_id, "Go on")
    except httpx.HTTPError:
        return False
    return True


def _greens(site: PeopleSite, rollout: Rollout) -> tuple[str, ...]:
    return tuple(
        name
        for name, task in _tasks(site, rollout).items()
        if task["state"] == "success" and task["duration"]
    )


def _tasks(site: PeopleSite, rollout: Rollout) -> dict[str, dict]:
    return _asked(lambda: site.api.tasks(rollout.dag_id, rollout.run_id), {})


def _state(site: PeopleSite, rollout: Rollout) -> str:
    return _asked(lambda: str(site.api.run(rollout.dag_id, rollout.run_id)["state"]), "unknown", gone="gone")


def _asked(ask: Callable, unknown: object, gone: object = None):
    """Return Airflow's answer, ``unknown`` without one, ``gone`` if there is no such thing."""
    try:
        return ask()
    except httpx.HTTPStatusError as error:
        is_gone = error.response.status_code == httpx.codes.NOT_FOUND and gone is not None
        return gone if is_gone else unknown
    except httpx.HTTPError:
        return unknown


def repair(site: PeopleSite) -> None:
    """Free the endpoint by force, so that one cell's trouble is not the next one's."""
    site.serving.stop(MODEL, None, now=time.time())
    site.pause(f"{KEPT}__rollout", paused=False)
    site.pause(f"{KEPT}__asking", paused=False)
