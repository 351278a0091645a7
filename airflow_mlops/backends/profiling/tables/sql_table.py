"""Windows of database tables: named by a URI, opened, narrowed to partitions, profiled where they lie."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from airflow_mlops.backends.profiling.tables.partition import in_partitions
from airflow_mlops.backends.profiling.tables.sql import profile_relation
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import (
    InvalidDataError,
    MissingDependencyError,
    MlopsError,
    ServiceUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import ibis

    from airflow_mlops.core.data.profile.profile import Profile

_INSTALL = {
    "duckdb": "airflow-provider-mlops[sql]",
    "postgres": "airflow-provider-mlops[sql]",
    "postgresql": "airflow-provider-mlops[sql]",
    "pyspark": "airflow-provider-mlops[spark]",
    "bigquery": "ibis-framework[bigquery]",
    "snowflake": "ibis-framework[snowflake]",
}
"""What to install for each scheme of a connection URL."""
_UNREACHABLE = ("OperationalError", "InterfaceError", "ConnectionError", "TimeoutError")
"""Names of drivers' errors that may pass; drivers share no base class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableUri:
    """``<connection URL>#table=<schema.table>&partition=<column>``.

    :param connection: URL that ibis connects to; may hold a password, so it is never shown.
    :param partition: column whose values are the partition keys, ``""`` for none.
    """

    connection: str = field(repr=False)
    table: str
    partition: str = ""

    @classmethod
    def parse(cls, uri: str, connection: str = "") -> Self:
        """Read a URI.

        :param connection: connection URL to use in place of the URI's own, from a secret store.
        :raises InvalidDataError: no table named, an unknown key or scheme, a URL that cannot be split.
        """
        before, _, fragment = uri.rpartition("#")
        url = connection or before
        if not _can_be_split(url):
            msg = "connection URL (not shown): write what is no letter or digit in user and password as %XX"
            raise InvalidDataError(msg)
        said = dict(parse_qsl(fragment, keep_blank_values=True))
        shown = f"{_without_credentials(url)}#{fragment}"
        if not said.get("table") or set(said) - {"table", "partition"}:
            msg = f"{shown}: after # stands {fragment!r}, allowed: table=<schema.table>&partition=<column>"
            raise InvalidDataError(msg)
        if urlsplit(url).scheme not in _INSTALL:
            msg = f"{shown}: scheme {urlsplit(url).scheme!r} is no database, allowed: {', '.join(_INSTALL)}"
            raise InvalidDataError(msg)
        return cls(connection=url, table=said["table"], partition=said.get("partition", ""))

    @property
    def scheme(self) -> str:
        """Which database it is."""
        return urlsplit(self.connection).scheme

    @property
    def shown(self) -> str:
        """The URI without user, password and options, for messages and records."""
        column = f"&partition={self.partition}" if self.partition else ""
        return f"{_without_credentials(self.connection)}#table={self.table}{column}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: the connection's user, password and options, as written and decoded."""
        parts = urlsplit(self.connection)
        found = [parts.netloc.rpartition("@")[0], parts.password, parts.query]
        found += [value for _, value in parse_qsl(parts.query)]
        decoded = [f(text) for text in found if text for f in (str, unquote, unquote_plus)]
        return tuple(sorted(set(decoded), key=len, reverse=True))


def is_table_uri(uri: str) -> bool:
    """Say whether a URI names a table of a database, not files."""
    return uri.partition("://")[0] in _INSTALL or "#table=" in uri


