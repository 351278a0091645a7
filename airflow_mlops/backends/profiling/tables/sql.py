"""Profile engine for tables: the database aggregates, only counts are transferred."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_mlops.backends.profiling.files.arrow import FIRST_ROWS
from airflow_mlops.backends.profiling.files.bins import empty_column, finite, needs_rows
from airflow_mlops.backends.profiling.tables.sql_text import (
    DIALECTS,
    ENTRY,
    INFINITE,
    NAN,
    NEGATIVE,
    NULL,
    SAMPLED,
    TOTALS,
    profile_text,
    sample_text,
)
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.profile.sketch import HEAVY_HITTERS_KEPT, MD5
from airflow_mlops.core.errors import InvalidDataError, WindowChangedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import ibis
    import ibis.expr.datatypes as dt

    from airflow_mlops.backends.profiling.tables.sql_text import Dialect

_STATEMENT_CHARACTERS = 500_000
"""Longest statement; BigQuery allows 1 MB. Wider tables are read by several statements."""
STATEMENT_COLUMNS = 64


def profile_relation(
    table: ibis.Table, *, bins_from: Profile | None = None, partitions: tuple[str, ...] = ()
) -> Profile:
    """Return the profile of a table, view or query of DuckDB, Postgres, Spark, BigQuery or Snowflake.

    The result equals that of the Arrow engine on the same rows. Each column is read once. The driver's
    errors are passed through: the connection is the caller's.

    :param bins_from: profile whose bins are used; columns that it does not have, or has as another kind, get
        bins from ``FIRST_ROWS`` rows of the table.
    :param partitions: the window's partition keys, recorded in the profile.
    :raises InvalidDataError: a database that is not supported.
    :raises WindowChangedError: rows were added or deleted between the statements of a very wide table.
    """
    connection = table.get_backend()
    dialect = dialect_of(connection.name)
    relation = str(connection.compile(table))
    columns = _empty_columns(table, connection, relation, bins_from)
    counted: list[Column] = []
    for part in _parts(relation, columns, dialect):
        answer = _answer(connection, profile_text(relation, part, dialect))
        by_column: dict[int, list[Any]] = {i: [] for i in range(len(part))}
        for position, *row in answer:
            by_column[int(position)].append(row)
        counted += [_column(column, by_column[i]) for i, column in enumerate(part)]
    rows = [column.nulls + column.present for column in counted]
    if len(set(rows)) > 1:
        msg = (
            f"table with columns {', '.join(table.columns[:5])}: {min(rows)} to {max(rows)} rows: it changed "
            "while it was read"
        )
        raise WindowChangedError(msg)
    return Profile(rows=rows[0] if rows else 0, columns=tuple(counted), partitions=partitions)


def dialect_of(name: str) -> Dialect:
    """Return the SQL dialect of a database.

    :raises InvalidDataError: a database that is not supported.
    """
    if name not in DIALECTS:
        msg = f"database {name!r} is not supported, allowed: {', '.join(DIALECTS)}"
        raise InvalidDataError(msg)
    return DIALECTS[name]


def field_of(name: str, kind: dt.DataType) -> pa.Field:
    """Return the Arrow field of a table's column; types that are not profiled become binary."""
    tests = (kind.is_numeric, kind.is_boolean, kind.is_string, kind.is_uuid, kind.is_date, kind.is_timestamp)
    known = kind.is_null() or any(test() for test in tests)
    return pa.field(name, kind.to_pyarrow() if known else pa.binary())


def _empty_columns(
    table: ibis.Table, connection: Any, relation: str, reference: Profile | None
) -> list[Column]:
    """Return per column of the table an empty column with the bins to count in."""
    fields = {name: field_of(name, kind) for name, kind in table.schema().items()}
    unknown = [field for field in fields.values() if needs_rows(field, reference)]
    first = _sample(connection, relation, unknown) if unknown else {}
    known = reference.by_name if reference else {}
    columns = [empty_column(field, first.get(name), known.get(name)) for name, field in fields.items()]
    plain = {name: str(kind).lower() for name, kind in table.schema().items()}
    return [
        replace(column, arrow_type=plain[column.name])
        if pa.types.is_binary(fields[column.name].type)
        else column
        for column in columns
    ]


