"""Shared by the plug-in's routes: who may read, which names are valid, where MLflow is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from fastapi import Depends, Query

from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.hooks.mlflow import MlflowHook

if TYPE_CHECKING:
    from airflow_mlops.backends.mlflow_server import MlflowServer

READ_RUNS = Depends(requires_access_dag("GET"))
ModelName = Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[\w.\- ]+$")]
"""Letters, digits, ``_``, ``-``, ``.`` and spaces: no characters with a meaning in a search filter."""
NO_STORE = {"Cache-Control": "no-store"}


def mlflow_server() -> MlflowServer:
    """Return the MLflow server of the configured connection.

    :raises ServiceUnavailableError: the connection does not exist.
    """
    name = conf.get("mlops", "mlflow_conn_id", fallback=MlflowHook.default_conn_name)
    try:
        return MlflowHook(name).server()
    except (AirflowException, AirflowRuntimeError) as error:
        msg = f"connection {name!r} cannot be read"
        raise ServiceUnavailableError(msg) from error
