"""Shared by the commands on endpoints: which back end, and which ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError

if TYPE_CHECKING:
    import argparse

    from airflow_mlops.backends.mlflow_server import MlflowServer
    from airflow_mlops.backends.registry.rest_ledger import EndLedger
    from airflow_mlops.backends.serving.protocol import ServingBackend

TRACKING_URI = "MLFLOW_TRACKING_URI"


def add_serving_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a serving back end."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--state-dir", metavar="DIR", help="state directory of a local serving back end")
    where.add_argument("--conn", metavar="ID", help="Airflow connection of a serving type")


def add_ledger_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the choice of an MLflow server for ledger entries.

    :param default: what happens without one, for the help text.
    """
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--tracking-uri", metavar="URI", help=f"MLflow server of the ledger; {default}")
    where.add_argument("--mlflow-conn", metavar="ID", help="or its Airflow connection")


def serving_of(options: argparse.Namespace) -> ServingBackend:
    """Return the back end.

    :raises InvalidConfigError: no such folder, or a connection that is not there or not understood.
    """
    if options.state_dir:
        from airflow_mlops.backends.serving.local.backend import LocalServing

        if not Path(options.state_dir).is_dir():
            msg = f"--state-dir {options.state_dir}: no such folder"
            raise InvalidConfigError(msg)
        return LocalServing(Path(options.state_dir))
    try:
        from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

        from airflow_mlops.hooks.serving import ServingHook
    except ImportError as error:
        msg = f"--conn needs Airflow's package ({error}); without it give --state-dir"
        raise MissingDependencyError(msg) from error
    try:
        return ServingHook(options.conn).backend()
    except (AirflowException, AirflowRuntimeError) as error:
        known = "add it in Airflow (Admin, Connections, or AIRFLOW_CONN_…), or give --state-dir"
        msg = f"--conn {options.conn}: {error}; {known}"
        raise InvalidConfigError(msg) from error


def end_ledger(options: argparse.Namespace, *, tracking_uri: str | None) -> EndLedger | None:
    """Return where ends of rollouts are written; ``None`` if no MLflow server is given.

    :param tracking_uri: the server unless ``--mlflow-conn`` names one.
    :raises InvalidConfigError: a connection that is not there or not understood.
    """
    if options.mlflow_conn:
        return _ledger_at(_connected(options.mlflow_conn))
    return _ledger_at(server_at(tracking_uri)) if tracking_uri else None


def _ledger_at(server: MlflowServer) -> EndLedger:
    """Return the quick writer for a server; a database is written through MLflow's package."""
    from airflow_mlops.backends.registry.mlflow import MlflowRegistry
    from airflow_mlops.backends.registry.rest_ledger import RestLedger

    return RestLedger(server) if server.is_server else MlflowRegistry(server)


def server_at(tracking_uri: str) -> MlflowServer:
    """Return the server at an address, with the credentials of MLflow's own variables.

    A command reads a ledger or adds to one that is there: a database that is not there is not made.

    :raises InvalidConfigError: an address of another kind.
    """
    from airflow_mlops.backends.mlflow_server import MlflowServer

    names = {"username": "USERNAME", "password": "PASSWORD", "token": "TOKEN"}
    secrets = {key: os.environ.get(f"MLFLOW_TRACKING_{name}", "") for key, name in names.items()}
    return MlflowServer(tracking_uri, **secrets, create=False)


def _connected(conn_id: str) -> MlflowServer:
    try:
        from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

        from airflow_mlops.hooks.mlflow import MlflowHook
    except ImportError as error:
        msg = f"--mlflow-conn needs Airflow's package ({error}); without it give --tracking-uri"
        raise MissingDependencyError(msg) from error
    try:
        return MlflowHook(conn_id).server()
    except (AirflowException, AirflowRuntimeError) as error:
        msg = f"--mlflow-conn {conn_id}: {error}"
        raise InvalidConfigError(msg) from error
