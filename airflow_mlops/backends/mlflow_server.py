"""MLflow server: address, credentials, and translation of its errors."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from airflow_mlops.backends.mlflow_address import database_problem, read_address, require_database
from airflow_mlops.core.errors import (
    AccessDeniedError,
    InvalidConfigError,
    MlopsError,
    RegistryRefusedError,
    ServiceUnavailableError,
    TransientError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow import MlflowClient

_DENIED = (401, 403)
_GONE = "Current state is deleted"
_MOST_TOLD = 300
_LAST: list[str] = []  # the address of this process's last session
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

    :param uri: ``http(s)://host:port``, or a database URI for a single machine (``sqlite:///mlflow.db``). A
        login in it is taken out: the attribute ``uri`` can be shown.
    :param create: a database may be one that MLflow still has to make; ``False`` for what only reads.
    :raises InvalidConfigError: an address of another kind, such as a folder of files.
    """

    def __init__(
        self, uri: str, *, username: str = "", password: str = "", token: str = "", create: bool = True
    ) -> None:
        self._address = address = read_address(uri)
        self.uri = address.shown
        self._secrets = {
            "MLFLOW_TRACKING_USERNAME": username or address.username,
            "MLFLOW_TRACKING_PASSWORD": password or address.password,
            "MLFLOW_TRACKING_TOKEN": token,
        }
        self._create = create
        self._reached = False

    @property
    def is_server(self) -> bool:
        """Whether a server answers at the address, and not a database."""
        return self._address.is_server

    def http(self) -> httpx.AsyncClient:
        """Return an asynchronous client of the REST API; it does not use the environment.

        :raises InvalidConfigError: the URI is not that of a server.
        """
        if not self.is_server:
            scheme = self.uri.partition(":")[0]
            msg = f"MLflow address of scheme {scheme!r}, allowed: http or https, that of a server"
            raise InvalidConfigError(msg)
        auth, headers = self._credentials()
        return httpx.AsyncClient(base_url=self.uri, auth=auth, headers=headers, timeout=_REQUEST_SECONDS)

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
            raise self._unavailable(error) from error
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
        :raises AccessDeniedError: it refuses the login, or what was asked for.
        :raises RegistryRefusedError: it refuses a request for another reason, and would again.
        """
        import mlflow
        import requests
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        self._ping()
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        _forget_stores_of_others(self._address.uri)
        with _environment(RESTRAINT | {name: value for name, value in self._secrets.items() if value}):
            mlflow.set_tracking_uri(self._address.uri)
            mlflow.set_registry_uri(self._address.uri)
            try:
                yield mlflow.MlflowClient(self._address.uri, self._address.uri)
            except (MlflowException, requests.exceptions.RequestException, SQLAlchemyError) as error:
                raise self._named(error) from error
            finally:
                mlflow.set_tracking_uri(before[0])
                mlflow.set_registry_uri(before[1])

    def _ping(self) -> None:
        if self._reached:
            return
        if self.is_server:
            self._ask_health()
        else:
            require_database(self._address, create=self._create)
        self._reached = True

    def _ask_health(self) -> None:
        """Ask with the credentials: a proxy in front of MLflow may want them for this path, too."""
        try:
            answer = self._get("/health")
            if answer.status_code in _DENIED:
                raise self._denied(answer.status_code)
            if answer.is_redirect:
                raise self._sent_away(answer)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error

    def _get(self, path: str) -> httpx.Response:
        auth, headers = self._credentials()
        transport = httpx.HTTPTransport(retries=2)
        with httpx.Client(transport=transport, timeout=_PING_SECONDS, auth=auth, headers=headers) as http:
            return http.get(f"{self.uri}{path}")

    def _credentials(self) -> tuple[httpx.BasicAuth | None, dict[str, str]]:
        token, name = self._secrets["MLFLOW_TRACKING_TOKEN"], self._secrets["MLFLOW_TRACKING_USERNAME"]
        basic = httpx.BasicAuth(name, self._secrets["MLFLOW_TRACKING_PASSWORD"]) if name else None
        return basic, {"Authorization": f"Bearer {token}"} if token and not name else {}

    def _named(self, error: Exception) -> MlopsError:
        """Return this package's error for what MLflow's client raised: the one place for its refusals."""
        status = http_status(error)
        text = database_problem(error)
        if status >= 500 and self.is_server:
            status = self._status_unheard() or status
        if status in _DENIED:
            return self._denied(status, text)
        if is_outage(error):
            return self._unavailable(error)
        if _GONE in text:
            msg = f"MLflow at {self.uri} holds it as deleted: {text}; restore it there"
            return RegistryRefusedError(msg)
        if 400 <= status < 500:
            return RegistryRefusedError(f"MLflow at {self.uri} refuses: {text}")
        return TransientError(f"MLflow at {self.uri} failed: {type(error).__name__}: {text}")

    def _status_unheard(self) -> int | None:
        """Return 401 or 403 if a proxy says so: MLflow's client drops the status of an answer in JSON."""
        try:
            status = self._get("/api/2.0/mlflow/experiments/search?max_results=1").status_code
        except httpx.HTTPError:
            return None
        return status if status in _DENIED else None

    def _denied(self, status: int, text: str = "") -> AccessDeniedError:
        name, token = self._secrets["MLFLOW_TRACKING_USERNAME"], self._secrets["MLFLOW_TRACKING_TOKEN"]
        who = f"the login {name!r}" if name else "the token" if token else "a request without login and token"
        said = f": {text}" if text and status != 401 else ""
        return AccessDeniedError(f"MLflow at {self.uri} refuses {who} ({status}){said}")

    def _sent_away(self, answer: httpx.Response) -> AccessDeniedError:
        target = httpx.URL(answer.headers.get("location", "")).host or "another path"
        msg = f"MLflow at {self.uri} sends to {target} ({answer.status_code}), a page for people to log in"
        return AccessDeniedError(f"{msg}; allowed: an address that takes a login or a token")

    def _unavailable(self, error: Exception) -> ServiceUnavailableError:
        status = http_status(error)
        if status in _DENIED:
            return ServiceUnavailableError(str(self._denied(status)))
        said = " ".join(str(error).split()) or type(error).__name__
        return ServiceUnavailableError(f"MLflow at {self.uri} does not answer: {said[:_MOST_TOLD]}")


def http_status(error: Exception) -> int:
    """Return the status that an error of MLflow, requests or httpx came with; 500 for none."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return int(answer.status_code)
    return int(getattr(error, "get_http_status_code", lambda: 500)())


def is_outage(error: Exception) -> bool:
    """Return whether an error means no access: unavailable or denied, not an answer."""
    import requests

    lost_it = requests.exceptions.ConnectionError | requests.exceptions.Timeout
    cause = error if isinstance(error, lost_it) else error.__cause__ or error.__context__
    lost = isinstance(cause, lost_it)
    return lost or http_status(error) in (*_DENIED, 429, 502, 503, 504) or "API request to" in str(error)


def _forget_stores_of_others(uri: str) -> None:
    """Empty MLflow's cache of artifact stores, kept by run alone, when a process turns to another address."""
    from mlflow.tracking._tracking_service import utils

    if _LAST and [uri] != _LAST:
        getattr(utils, "_artifact_repos_cache", {}).clear()
    _LAST[:] = [uri]


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
