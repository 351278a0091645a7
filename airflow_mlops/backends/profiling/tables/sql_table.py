"""Windows of database tables: a URI names them, partitions filter them, the database profiles them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from airflow_mlops.backends.profiling.tables.sql import profile_relation
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import (
    InvalidDataError,
    MissingDependencyError,
    MlopsError,
    NoRowsError,
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
"""Package to install for each scheme of a connection URL."""
_UNREACHABLE = ("OperationalError", "InterfaceError", "ConnectionError", "TimeoutError")
"""Class names of drivers' transient errors; drivers share no base class."""
_TEXT_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]*")
_PERIOD = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableUri:
    """``<connection URL>#table=<schema.table>&partition=<column>``.

    :param connection: URL for ibis; may contain a password, so it is never shown.
    :param partition: column whose values are the partition keys, ``""`` for none.
    """

    connection: str = field(repr=False)
    table: str
    partition: str = ""

    @classmethod
    def parse(cls, uri: str, connection: str = "") -> Self:
        """Read a URI.

        :param connection: connection URL that replaces the URI's own, from a secret store.
        :raises InvalidDataError: no table, an unknown key or scheme, or an ambiguous connection URL.
        """
        before, _, fragment = uri.rpartition("#")
        url = connection or before
        if not _can_be_split(url):
            msg = "connection URL (not shown): percent-encode special characters in user and password"
            raise InvalidDataError(msg)
        said = dict(parse_qsl(fragment, keep_blank_values=True))
        shown = f"{_without_credentials(url)}#{fragment}"
        if not said.get("table") or set(said) - {"table", "partition"}:
            msg = f"{shown}: fragment {fragment!r}, allowed: #table=<schema.table>&partition=<column>"
            raise InvalidDataError(msg)
        if urlsplit(url).scheme not in _INSTALL:
            msg = (
                f"{shown}: scheme {urlsplit(url).scheme!r} is not a database, allowed: {', '.join(_INSTALL)}"
            )
            raise InvalidDataError(msg)
        return cls(connection=url, table=said["table"], partition=said.get("partition", ""))

    @property
    def scheme(self) -> str:
        """Scheme of the connection URL: the kind of database."""
        return urlsplit(self.connection).scheme

    @property
    def shown(self) -> str:
        """The URI without user, password and options, for messages and records."""
        column = f"&partition={self.partition}" if self.partition else ""
        return f"{_without_credentials(self.connection)}#table={self.table}{column}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts to redact: the connection's user, password and options, as written and decoded."""
        parts = urlsplit(self.connection)
        found = [parts.netloc.rpartition("@")[0], parts.password, parts.query]
        found += [value for _, value in parse_qsl(parts.query)]
        decoded = [f(text) for text in found if text for f in (str, unquote, unquote_plus)]
        return tuple(sorted(set(decoded), key=len, reverse=True))


def is_table_uri(uri: str) -> bool:
    """Say whether a URI names a database table rather than files."""
    return uri.partition("://")[0] in _INSTALL or "#table=" in uri


def profile_table_uri(
    uri: str, partitions: Sequence[str] = (), *, bins_from: Profile | None = None, connection: str = ""
) -> tuple[Window, Profile]:
    """Profile a window of a table; return the window with its rows and digest, and the profile.

    The digest is of the profile, not of the rows: equal digests mean that no count of the profile changed.
    The same rows counted in other bins have another digest.

    :param uri: see :class:`TableUri`.
    :param connection: connection URL that replaces the URI's own, from a secret store.
    :raises InvalidDataError: no such table, column or partition, no rows, or a query that fails.
    :raises MissingDependencyError: the database's driver is not installed.
    :raises ServiceUnavailableError: the database cannot be reached.
    """
    source = TableUri.parse(uri, connection)
    with open_table(source, partitions) as table:
        profile = profile_relation(table, bins_from=bins_from, partitions=tuple(partitions))
        empty = _keys_without_rows(table, source.partition, partitions) if profile.rows else ()
    profile = replace(profile, partition_column=source.partition or None, empty=empty)
    profile = replace(profile, notes=(f"no rows in {', '.join(empty)}",) if empty else ())
    window = Window(
        uri=source.shown, partitions=tuple(partitions), digest=profile_digest(profile), rows=profile.rows
    )
    if profile.rows == 0:
        msg = f"{source.shown}: window {window.label} has 0 rows, allowed: 1 or more"
        raise NoRowsError(msg)
    return window, profile


