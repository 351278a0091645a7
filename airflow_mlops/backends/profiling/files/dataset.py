"""Windows of parquet and csv datasets: opened, read and described, with errors that name the file."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_mlops.backends.profiling.files.layout import find_files, list_partitions
from airflow_mlops.backends.profiling.files.parquet_source import ParquetSource
from airflow_mlops.backends.profiling.files.source import require_stated
from airflow_mlops.backends.profiling.files.storage import format_of, locate
from airflow_mlops.core.data.dataset_uri import DatasetUri
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError, NoRowsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import fsspec

    from airflow_mlops.backends.profiling.files.source import DataFiles, Source
    from airflow_mlops.core.data.dataset_uri import CsvOptions

__all__ = [
    "describe_window",
    "described_window",
    "list_partitions",
    "open_window",
    "read_files",
    "read_window",
    "readable",
    "require_rows",
    "window_bytes",
]

PARTITION_COLUMN = b"partition_column"
"""Key of a table's metadata: the column that names the window's partitions, the same in all of its rows."""


def describe_window(
    uri: str, partitions: Sequence[str] = (), filesystem: fsspec.AbstractFileSystem | None = None
) -> Window:
    """Find the window's files, count its rows and take its digest (names and contents).

    Who wants the rows or a profile too asks :func:`read_files` or ``profile_files``: they read a csv once.

    :param filesystem: where the files lie, opened with a connection; by the URI's scheme if ``None``.
    :raises InvalidDataError: nothing there, an empty partition, an unreadable file.
    """
    window = Window(uri=uri, partitions=tuple(partitions))
    source = open_window(window, filesystem)
    with readable(window):
        return described_window(window, source, source.count_rows())


def read_files(
    uri: str,
    partitions: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    filesystem: fsspec.AbstractFileSystem | None = None,
) -> tuple[Window, pa.Table]:
    """Read the rows of files; return the window they are, with its digest, and the rows.

    :param partitions: partition keys; the whole dataset if there are none.
    :param columns: columns to be read, all if ``None``.
    :param filesystem: where the files lie, opened with a connection; by the URI's scheme if ``None``.
    :raises InvalidDataError: nothing there, an empty partition, an unreadable file, a missing column.
    """
    window = Window(uri=uri, partitions=tuple(partitions))
    source = open_window(window, filesystem)
    table = _rows(window, source, columns)
    with readable(window):
        return described_window(window, source, table.num_rows), table


def read_window(
    window: Window,
    columns: Sequence[str] | None = None,
    filesystem: fsspec.AbstractFileSystem | None = None,
) -> pa.Table:
    """Read the window's rows.

    :raises InvalidDataError: a column is missing; names it and what is there.
    """
    return _rows(window, open_window(window, filesystem), columns)


def window_bytes(window: Window, filesystem: fsspec.AbstractFileSystem | None = None) -> int:
    """Return how many bytes the window's files have.

    :raises InvalidDataError: nothing there.
    """
    with readable(window):
        found = _files_of(window, filesystem)
        return found.storage.size(found.paths)


def open_window(
    window: Window,
    filesystem: fsspec.AbstractFileSystem | None = None,
    on_bytes: Callable[[float], object] | None = None,
) -> Source:
    """Open the window's files.

    :param on_bytes: called with the bytes got through, from several threads.
    :raises InvalidDataError: nothing there, an unreadable file, files that do not fit together.
    """
    with readable(window):
        files, options = _files_of(window, filesystem), DatasetUri.parse(window.uri).csv
        source = _opened(files, options, on_bytes)
    require_rows(window, len(source.schema))
    require_stated(source.schema, options.dtypes, files.storage.uri)
    return source


def _opened(files: DataFiles, options: CsvOptions, on_bytes: Callable[[float], object] | None) -> Source:
    if format_of(files.paths[0]) == "parquet":
        return ParquetSource(files, on_bytes)
    from airflow_mlops.backends.profiling.files.csv_source import CsvSource  # needs numba

    return CsvSource(files, options, on_bytes)


def _files_of(window: Window, filesystem: fsspec.AbstractFileSystem | None) -> DataFiles:
    uri = DatasetUri.parse(window.uri)
    return find_files(locate(uri.location, filesystem), window.partitions, uri.version, uri.csv.dtypes)


def described_window(window: Window, source: Source, rows: int) -> Window:
    """Return the window with the rows that were read, or counted, and the digest of its files.

    The version of a table is part of the window's URI from then on, and of its digest.

    :raises InvalidDataError: no rows.
    """
    require_rows(window, rows)
    digest = hashlib.sha256()
    for path, content in zip(source.files, source.digests(), strict=True):
        digest.update(PurePosixPath(path).name.encode() + content)
    version = source.data.version
    digest.update(f"version {version}".encode() if version else b"")
    uri = str(DatasetUri.parse(window.uri).at(version)) if version else window.uri
    return replace(window, uri=uri, digest=f"sha256:{digest.hexdigest()}", rows=rows)


def require_rows(window: Window, rows: int) -> None:
    """Refuse a window without rows.

    :raises NoRowsError: names the window.
    """
    if rows == 0:
        msg = f"{window.uri}: window {window.label} has 0 rows, allowed: 1 or more"
        raise NoRowsError(msg)


def _rows(window: Window, source: Source, columns: Sequence[str] | None) -> pa.Table:
    missing = [name for name in columns or () if name not in source.schema.names]
    if missing:
        there = ", ".join(source.schema.names)
        msg = f"{window.uri}: window {window.label} lacks column {', '.join(missing)}; columns: {there}"
        raise InvalidDataError(msg)
    with readable(window):
        table = source.to_table(columns)
    key = source.data.key
    named = {PARTITION_COLUMN: key} if key is not None and key in table.column_names else None
    return table.replace_schema_metadata(named)


@contextmanager
def readable(window: Window) -> Iterator[None]:
    """Name the window in what goes wrong while its files are read.

    :raises InvalidDataError: a file that cannot be read to its end, or not together with the others.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        msg = f"{window.uri}: window {window.label} cannot be read: {detail}"
        raise InvalidDataError(msg) from error