def profile_table_uri(
    uri: str, partitions: Sequence[str] = (), *, cells_from: Profile | None = None, connection: str = ""
) -> tuple[Window, Profile]:
    """Profile a window of a table; return the window with its rows and digest, and the profile.

    The digest is one of the profile, not of the rows: equal digests mean that nothing the profile counts
    has changed. The same rows counted in other cells have another digest.

    :param uri: see :class:`TableUri`.
    :param connection: connection URL to use in place of the URI's own, from a secret store.
    :raises InvalidDataError: no such table, column or partition, no rows, or a query that fails.
    :raises MissingDependencyError: the database's driver is not installed.
    :raises ServiceUnavailableError: the database cannot be reached.
    """
    source = TableUri.parse(uri, connection)
    with open_table(source, partitions) as table:
        profile = profile_relation(table, cells_from=cells_from, partitions=tuple(partitions))
    window = Window(
        uri=source.shown, partitions=tuple(partitions), digest=profile_digest(profile), rows=profile.rows
    )
    if profile.rows == 0:
        msg = f"{source.shown}: window {window.label} has 0 rows, allowed: 1 or more"
        raise InvalidDataError(msg)
    return window, profile


@contextmanager
def open_table(source: TableUri, partitions: Sequence[str] = ()) -> Iterator[ibis.Table]:
    """Connect, yield the table narrowed to its partitions, and disconnect.

    Errors of the driver come out as this package's, without the connection's secrets.
    """
    with _named_errors(source):
        connection = _connect(source)
        try:
            yield in_partitions(_table(connection, source), source.partition, partitions)
        finally:
            if source.scheme != "pyspark":  # disconnecting would stop the session of the whole process
                connection.disconnect()


def profile_digest(profile: Profile) -> str:
    """Return a digest of what a profile counts; sums are left out, databases add them in any order."""
    numbers = [
        (c.name, c.kind, c.nulls, c.nans, c.infinite, c.minimum, c.maximum, c.edges, c.counts)
        for c in profile.columns
    ]
    texts = [
        (c.categories, c.other, sorted(c.heavy_hitters.items()), c.heavy_hitters_error, c.exact_distinct)
        for c in profile.columns
    ]
    text = json.dumps([profile.rows, numbers, texts], sort_keys=True)
    return f"profile:sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _connect(source: TableUri) -> Any:
    import ibis

    path = urlsplit(source.connection).path
    if source.scheme == "duckdb" and path.strip("/"):
        return ibis.connect(source.connection, read_only=True)  # else a wrong path makes an empty database
    connection = ibis.connect(source.connection)
    if source.scheme in ("postgres", "postgresql"):
        connection.raw_sql("SET jit = off").close()  # compiling the cells takes longer than counting them
    return connection


def _table(connection: Any, source: TableUri) -> ibis.Table:
    from ibis.common.exceptions import TableNotFound

    *place, name = source.table.split(".")
    try:
        return connection.table(name, database=tuple(place) or None)
    except TableNotFound:
        msg = f"{source.shown}: no table {source.table!r}; allowed: <table>, <schema.table>"
        raise InvalidDataError(msg) from None


def _can_be_split(url: str) -> bool:
    """Say whether user and password can be told from the rest, so that they can be kept secret."""
    try:
        parts = urlsplit(url)
        is_clear = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return is_clear and "#" not in url and not (parts.netloc and "@" in parts.path + parts.query)


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def _named_errors(source: TableUri) -> Iterator[None]:
    """Raise drivers' errors as this package's; their causes are dropped, since they may hold secrets."""
    try:
        yield
    except ImportError as error:
        missing = f"{error.name or 'a driver'} is not installed"
        msg = f"{source.shown}: {missing}: pip install '{_INSTALL[source.scheme]}'"
        raise MissingDependencyError(msg) from None
    except MlopsError as error:
        raise type(error)(_scrub(str(error), source)) from None
    except Exception as error:  # noqa: BLE001 - drivers share no base class
        names = {kind.__name__ for kind in type(error).__mro__}
        known = ServiceUnavailableError if names & set(_UNREACHABLE) else InvalidDataError
        msg = f"{source.shown}: {type(error).__name__}: {_scrub(str(error), source)}"
        raise known(msg) from None


def _scrub(text: str, source: TableUri) -> str:
    for secret in source.secrets:
        text = text.replace(secret, "***")
    return " ".join(text.split())
