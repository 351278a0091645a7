"""The profile engine for files and Arrow tables: one streaming pass, row groups in parallel.

Memory is bounded by columns and bins, not by rows: batches of fixed size, one stream per core.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.backends.profiling.files.bins import empty_column, needs_rows
from airflow_mlops.backends.profiling.files.dataset import (
    described_window,
    open_window,
    readable,
    require_rows,
)
from airflow_mlops.backends.profiling.files.source import THREADS, require_unique
from airflow_mlops.backends.profiling.files.tally import tally
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import fsspec
    import pyarrow as pa

    from airflow_mlops.backends.profiling.files.source import PlacedBatch, Source
    from airflow_mlops.backends.profiling.files.tally import NullTally
    from airflow_mlops.core.data.profile.column import Column

    _Counted = tuple[int, list[NullTally]]

_BATCH_ROWS = 1 << 16
FIRST_ROWS = 1 << 15


def profile_files(
    uri: str,
    partitions: Sequence[str] = (),
    *,
    bins_from: Profile | None = None,
    filesystem: fsspec.AbstractFileSystem | None = None,
    on_bytes: Callable[[float], object] | None = None,
) -> tuple[Window, Profile]:
    """Profile files; return the window they are, with its rows and digest, and the profile.

    A csv is read once for all of it. Of parquet the digest is taken apart, where the store keeps none.

    :param partitions: partition keys; the whole dataset if there are none.
    :param bins_from: see :func:`profile_window`, as the other parameters.
    :raises InvalidDataError: nothing there, no rows, a file that cannot be read to its end.
    """
    window = Window(uri=uri, partitions=tuple(partitions))
    source = open_window(window, filesystem, on_bytes)
    profile = _profile(window, source, bins_from)
    with readable(window):
        return described_window(window, source, profile.rows), profile


def profile_window(
    window: Window,
    *,
    bins_from: Profile | None = None,
    filesystem: fsspec.AbstractFileSystem | None = None,
    on_bytes: Callable[[float], object] | None = None,
) -> Profile:
    """Profile a window without taking its digest.

    :param bins_from: profile whose bins of texts are used, so that the two add up and compare. Numbers
        have bins of their own, placed by all their values.
    :param filesystem: where the window's files lie; by the URI's scheme if ``None``.
    :param on_bytes: called from several threads with the bytes got through.
    :raises InvalidDataError: nothing there, no rows, a file that cannot be read to its end.
    """
    return _profile(window, open_window(window, filesystem, on_bytes), bins_from)


def _profile(window: Window, source: Source, bins_from: Profile | None) -> Profile:
    with readable(window):
        unknown = [field.name for field in source.schema if needs_rows(field, bins_from)]
        first = source.first_rows(FIRST_ROWS, unknown) if unknown else None
        columns = _empty_columns(source.schema, first, bins_from)
        streams = source.streams(_BATCH_ROWS, THREADS)
        with ThreadPoolExecutor(max(1, len(streams))) as pool:
            parts = list(pool.map(lambda stream: _scan(stream, columns, unknown), streams))
    profile = replace(
        _together([_scan([], columns, unknown), *parts]),
        partitions=window.partitions,
        partition_column=source.data.key if source.data.key in source.schema.names else None,
        empty=source.data.missing(source.empty),
        notes=(*source.notes, *source.data.without_rows(source.empty)),
    )
    require_rows(window, profile.rows)
    return profile


def profile_table(table: pa.Table, *, bins_from: Profile | None = None) -> Profile:
    """Profile rows that are in memory already, an inference log for instance.

    :raises InvalidDataError: a column that stands there twice.
    """
    require_unique(table.column_names, "table")
    columns = _empty_columns(table.schema, table.slice(0, FIRST_ROWS), bins_from)
    unknown = [field.name for field in table.schema if needs_rows(field, bins_from)]
    return _together([_scan(((0, batch) for batch in table.to_batches(_BATCH_ROWS)), columns, unknown)])


def _empty_columns(schema: pa.Schema, first: pa.Table | None, reference: Profile | None) -> list[Column]:
    """Return a column without counts for each field."""
    there = dict(zip(first.schema.names, first.columns, strict=True)) if first is not None else {}
    known = reference.by_name if reference else {}
    return [empty_column(field, there.get(field.name), known.get(field.name)) for field in schema]


def _scan(parts: Iterable[PlacedBatch], columns: list[Column], own_bins: Sequence[str]) -> _Counted:
    """Count batches of neighbouring columns; rows are those of the first column."""
    tallies, rows = [tally(column, own_bins=column.name in own_bins) for column in columns], 0
    for first, batch in parts:
        rows += batch.num_rows if first == 0 else 0
        for i, values in enumerate(batch.columns):
            tallies[first + i].add(values)
    return rows, tallies


def _together(parts: Sequence[_Counted]) -> Profile:
    """Return the profile of all parts, the same in whatever way the rows were shared out to them."""
    (_, tallies), *others = parts
    for _, counted in others:
        for mine, theirs in zip(tallies, counted, strict=True):
            mine.join(theirs)
    return Profile(rows=sum(rows for rows, _ in parts), columns=tuple(t.column() for t in tallies))
