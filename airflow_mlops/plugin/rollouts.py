"""Rollouts as they are now, and their stop, below ``/mlops``; every call is authorised by the auth manager.

These routes ask the serving back ends, not MLflow and not the scheduler: a stop works while both are away.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_authenticated
from airflow.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.concurrency import run_in_threadpool

from airflow_mlops.backends.registry.rest_ledger import RestLedger
from airflow_mlops.backends.serving.status import read_status
from airflow_mlops.core.errors import (
    EndpointMissingError,
    MlopsError,
    ServiceUnavailableError,
    TransientError,
)
from airflow_mlops.core.rollout.lease import REAPER, STOPPER
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.plugin.access import NO_STORE, READ_RUNS, ModelName, mlflow_server
from airflow_mlops.runtime.stop import StopReport, stop_rollout

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod

    from airflow_mlops.backends.serving.protocol import ServingBackend

STOP_HEADER = "X-MLOps-Request"
"""Header that a stop must have: a page of another site cannot set it without asking this server first."""
SIGNED_IN = Depends(requires_authenticated())
_logger = logging.getLogger(__name__)


class StopRequest(BaseModel):
    """Body of a stop."""

    model_config = ConfigDict(extra="forbid")
    model: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.\- ]+$")]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


def require_own_page(request: Request) -> None:
    """Refuse requests that another site could make a browser send along with the user's cookie.

    :raises HTTPException: 415 for a body that is not JSON; 403 without the header, or from another origin.
    """
    given = request.headers
    if given.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "allowed: application/json")
    site, origin = given.get("sec-fetch-site"), given.get("origin")
    foreign = site not in ("same-origin", "none") if site else origin is not None and not _is_ours(given)
    if foreign or not given.get(STOP_HEADER):
        msg = f"a stop needs the header {STOP_HEADER}, and may not come from another site"
        raise HTTPException(status.HTTP_403_FORBIDDEN, msg)


OWN_PAGE = Depends(require_own_page)


def add_rollouts(app: FastAPI) -> None:
    """Add ``GET /endpoints``, ``GET /rollout?model=`` and ``POST /stop``."""
    app.get("/endpoints", dependencies=[READ_RUNS])(get_endpoints)
    app.get("/rollout", dependencies=[SIGNED_IN])(get_rollout)
    app.post("/stop", dependencies=[SIGNED_IN, OWN_PAGE])(post_stop)


async def get_endpoints() -> JSONResponse:
    """Return the names of the endpoints that the serving connections list."""
    try:
        found = await run_in_threadpool(_endpoints)
    except MlopsError as error:
        raise _named(error) from error
    return JSONResponse({"endpoints": found}, headers=NO_STORE)


async def get_rollout(model: ModelName, request: Request, user: GetUserDep) -> JSONResponse:
    """Return an endpoint's rollout as it is now, and whether the user may stop it."""
    return JSONResponse(await run_in_threadpool(_status, model, request, user), headers=NO_STORE)


async def post_stop(asked: StopRequest, request: Request, user: GetUserDep) -> JSONResponse:
    """Take the canary out of traffic and free the endpoint; the user's name is in the ledger."""
    done = await run_in_threadpool(_stopped, asked, request, user)
    ledger = "pending" if done.pending else "written" if done.did_something else ""
    said = {"sentence": done.sentence, "stopped": done.stopped.to_json(), "ledger": ledger}
    return JSONResponse(said, headers=NO_STORE)


def _status(model: str, request: Request, user: GetUserDep) -> dict[str, Any]:
    backend, dag_id = _authorised("GET", model, request, user)
    try:
        found = read_status(backend, model, now=time.time()).to_json()
    except MlopsError as error:
        raise _named(error) from error
    return {**found, "dag_id": dag_id, "may_stop": _may("PUT", dag_id, request, user)}


