"""MLflow server: address, credentials, and translation of its errors."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow import MlflowClient

_PING_SECONDS = 5.0
_REQUEST_SECONDS = 20.0
RESTRAINT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class MlflowServer:
    """Address and credentials of an MLflow tracking server and registry.

    MLflow reads credentials from the environment only, so :meth:`session` sets them while its block runs and
    restores the environment; use it in a task process, never in a triggerer.

    :param uri: ``http(s)://host:port``, or a database URI for a single machine (``sqlite:///mlflow.db``).
    """

    def __init__(self, uri: str, *, username: str = "", password: str = "", token: str = "") -> None:
        self.uri = uri
        self._secrets = {
            "MLFLOW_TRACKING_USERNAME": username,
            "MLFLOW_TRACKING_PASSWORD": password,
            "MLFLOW_TRACKING_TOKEN": token,
        }
        self._reached = not uri.startswith("http")

    def http(self) -> httpx.AsyncClient:
        """Return an asynchronous client of the REST API; it does not use the environment.

        :raises InvalidConfigError: the URI is not that of a server.
        """
        if not self.uri.startswith("http"):
            scheme = self.uri.partition(":")[0]
            msg = f"MLflow address of scheme {scheme!r}, allowed: http or https, that of a server"
            raise InvalidConfigError(msg)
        token, name = self._secrets["MLFLOW_TRACKING_TOKEN"], self._secrets["MLFLOW_TRACKING_USERNAME"]
        basic = httpx.BasicAuth(name, self._secrets["MLFLOW_TRACKING_PASSWORD"]) if name else None
        headers = {"Authorization": f"Bearer {token}"} if token and not name else {}
        return httpx.AsyncClient(
            base_url=self.uri.rstrip("/"), auth=basic, headers=headers, timeout=_REQUEST_SECONDS
        )

    async def ask(self, path: str, **params: str) -> dict[str, Any] | None:
        """GET a document of the REST API without using the environment.

        :param path: below ``/api/2.0/mlflow``.
        :return: ``None`` if MLflow itself, not a proxy in front of it, reports that it does not exist.
        :raises ServiceUnavailableError: no answer, or one that is not JSON; names the status.
        """
        try:
            async with self.http() as http:
                answer = await http.get(f"/api/2.0/mlflow/{path}", params=params)
            if answer.status_code == httpx.codes.NOT_FOUND and "RESOURCE_DOES_NOT_EXIST" in answer.text:
                return None
            document: dict[str, Any] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            msg = f"MLflow at {self.uri} does not answer: {type(error).__name__}: {error}"
            raise ServiceUnavailableError(msg[:300]) from error
        return document

    async def tell(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """POST a document to the REST API without using the environment; once, without a retry.

        :param path: below ``/api/2.0/mlflow``.
        :return: MLflow's answer; empty if what was to be made is there already.
        :raises ServiceUnavailableError: no answer, or one that is not JSON; names the status.
        """
        try:
            async with self.http() as http:
                answer = await http.post(f"/api/2.0/mlflow/{path}", json=document)
            if answer.is_client_error and "RESOURCE_ALREADY_EXISTS" in answer.text:
                return {}
            made: dict[str, Any] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._unavailable(error) from error
        return made

    @contextmanager
    def session(self) -> Iterator[MlflowClient]:
        """Yield a client; within the block MLflow's module functions use this server too.

        :raises ServiceUnavailableError: the server does not answer; names its address.
        """
        import mlflow
        import requests
        from mlflow.exceptions import MlflowException

        self._ping()
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        with _environment(RESTRAINT | {name: value for name, value in self._secrets.items() if value}):
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            try:
                yield mlflow.MlflowClient(self.uri, self.uri)
            except (MlflowException, requests.exceptions.RequestException) as error:
                if is_outage(error):
                    raise self._unavailable(error) from error
                raise
            finally:
                mlflow.set_tracking_uri(before[0])
                mlflow.set_registry_uri(before[1])

    def _ping(self) -> None:
        if self._reached:
            return
        try:
            transport = httpx.HTTPTransport(retries=2)
            with httpx.Client(transport=transport, timeout=_PING_SECONDS) as http:
                http.get(f"{self.uri.rstrip('/')}/health").raise_for_status()
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error
        self._reached = True

    def _unavailable(self, error: Exception) -> ServiceUnavailableError:
        return ServiceUnavailableError(f"MLflow at {self.uri} does not answer: {str(error)[:300]}")


def is_outage(error: Exception) -> bool:
    """Return whether an error means that the server is unavailable, rather than an answer of it."""
    import requests

    lost_it = requests.exceptions.ConnectionError | requests.exceptions.Timeout
    cause = error if isinstance(error, lost_it) else error.__cause__ or error.__context__
    status = getattr(error, "get_http_status_code", lambda: 500)()
    lost = isinstance(cause, lost_it)
    return lost or status in (429, 502, 503, 504) or "API request to" in str(error)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
