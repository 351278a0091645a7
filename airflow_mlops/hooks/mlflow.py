"""MlflowHook: an Airflow connection of type ``mlflow`` turned into registry and evidence store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_mlops.core.errors import InvalidConfigError, MlopsError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_mlops.backends.evidence.protocol import EvidenceStore
    from airflow_mlops.backends.mlflow_server import MlflowServer
    from airflow_mlops.backends.registry.protocol import ModelRegistry

_EXTRAS = ("token",)


class MlflowHook(BaseHook):
    """MLflow tracking server and registry.

    Connection: host = tracking URI (``http(s)://…``, or ``sqlite:///…`` on one machine), port, login and
    password for basic authentication, or extra ``token``.

    :param mlflow_conn_id: connection of type ``mlflow``.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlflow_default"
    conn_type = "mlflow"
    hook_name = "MLflow"

    def __init__(self, mlflow_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.mlflow_conn_id = mlflow_conn_id

    def server(self) -> MlflowServer:
        """Return the server the connection names.

        :raises InvalidConfigError: no host, or an extra that is not known.
        """
        return self._server(self.get_connection(self.mlflow_conn_id))

    async def aserver(self) -> MlflowServer:
        """Return the same without blocking: for triggers."""
        return self._server(await self.aget_connection(self.mlflow_conn_id))

    def _server(self, connection: Connection) -> MlflowServer:
        from airflow_mlops.backends.mlflow_server import MlflowServer

        extra = connection.extra_dejson
        unknown = sorted(set(extra) - set(_EXTRAS))
        if unknown or not connection.host:
            problem = (
                f"unknown extra {unknown[0]!r}; allowed: {', '.join(_EXTRAS)}" if unknown else "host is empty"
            )
            msg = f"connection {self.mlflow_conn_id!r}: {problem}"
            raise InvalidConfigError(msg)
        try:
            return MlflowServer(
                _uri(connection.host, connection.port),
                username=connection.login or "",
                password=connection.password or "",
                token=extra.get("token", ""),
            )
        except InvalidConfigError as error:
            msg = f"connection {self.mlflow_conn_id!r}: {error}"
            raise InvalidConfigError(msg) from error

    def evidence(self) -> EvidenceStore:
        """Return the evidence store."""
        from airflow_mlops.backends.evidence.mlflow import MlflowEvidence

        return MlflowEvidence(self.server())

    def registry(self) -> ModelRegistry:
        """Return the model registry."""
        from airflow_mlops.backends.registry.mlflow import MlflowRegistry

        return MlflowRegistry(self.server())

    def get_conn(self) -> Any:
        """Return MLflow's own client; credentials are set only inside ``server().session()``."""
        with self.server().session() as client:
            return client

    def ui_url(self, evidence_run: str) -> str:
        """Return the URL of the run in MLflow's UI; empty for a store without a server."""
        server = self.server()
        if not server.is_server:
            return ""
        with server.session() as client:
            experiment = client.get_run(evidence_run).info.experiment_id
        return f"{server.uri}/#/experiments/{experiment}/runs/{evidence_run}"

    def test_connection(self) -> tuple[bool, str]:
        """Return whether MLflow answers."""
        try:
            with self.server().session() as client:
                client.search_experiments(max_results=1)
        except MlopsError as error:
            return False, str(error)
        return True, "MLflow answers"


def _uri(host: str, port: int | None) -> str:
    from airflow_mlops.backends.mlflow_address import with_port

    return with_port(host, port)
