"""Profile engine for tables: the database aggregates, only counts are transferred."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
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
    distinct_text,
    profile_text,
    sample_text,
)
from airflow_mlops.core.data.profile.bins import (
    BIN_SHARE,
    SINGLE_VALUES,
    bins_between,
    keys_of,
    place_bins,
    thin,
)
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.profile.sketch import HEAVY_HITTERS_KEPT, MD5
from airflow_mlops.core.errors import InvalidDataError, WindowChangedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import ibis
    import ibis.expr.datatypes as dt

    from airflow_mlops.backends.profiling.tables.sql_text import Dialect

_STATEMENT_CHARACTERS = 500_000
"""Longest statement; BigQuery allows 1 MB. Wider tables are read by several statements."""
STATEMENT_COLUMNS = 64
_MOST_READINGS = 12
_MOST_PARTS = 256
"""Most bins that one with a large share is split into at a time."""


def profile_relation(
    table: ibis.Table, *, bins_from: Profile | None = None, partitions: tuple[str, ...] = ()
) -> Profile:
    """Return the profile of a table, view or query of DuckDB, Postgres, Spark, BigQuery or Snowflake.

    The result equals that of the Arrow engine on the same rows, but for the edges of numbers with more than
    ``SINGLE_VALUES`` distinct values. Columns are read until no bin holds a large share: once or twice.
    The driver's errors are passed through: the connection is the caller's.

    :param bins_from: profile whose bins of texts are used, and tried for numbers; what it does not have, or
        has as another kind, gets bins from ``FIRST_ROWS`` rows of the table at first.
    :param partitions: the window's partition keys, recorded in the profile.
    :raises InvalidDataError: a database that is not supported.
    :raises WindowChangedError: rows were added or deleted between the statements of a very wide table.
    """
    connection = table.get_backend()
    relation = str(connection.compile(table))
    columns, few = _empty_columns(table, connection, relation, bins_from)
    placed = _placed(connection, relation, [column for column in columns if column.kind.is_numeric], few)
    texts = [column for column in columns if not column.kind.is_numeric]
    answers = zip(texts, _answers(connection, relation, texts), strict=True)
    found = placed | {column.name: _column(column, rows) for column, rows in answers}
    counted = [found[column.name] for column in columns]
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
) -> tuple[list[Column], set[str]]:
    """Return per column of the table an empty column with the bins to count in, of numbers with a guess.

    And the names of numeric columns that seem to have few distinct values.
    """
    fields = {name: field_of(name, kind) for name, kind in table.schema().items()}
    known = reference.by_name if reference else {}
    columns = {name: empty_column(field, None, known.get(name)) for name, field in fields.items()}
    unknown = [
        field
        for name, field in fields.items()
        if needs_rows(field, reference) or (columns[name].kind.is_numeric and not _edges(known.get(name)))
    ]
    first = _sample(connection, relation, unknown) if unknown else {}
    plain = {name: str(kind).lower() for name, kind in table.schema().items()}
    few: set[str] = set()
    for name, field in fields.items():
        column = empty_column(field, first.get(name), known.get(name))
        if column.kind.is_numeric:
            edges, is_few = _edges(known.get(name)), _is_few(known.get(name))
            if not edges:
                edges, is_few = _guess(first.get(name), column.kind)
            few |= {name} if is_few else set()
            column = replace(column, edges=edges, counts=(0,) * (len(edges) + 1))
        if pa.types.is_binary(field.type):
            column = replace(column, arrow_type=plain[name])
        columns[name] = column
    return list(columns.values()), few


def _is_few(known: Column | None) -> bool:
    return known is not None and known.kind.is_numeric and known.single_values is not None


def _edges(known: Column | None) -> tuple[float, ...]:
    return known.edges if known is not None and known.kind.is_numeric else ()


def _guess(first: pa.ChunkedArray | None, kind: Kind) -> tuple[tuple[float, ...], bool]:
    """Return edges at which some of the values would be counted, and whether these are few distinct ones."""
    values = first.drop_null().to_numpy() if first is not None else np.zeros(0)
    keys, counts = np.unique(keys_of(values[np.isfinite(values)]), return_counts=True)
    if not len(keys):
        return (), True
    edges, _ = place_bins((keys, keys + 1), counts.astype(float), whole=kind is Kind.INTEGER)
    return edges, len(keys) <= SINGLE_VALUES


def _placed(
    connection: Any, relation: str, columns: Sequence[Column], few: Collection[str]
) -> dict[str, Column]:
    """Count numbers, again in more bins while one holds a large share; return columns by name."""
    single = _single_values(connection, relation, columns, few)
    found: dict[str, Column] = {}
    left = [
        replace(column, edges=edges, counts=(0,) * (len(edges) + 1))
        for column, edges in zip(columns, single, strict=True)
    ]
    for _ in range(_MOST_READINGS):
        again = []
        for column, rows in zip(left, _answers(connection, relation, left), strict=True):
            found[column.name] = _number(column, rows)
            edges = refined(column.edges, rows, whole=column.kind is Kind.INTEGER)
            if edges != column.edges:
                again.append(replace(column, edges=edges, counts=(0,) * (len(edges) + 1)))
        left = again
        if not left:
            break
    return found


def _single_values(
    connection: Any, relation: str, columns: Sequence[Column], few: Collection[str]
) -> list[tuple[float, ...]]:
    """Return the columns' edges; of those that may have few distinct values, an edge at each of these."""
    asked = {i: column for i, column in enumerate(columns) if column.name in few}
    edges = [column.edges for column in columns]
    if not asked:
        return edges
    values: dict[int, list[float]] = {i: [] for i in asked}
    text = distinct_text(relation, asked, SINGLE_VALUES + 1, dialect_of(connection.name))
    for i, x in _answer(connection, text):
        values[int(i)].append(float(x))
    for i, found in values.items():
        if not found:
            edges[i] = ()
        elif len(found) <= SINGLE_VALUES:
            keys = np.unique(keys_of(np.asarray(found)))
            whole = columns[i].kind is Kind.INTEGER
            edges[i] = place_bins((keys, keys + 1), np.ones(len(keys)), whole=whole)[0]
    return edges


