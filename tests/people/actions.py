"""How a person does each action: through Airflow's REST API, the command line, the page's own request."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
from chaos.site import MODEL
from people.judging import LEASE_SECONDS
from people.schedule import ASK, TASKS, Action, Cell

from airflow_mlops.demo.api import AirflowApi

if TYPE_CHECKING:
    from people.site import PeopleSite

SHORT_PAUSE, LONG_PAUSE = 5.0, LEASE_SECONDS + 10
REASON = "seen in people's actions"
CONFLICT = 409


def act(site: PeopleSite, cell: Cell, dag_id: str, run_id: str) -> str:
    """Do the action; return what it was answered if it was refused."""
    by_action = {
        Action.PAUSE_SHORT: lambda: site.pause(dag_id, paused=True),
        Action.PAUSE_LONG: lambda: site.pause(dag_id, paused=True),
        Action.MARK_FAILED: lambda: mark(site, dag_id, run_id, "failed"),
        Action.MARK_SUCCESS: lambda: mark(site, dag_id, run_id, "success"),
        Action.CLEAR: lambda: clear(site, dag_id, run_id, cell.clears),
        Action.DELETE_RUN: lambda: delete(site, dag_id, run_id),
        Action.DELETE_DAG: site.remove,
        Action.STOP_CLI: lambda: stop_by_cli(site),
        Action.STOP_REST: lambda: stop_by_rest(site),
        Action.STOP_PAGE: lambda: stop_by_page(site),
        Action.TWO_STOPS: lambda: stop_twice(site),
        Action.STOP_AGAINST_PROMOTE: lambda: stop_by_cli(site),
        Action.ANSWER_AFTER_STOP: lambda: stop_and_answer(site, dag_id, run_id),
    }
    try:
        by_action[cell.action]()
    except httpx.HTTPStatusError as error:
        return f"{error.response.status_code} {error.response.text[:200]} of {error.request.url.path}"
    except subprocess.SubprocessError as error:
        return f"{error} {getattr(error, 'stderr', '')}"[-400:]
    return ""


def let_go(site: PeopleSite, cell: Cell, dag_id: str) -> float:
    """Undo after a while what can be undone; return when it was, 0 if nothing was."""
    if cell.action in (Action.PAUSE_SHORT, Action.PAUSE_LONG):
        time.sleep(SHORT_PAUSE if cell.action is Action.PAUSE_SHORT else LONG_PAUSE)
        released = time.time()
        site.pause(dag_id, paused=False)
        return released
    return 0.0


def mark(site: PeopleSite, dag_id: str, run_id: str, state: str) -> None:
    """Mark a run, as the button does."""
    site.api._send("PATCH", f"dags/{dag_id}/dagRuns/{run_id}", json={"state": state})


def clear(site: PeopleSite, dag_id: str, run_id: str, step: str) -> None:
    """Clear a step's task and what comes after it."""
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [TASKS[step]], "only_failed": False}
    more = {"include_downstream": True, "reset_dag_runs": True}
    site.api.post(f"dags/{dag_id}/clearTaskInstances", body | more)


def delete(site: PeopleSite, dag_id: str, run_id: str) -> None:
    """Delete a run; Airflow refuses one that runs, so that it is marked failed first, as people do."""
    mark(site, dag_id, run_id, "failed")
    token = {"Authorization": f"Bearer {_token(site, 'admin')}"}
    path = f"{site.services.airflow_url}/api/v2/dags/{dag_id}/dagRuns/{run_id}"
    httpx.delete(path, headers=token, timeout=30).raise_for_status()


def stop_by_cli(site: PeopleSite) -> None:
    """Run ``airflow-mlops stop``."""
    subprocess.run(cli(site), check=True, capture_output=True, text=True, timeout=60)


def cli(site: PeopleSite) -> list[str]:
    """Return the command of a stop."""
    where = ["--state-dir", str(site.serving.state_dir), "--tracking-uri", site.services.mlflow_url]
    said = ["--reason", REASON, "--by", "op"]
    return [sys.executable, "-m", "airflow_mlops.cli", "stop", MODEL, *said, *where]


def stop_by_rest(site: PeopleSite) -> None:
    """Post to the plug-in's API as a program does: with a token."""
    headers = {"Authorization": f"Bearer {_token(site, 'admin')}"}
    _post_stop(site, headers=headers)


def stop_by_page(site: PeopleSite) -> None:
    """Post as the page does: with the browser's cookie, from Airflow's own address."""
    headers = {"Cookie": f"_token={_token(site, 'admin')}", "Origin": site.services.airflow_url}
    _post_stop(site, headers=headers)


def stop_twice(site: PeopleSite) -> None:
    """Run ``airflow-mlops stop`` twice at the same moment."""
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(stop_by_cli, site) for _ in range(2)]:
            each.result()


def stop_and_answer(site: PeopleSite, dag_id: str, run_id: str) -> None:
    """Stop, then answer the question with yes; that the answer comes too late may be told by a refusal."""
    stop_by_cli(site)
    try:
        answer(site, dag_id, run_id, "Go on")
    except httpx.HTTPStatusError as error:
        if error.response.status_code != CONFLICT:
            raise


def answer(site: PeopleSite, dag_id: str, run_id: str, option: str) -> None:
    """Answer a rollout's question."""
    path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{TASKS[ASK]}/-1/hitlDetails"
    api = AirflowApi(site.api.url, "op", "op")
    api._send("PATCH", path, json={"chosen_options": [option], "params_input": {}})


def _post_stop(site: PeopleSite, *, headers: dict[str, str]) -> None:
    url, body = f"{site.services.airflow_url}/mlops/stop", {"model": MODEL, "reason": REASON}
    said = {**headers, "X-MLOps-Request": "stop"}
    httpx.post(url, json=body, headers=said, timeout=30).raise_for_status()


def _token(site: PeopleSite, user: str) -> str:
    login = {"username": user, "password": user}
    answered = httpx.post(f"{site.services.airflow_url}/auth/token", json=login, timeout=30)
    return str(answered.raise_for_status().json()["access_token"])
