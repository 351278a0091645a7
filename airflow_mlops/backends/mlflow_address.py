"""Addresses of MLflow: checked, completed with a port, and shown without what is secret in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError, ServiceUnavailableError

_SERVERS = ("http", "https")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_ALLOWED = f"http or https, that of a server; or a database's: {', '.join(_DATABASES)}"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9]*)(?:\+\w+)?:")
_TABLE = "registered_models"


@dataclass(frozen=True, slots=True)
class MlflowAddress:
    """Where MLflow is.

    :param uri: what MLflow's client is given; of a database it holds the password.
    :param shown: the same without password: for messages, links and logs.
    :param username: login that stood in the address of a server; ``password`` likewise.
    """

    uri: str = field(repr=False)
    shown: str
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_server(self) -> bool:
        """Whether a server answers there, and not a database."""
        return self.shown.startswith("http")


def read_address(text: str) -> MlflowAddress:
    """Return the address that a text means; a login in it is taken out.

    :raises InvalidConfigError: a scheme that is not supported, or no host; repeats no secret.
    """
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if scheme in _SERVERS:
        return _server(text)
    if scheme in _DATABASES:
        return MlflowAddress(text, _without_password(text))
    named = f"of scheme {scheme!r}" if scheme and "@" not in text.partition(":")[0] else "without a scheme"
    msg = f"MLflow address {named}, allowed: {_ALLOWED}; a folder of files is none"
    raise InvalidConfigError(msg)


def with_port(host: str, port: int | None) -> str:
    """Return the address of a host and a port, with ``http://`` where the host has no scheme.

    :raises InvalidConfigError: the host names another port.
    """
    found = _SCHEME.match(host)
    if found and found[1].lower() in (*_DATABASES, "file"):
        return host
    if "://" not in host:
        host = f"http://[{host}]" if host.count(":") > 1 and "[" not in host else f"http://{host}"
    parts = urlsplit(host)
    there = _port(parts.netloc)
    if port is None or there == str(port):
        return host
    if there:
        msg = f"host names port {there}, port is {port}; allowed: one of them"
        raise InvalidConfigError(msg)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.removesuffix(':')}:{port}"))


def require_database(address: MlflowAddress, *, create: bool) -> None:
    """Accept a database that answers.

    :param create: it may be one that MLflow still has to make; a reader makes none.
    :raises InvalidConfigError: no such file, no database, or not MLflow's.
    :raises ServiceUnavailableError: it does not answer.
    :raises MissingDependencyError: its driver is not installed.
    """
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    url = make_url(address.uri)
    is_file = url.get_backend_name() == "sqlite"
    if is_file and not create and not Path(url.database or "").is_file():
        msg = f"MLflow at {address.shown}: no such file"
        raise InvalidConfigError(msg)
    try:
        engine = create_engine(url)
        try:
            is_there = inspect(engine).has_table(_TABLE)
        finally:
            engine.dispose()
    except ImportError as error:
        msg = f"MLflow at {address.shown} needs the database's driver: {error}"
        raise MissingDependencyError(msg) from error
    except SQLAlchemyError as error:
        said = database_problem(error)
        if is_file and "locked" not in said:
            msg = f"MLflow at {address.shown} cannot be read: {said}"
            raise InvalidConfigError(msg) from error
        msg = f"MLflow at {address.shown} does not answer: {said}"
        raise ServiceUnavailableError(msg) from error
    if not (is_there or create):
        msg = f"MLflow at {address.shown}: a database without MLflow's tables"
        raise InvalidConfigError(msg)


def database_problem(error: Exception) -> str:
    """Return what a database's driver said, on one line, without the statement."""
    said = getattr(error, "orig", None) or error
    return " ".join(str(said).split())[:300]


def _server(text: str) -> MlflowAddress:
    parts = urlsplit(text)
    login, _, host = parts.netloc.rpartition("@")
    if not host or (_port(host) and not _port(host).isdigit()):
        msg = "MLflow address of a server without a host, or with a port that is no number"
        raise InvalidConfigError(msg)
    name, _, password = login.partition(":")
    uri = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    return MlflowAddress(uri, uri, unquote(name), unquote(password))


def _port(netloc: str) -> str:
    """Return the port that a network location names; empty for none. An IPv6 address is in brackets."""
    return netloc.rpartition("@")[2].rpartition("]")[2].partition(":")[2]


def _without_password(text: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        msg = f"MLflow address is no database's; allowed: {_ALLOWED}"
        raise InvalidConfigError(msg) from error
    return url.set(query={}).render_as_string(hide_password=True)