def refined(edges: Sequence[float], rows: Sequence[Sequence[Any]], *, whole: bool) -> tuple[float, ...]:
    """Return edges with more of them in bins that hold a large share of several values.

    :param rows: result rows of the column: bin index, count, ..., minimum, maximum, sum, sum of squares.
    """
    bins = [(int(row[1]), float(row[-4]), float(row[-3])) for row in rows if row[0] >= 0]
    large = BIN_SHARE * sum(count for count, _, _ in bins)
    more: set[float] = set()
    for count, low, high in bins:
        tight = low, math.nextafter(high, math.inf)
        if count > large and low < high:
            parts = min(_MOST_PARTS, math.ceil(2 * count / large))
            inside = (low + (high / parts - low / parts) * part for part in range(1, parts))
            more |= {*tight, *inside}
    wanted = {math.ceil(edge) if whole else edge for edge in more if math.isfinite(edge)}
    return tuple(sorted({*edges, *map(float, wanted)}))


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


def _answers(connection: Any, relation: str, columns: Sequence[Column]) -> list[list[Any]]:
    """Return the result rows of each column."""
    dialect = dialect_of(connection.name)
    found: list[list[Any]] = []
    for part in _parts(relation, columns, dialect):
        by_column: list[list[Any]] = [[] for _ in part]
        for position, *row in _answer(connection, profile_text(relation, part, dialect)):
            by_column[int(position)].append(row)
        found += by_column
    return found


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
    """Sum over the bins; infinite values are counted beyond the edges only."""
    special = {int(row[0]): int(row[1]) for row in rows if row[0] < 0}
    bins = sorted((int(row[0]), int(row[1]), *map(float, row[-4:])) for row in rows if row[0] >= 0)
    nans, above, below = special.get(NAN, 0), special.get(INFINITE, 0), special.get(NEGATIVE, 0)
    edges, counts = _bins(column, bins)
    if above or below:
        edges, counts = edges or (0.0,), counts or (0, 0)
        counts = (counts[0] + below, *counts[1:-1], counts[-1] + above)
    placed = replace(column, edges=edges, counts=counts)
    finite_values, moved = sum(found[1] for found in bins), column.origin - placed.origin
    total, squares = (sum(found[i] for found in bins) for i in (4, 5))
    return replace(
        placed,
        nulls=special.get(NULL, 0) + nans,
        nans=nans,
        infinite=above + below,
        minimum=min((found[2] for found in bins), default=None),
        maximum=max((found[3] for found in bins), default=None),
        total=finite(total + finite_values * moved),
        total_squares=finite(squares + moved * (2 * total + finite_values * moved)),
    )


def _bins(column: Column, bins: Sequence[tuple[Any, ...]]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return edges and counts; bins without an end, and those with a large share, end at their values."""
    if not bins:
        return (), ()
    index, count, least, greatest = (
        np.asarray(values, float) for values in list(zip(*bins, strict=True))[:4]
    )
    ends = np.array([-math.inf, *column.edges, math.inf])
    place = index.astype(int)
    tight = (place == 0) | (place == len(column.edges)) | (count > BIN_SHARE * count.sum())
    with np.errstate(over="ignore"):
        beyond = np.nextafter(greatest, math.inf)
    beyond = np.ceil(beyond) if column.kind is Kind.INTEGER else beyond
    low, high = np.where(tight, least, ends[place]), np.where(tight, beyond, ends[place + 1])
    edges, counts = bins_between(low, high, count)
    points, below = thin(np.asarray(edges), np.cumsum(np.asarray(counts, float))[:-1])
    held = np.diff(np.concatenate([[0.0], below, [count.sum()]])).astype(int)
    return tuple(points.tolist()), tuple(held.tolist())


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