def _stopped(asked: StopRequest, request: Request, user: GetUserDep) -> StopReport:
    backend, _ = _authorised("PUT", asked.model, request, user)
    try:
        done = stop_rollout(
            backend,
            asked.model,
            actor=user.get_name(),
            reason=asked.reason,
            now=time.time(),
            way="page" if request.headers.get("sec-fetch-site") else "API",
            registry=_ledger(),
        )
    except MlopsError as error:
        raise _named(error) from error
    _logger.warning("stop by %s: %s; %s", user.get_name(), done.sentence, done.ledger_sentence)
    return done


def _ledger() -> RestLedger | None:
    try:
        return RestLedger(mlflow_server())
    except MlopsError as error:
        _logger.warning("the ledger entry stays pending: %s", error)
        return None


def _authorised(
    method: ResourceMethod, model: str, request: Request, user: GetUserDep
) -> tuple[ServingBackend, str]:
    """Return the endpoint's back end, and the DAG whose permission counts: the holder's, if there is one.

    :raises HTTPException: 403 without that permission; 404 for no such endpoint; 503 if it is away. Who may
        not read the model's own rollout DAG is not told which endpoints there are.
    """
    own = f"{model}__rollout"
    try:
        backend = _backend_of(model)
        dag_id = _holder(backend, model).partition("/")[0] or own
    except MlopsError as error:
        _require(method, own, request, user)
        raise _named(error) from error
    _require(method, dag_id, request, user)
    return backend, dag_id


def _holder(backend: ServingBackend, model: str) -> str:
    """Return who holds an endpoint; while its gateway is away, who has its lease."""
    try:
        return backend.traffic(model).holder or ""
    except TransientError:
        lease = backend.current_lease(model)
        return lease.holder if lease is not None and lease.holder not in (REAPER, STOPPER) else ""


def _backend_of(model: str) -> ServingBackend:
    """Return the first back end that lists an endpoint.

    :raises EndpointMissingError: all were read and none lists it.
    :raises ServiceUnavailableError: none that was read lists it, and one could not be read.
    """
    problem: MlopsError = EndpointMissingError(f"no endpoint {model!r}")
    for name in _connections():
        try:
            backend = _backend(name)
            if model in backend.endpoints():
                return backend
        except MlopsError as error:
            problem = ServiceUnavailableError(str(error))
    raise problem


def _endpoints() -> list[str]:
    """Return what can be listed; one connection that is away does not hide the others.

    :raises MlopsError: none can be listed.
    """
    found: set[str] = set()
    problems = []
    for name in _connections():
        try:
            found.update(_backend(name).endpoints())
        except MlopsError as error:
            problems.append(error)
    if problems and not found:
        raise problems[0]
    return sorted(found)


def _backend(name: str) -> ServingBackend:
    try:
        return ServingHook(name).shared_backend()
    except (AirflowException, AirflowRuntimeError) as error:
        msg = f"connection {name!r} cannot be read: {error}"
        raise ServiceUnavailableError(msg) from error


def _connections() -> list[str]:
    given = conf.get("mlops", "serving_conn_ids", fallback=ServingHook.default_conn_name)
    return [name.strip() for name in given.split(",") if name.strip()]


def _require(method: ResourceMethod, dag_id: str, request: Request, user: GetUserDep) -> None:
    requires_access_dag(method, param_dag_id=dag_id)(request, user)


def _may(method: ResourceMethod, dag_id: str, request: Request, user: GetUserDep) -> bool:
    try:
        _require(method, dag_id, request, user)
    except HTTPException:
        return False
    return True


def _is_ours(given: Any) -> bool:
    """Whether a request's origin is this server, by the address it was asked under or the configured one."""
    ours = {given.get("host", ""), urlsplit(conf.get("api", "base_url", fallback="")).netloc} - {""}
    return urlsplit(given["origin"]).netloc in ours


def _named(error: MlopsError) -> HTTPException:
    """Return the kind of error without addresses and paths; the full error is logged."""
    _logger.warning("rollouts: %s: %s", type(error).__name__, error)
    if isinstance(error, EndpointMissingError):
        return HTTPException(status.HTTP_404_NOT_FOUND, "no serving connection has this endpoint")
    msg = f"{type(error).__name__}: the endpoint cannot be reached; see the API server's log"
    return HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, msg)
