"""API of the ledger, read-only, below ``/mlops``; every call is authorised by Airflow's auth manager."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_authenticated
from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from airflow_mlops.backends.registry.history import History, models_with_a_ledger, read_history
from airflow_mlops.core.errors import InvalidRecordError, MlopsError
from airflow_mlops.plugin.access import NO_STORE, READ_RUNS, ModelName, mlflow_server
from airflow_mlops.plugin.rollouts import add_rollouts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.backends.mlflow_server import MlflowServer

_logger = logging.getLogger(__name__)
_SCRIPT = Path(__file__).parent / "models.js"


def ledger_api() -> FastAPI:
    """Return the app with ``GET /models``, ``GET /ledger?model=``, of rollouts, and the page's script."""
    app = FastAPI(title="MLOps ledger", docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/models", dependencies=[READ_RUNS])(get_models)
    app.get("/ledger", dependencies=[READ_RUNS])(get_ledger)
    add_rollouts(app)
    app.get("/models.js", dependencies=[Depends(requires_authenticated())])(get_script)
    return app


async def get_models() -> JSONResponse:
    """Return the names of the models that have a ledger."""
    try:
        found = await models_with_a_ledger(await _server())
    except MlopsError as error:
        raise _named(error) from error
    return _fresh({"models": found})


async def get_ledger(model: ModelName, request: Request, user: GetUserDep) -> JSONResponse:
    """Return a model's champion, its changes and decisions, newest first.

    Entries of DAGs that the user may not read are omitted and counted.
    """
    try:
        history = await read_history(await _server(), model)
    except MlopsError as error:
        raise _named(error) from error
    if history is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"MLflow has no model {model!r}")
    return _fresh(await run_in_threadpool(_shown, history, request, user))


async def get_script() -> FileResponse:
    """Return the page's script."""
    return FileResponse(_SCRIPT, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


def _shown(history: History, request: Request, user: GetUserDep) -> dict[str, Any]:
    """Return the entries that the user may read.

    :raises HTTPException: 403 if there are entries and the user may read none of them.
    """
    entries = [entry.to_json() for entry in (*history.changes, *history.decisions)]
    entries += [{**end.to_json(), "dag_id": end.dag_id, "run_id": end.run_id} for end in history.ends]
    entries.sort(key=lambda entry: (-entry["number"], -entry["at"]))
    of_none = f"{history.model}__rollout"  # an end while no rollout held the endpoint
    dags = {entry["dag_id"] or of_none for entry in entries}
    readable = {dag_id: _may_read(dag_id, request, user) for dag_id in dags}
    shown = [entry for entry in entries if readable[entry["dag_id"] or of_none]]
    if entries and not shown:
        msg = f"the ledger of {history.model!r} holds only runs of DAGs that you may not read"
        raise HTTPException(status.HTTP_403_FORBIDDEN, msg)
    return {
        "model": history.model,
        "champion": history.champion,
        "entries": shown,
        "withheld": len(entries) - len(shown),
    }


def _may_read(dag_id: str, request: Request, user: GetUserDep) -> bool:
    try:
        requires_access_dag("GET", param_dag_id=dag_id)(request, user)
    except HTTPException:
        return False
    return True


async def _server() -> MlflowServer:
    return await run_in_threadpool(mlflow_server)


def _named(error: MlopsError) -> HTTPException:
    """Return the kind of error without the server's address; the full error is logged."""
    _logger.warning("ledger: %s: %s", type(error).__name__, error)
    if isinstance(error, InvalidRecordError):
        return HTTPException(
            status.HTTP_502_BAD_GATEWAY, f"{type(error).__name__}: MLflow holds an invalid ledger entry"
        )
    msg = f"{type(error).__name__}: MLflow cannot be read; see the API server's log"
    return HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, msg)


def _fresh(document: Mapping[str, Any]) -> JSONResponse:
    return JSONResponse(document, headers=NO_STORE)