def _keys_without_rows(table: ibis.Table, column: str, keys: Sequence[str]) -> tuple[str, ...]:
    """Return which of several partitions have no rows."""
    wanted = {key: in_partitions(table, column, [key]) for key in (keys if len(keys) > 1 else ())}
    return tuple(key for key, rows in wanted.items() if not rows.limit(1).count().to_pyarrow().as_py())


@contextmanager
def open_table(source: TableUri, partitions: Sequence[str] = ()) -> Iterator[ibis.Table]:
    """Connect, yield the table filtered by partitions, and disconnect.

    Raises the driver's errors as this package's, without the connection's secrets.
    """
    with _named_errors(source):
        connection = _connect(source)
        try:
            yield in_partitions(_table(connection, source), source.partition, partitions)
        finally:
            if source.scheme != "pyspark":  # disconnecting would stop the session of the whole process
                connection.disconnect()


def in_partitions(table: ibis.Table, column: str, keys: Sequence[str]) -> ibis.Table:
    """Return the rows of some partitions, all if no key is given.

    :param column: of text or integers, compared for equality, or of dates or timestamps, within the year,
        month or day of the key (``2013``, ``2013-01``, ``2013-01-31``) in UTC.
    :raises InvalidDataError: no such column, or a key that does not fit its type.
    """
    if not keys:
        return table
    if column not in table.columns:
        there = ", ".join(table.columns)
        msg = f"partitions {', '.join(keys)}: no partition column {column!r}; columns: {there}"
        raise InvalidDataError(msg)
    values = table[column]
    if values.type().is_date() or values.type().is_timestamp():
        wanted = [_within(values, key) for key in keys]
        condition = wanted[0]
        for other in wanted[1:]:
            condition = condition | other
        return table.filter(condition)
    return table.filter(values.isin([_value(values, column, key) for key in keys]))


def profile_digest(profile: Profile) -> str:
    """Return a digest of a profile's counts, without sums: databases add in varying order."""
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
        connection.raw_sql("SET jit = off").close()  # compiling the bins takes longer than counting them
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
    """Say whether user and password can be separated from the rest, so that they can be redacted."""
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
    """Raise drivers' errors as this package's, without their causes, which may contain secrets."""
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


def _value(values: Any, column: str, key: str) -> str | int:
    kind = values.type()
    if kind.is_integer() and re.fullmatch(r"-?\d{1,18}", key):
        return int(key)
    if kind.is_string() and _TEXT_KEY.fullmatch(key):
        return key
    msg = (
        f"partition {key!r} of column {column!r} ({kind}): allowed: text of letters, digits and '_.:+-', "
        "whole numbers, dates and timestamps by year, month or day"
    )
    raise InvalidDataError(msg)


def _within(values: Any, key: str) -> Any:
    """Return the condition that a date or timestamp is within the period of a key."""
    import ibis

    found = _PERIOD.fullmatch(key)
    try:
        year, month, day = (int(part) if part else None for part in found.groups()) if found else (0, 0, 0)
        start = dt.date(year or 0, month or 1, day or 1)
        end = _next(start, month, day)
    except ValueError:
        msg = f"partition {key!r}: allowed: 2013, 2013-01 or 2013-01-31"
        raise InvalidDataError(msg) from None
    if values.type().is_date():
        return (values >= ibis.literal(start)) & (values < ibis.literal(end))
    bounds = [ibis.literal(f"{d.isoformat()} 00:00:00").cast(values.type()) for d in (start, end)]
    return (values >= bounds[0]) & (values < bounds[1])


def _next(start: dt.date, month: int | None, day: int | None) -> dt.date:
    """Return the day after the year, month or day that begins at ``start``."""
    if day:
        return start + dt.timedelta(days=1)
    if month:
        return (start + dt.timedelta(days=31)).replace(day=1)
    return start.replace(year=start.year + 1)
