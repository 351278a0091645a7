"""The profile engine for files and Arrow tables: one streaming pass, row groups in parallel.

Memory is bounded by the columns and cells, not by the rows: batches of fixed size, one stream per core.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.backends.profiling.files.bins import cells_of, needs_rows
from airflow_mlops.backends.profiling.files.dataset import open_window, readable
from airflow_mlops.backends.profiling.files.source import require_unique
from airflow_mlops.backends.profiling.files.tally import tally
from airflow_mlops.core.data.profile.profile import Profile, merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import fsspec
    import pyarrow as pa

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.window import Window

BATCH_ROWS = 1 << 16
FIRST_ROWS = 1 << 15
STREAMS = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def profile_window(
    window: Window,
    *,
    cells_from: Profile | None = None,
    filesystem: fsspec.AbstractFileSystem | None = None,
    on_rows: Callable[[float], object] | None = None,
) -> Profile:
    """Scan a window once.

    :param cells_from: profile whose cells are used, so that the two add up and compare; columns it does
        not know, or knows as another kind, get cells from some of the window's own rows.
    :param filesystem: where the window's files lie; by the URI's scheme if ``None``.
    :param on_rows: called from several threads with the rows got through (columns are shares of rows).
    :raises InvalidDataError: a file that cannot be read to its end.
    """
    source = open_window(window, filesystem)
    with readable(window):
        unknown = [field.name for field in source.schema if needs_rows(field, cells_from)]
        first = source.first_rows(FIRST_ROWS, unknown) if unknown else None
        cells = _cells(source.schema, first, cells_from)
        streams = source.streams(BATCH_ROWS, STREAMS)
        with ThreadPoolExecutor(max(1, len(streams))) as pool:
            parts = list(pool.map(lambda stream: _scan(stream, cells, on_rows), streams))
    return replace(merge(_scan([], cells, None), *parts), partitions=window.partitions)


def profile_table(table: pa.Table, *, cells_from: Profile | None = None) -> Profile:
    """Profile rows that are in memory already, an inference log for instance.

    :raises InvalidDataError: a column that stands there twice.
    """
    require_unique(table.column_names, "table")
    cells = _cells(table.schema, table.slice(0, FIRST_ROWS), cells_from)
    return _scan(((0, batch) for batch in table.to_batches(BATCH_ROWS)), cells, None)


def _cells(schema: pa.Schema, first: pa.Table | None, reference: Profile | None) -> list[Column]:
    """Return an empty column for each field."""
    there = dict(zip(first.schema.names, first.columns, strict=True)) if first is not None else {}
    known = reference.by_name if reference else {}
    return [cells_of(field, there.get(field.name), known.get(field.name)) for field in schema]


def _scan(
    parts: Iterable[tuple[int, pa.RecordBatch]],
    cells: list[Column],
    on_rows: Callable[[float], object] | None,
) -> Profile:
    """Count batches of neighbouring columns; rows are those of the first column."""
    tallies, rows = [tally(column) for column in cells], 0
    for first, batch in parts:
        rows += batch.num_rows if first == 0 else 0
        for i, values in enumerate(batch.columns):
            tallies[first + i].add(values)
        if on_rows:
            on_rows(batch.num_rows * batch.num_columns / len(cells))
    return Profile(rows=rows, columns=tuple(column.column() for column in tallies))