def _sample(connection: Any, relation: str, fields: Sequence[pa.Field]) -> dict[str, pa.ChunkedArray]:
    """Fetch a sample of rows of the columns that need new bins."""
    columns = [empty_column(field, None, None) for field in fields]
    dialect = dialect_of(connection.name)
    text = sample_text(relation, columns, FIRST_ROWS, dialect)
    types = {
        f"c{i}": "string" if column.kind is Kind.STRING else "float64" for i, column in enumerate(columns)
    }
    first = connection.sql(text, schema=types).to_pyarrow()
    return {field.name: first.column(f"c{i}") for i, field in enumerate(fields)}


def _parts(relation: str, columns: Sequence[Column], dialect: Dialect) -> Iterator[list[Column]]:
    """Split the columns of wide tables into statements of a size that databases accept."""
    part: list[Column] = []
    size = 0
    for column in columns:
        length = len(profile_text(relation, [column], dialect))
        if part and (size + length > _STATEMENT_CHARACTERS or len(part) == STATEMENT_COLUMNS):
            yield part
            part, size = [], 0
        part.append(column)
        size += length
    if part:
        yield part


def _answer(connection: Any, text: str) -> list[Any]:
    """Run a query and return its rows; databases answer with a cursor, a data frame or an iterator."""
    answer = connection.raw_sql(text)
    fetch = getattr(answer, "fetchall", None) or getattr(answer, "collect", None)
    return list(fetch() if fetch else answer)


def _column(column: Column, rows: list[Any]) -> Column:
    """Return a column with the counts of its result rows."""
    if column.kind.is_numeric:
        return _number(column, rows)
    totals = next(row for row in rows if row[0] == TOTALS)
    _, count, _, distinct, *moments = totals
    if column.kind is Kind.UNSUPPORTED:
        return replace(column, nulls=int(count or 0) - int(distinct), other=int(distinct))
    entries = {row[2]: int(row[1]) for row in rows if row[0] == ENTRY}
    nulls = entries.pop(None, 0)
    sample = dict(sorted((row[2], int(row[1])) for row in rows if row[0] == SAMPLED))
    column = replace(column, value_sample=sample, value_hash=MD5 if column.kind is Kind.STRING else "")
    return _text(column, entries, nulls, (int(count or 0), int(distinct)), moments)


def _number(column: Column, rows: list[Any]) -> Column:
    """Sum over the bins; infinite values are counted in the outer bins only."""
    count = {int(index): int(n) for index, n, *_ in rows}
    sums = [row[-4:] for row in rows if row[0] >= 0]
    counts = [count.get(index, 0) for index in range(len(column.edges) + 1)]
    counts[0] += count.get(NEGATIVE, 0)
    counts[-1] += count.get(INFINITE, 0)
    nans = count.get(NAN, 0)
    return replace(
        column,
        nulls=count.get(NULL, 0) + nans,
        nans=nans,
        infinite=count.get(NEGATIVE, 0) + count.get(INFINITE, 0),
        minimum=min((float(low) for low, *_ in sums), default=None),
        maximum=max((float(high) for _, high, *_ in sums), default=None),
        total=finite(sum(float(total) for *_, total, _ in sums)),
        total_squares=finite(sum(float(squares) for *_, squares in sums)),
        counts=tuple(counts),
    )


def _text(
    column: Column, entries: dict[str, int], nulls: int, count: tuple[int, int], moments: Sequence[Any]
) -> Column:
    rows, distinct = count
    categories = {name: entries.pop(name, 0) for name in column.categories or ()}
    ranked = sorted(entries.items(), key=lambda pair: (-pair[1], pair[0]))
    counted = replace(
        column,
        nulls=nulls,
        categories=categories,
        other=rows - nulls - sum(categories.values()),
        exact_distinct=distinct,
    )
    if column.kind is Kind.BOOLEAN:
        return replace(counted, exact_distinct=None)
    low, high, total, squares = moments
    return replace(
        counted,
        minimum=None if low is None else float(low),
        maximum=None if high is None else float(high),
        total=float(total or 0),
        total_squares=float(squares or 0),
        heavy_hitters=dict(ranked[:HEAVY_HITTERS_KEPT]),
        heavy_hitters_error=ranked[HEAVY_HITTERS_KEPT][1] if len(ranked) > HEAVY_HITTERS_KEPT else 0,
    )
