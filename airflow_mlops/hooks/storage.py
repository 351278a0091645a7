"""Object storage: a URI turned into a file system whose credentials come from an Airflow connection only.

``s3://conn_id@bucket/prefix``: the part before the ``@`` names the connection. Airflow's providers bring
the schemes (``amazon[s3fs]``: s3; ``google``: gs, gcs; ``microsoft-azure``: abfs, adl).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops.core.data.dataset_uri import DatasetUri
from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError
from airflow_mlops.core.text_input import utf8_text

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_LOCAL = ("", "file", "local")
_OPEN = ("memory", "http", "https")
"""Schemes that need no credentials: fsspec serves them where no connection is named."""


def is_local(uri: str) -> bool:
    """Return whether a URI is a path on this machine: ``/data``, ``file:///data``."""
    return urlsplit(uri).scheme in _LOCAL


def is_table(uri: str) -> bool:
    """Return whether a URI names a table of a database: ``[<connection URL>]#table=<table>``."""
    return "#table=" in uri


def database_url(conn_id: str) -> str:
    """Return the URL, credentials included, of a database's Airflow connection; never show it.

    :raises InvalidConfigError: there is no such connection.
    """
    from airflow.sdk import BaseHook

    try:
        return str(BaseHook.get_connection(conn_id).get_uri())
    except AirflowNotFoundException as error:
        msg = f"table_conn_id: {error}; allowed: an Airflow connection of a database"
        raise InvalidConfigError(msg) from error


def filesystem_of(uri: str) -> AbstractFileSystem | None:
    """Return the file system a URI lies on; ``None`` for this machine's own, and for tables.

    :raises InvalidConfigError: a password in the URI, or a connection that is not there.
    :raises MissingDependencyError: no provider for the scheme is installed.
    """
    _refuse_password(uri)
    if is_local(uri) or is_table(uri):
        return None
    uri = DatasetUri.parse(uri).location
    scheme = urlsplit(uri).scheme
    import fsspec
    from airflow.sdk import ObjectStoragePath

    try:
        if scheme in _OPEN and "@" not in urlsplit(uri).netloc:
            return fsspec.filesystem(scheme)
        return ObjectStoragePath(uri).fs
    except AirflowNotFoundException as error:
        msg = f"{uri}: {error}; allowed: <scheme>://<connection id>@<bucket>/<path>"
        raise InvalidConfigError(msg) from error
    except (ValueError, ImportError) as error:
        msg = f"{uri}: scheme {scheme!r}: {error}; install the Airflow provider that brings it, "
        msg += "apache-airflow-providers-amazon[s3fs] for s3, -google for gs, -microsoft-azure for abfs"
        raise MissingDependencyError(msg) from error


def path_of(uri: str) -> str:
    """Return where a URI lies on its file system: without scheme, connection and options of reading."""
    uri = DatasetUri.parse(uri).location
    parts = urlsplit(uri)
    if parts.scheme in _LOCAL:
        return unquote(parts.path) if parts.scheme else uri
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_text(uri: str) -> str:
    """Return a text file.

    :raises InvalidConfigError: there is none, or it is not in UTF-8.
    """
    filesystem = filesystem_of(uri)
    try:
        if filesystem is None:
            return utf8_text(Path(path_of(uri)).read_bytes(), uri)
        return utf8_text(filesystem.cat_file(path_of(uri)), uri)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        msg = f"{uri}: no such text file"
        raise InvalidConfigError(msg) from error


def write_text(uri: str, text: str) -> None:
    """Replace a text file, or make it."""
    filesystem = filesystem_of(uri)
    if filesystem is None:
        Path(path_of(uri)).write_text(text, encoding="utf-8")
    else:
        filesystem.pipe_file(path_of(uri), text.encode("utf-8"))


def _refuse_password(uri: str) -> None:
    """Refuse credentials in a URI, which is logged and shown; the message does not repeat them."""
    parts = urlsplit(uri)
    if ":" in parts.netloc.rpartition("@")[0]:
        msg = (
            f"{parts.scheme} URI holds a password; allowed: {parts.scheme}://<connection id>@<bucket>/<path>"
        )
        raise InvalidConfigError(msg)
