"""Windows of parquet and csv datasets: fingerprinted and opened, with errors that name the file."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_mlops.backends.profiling.files.source import CsvSource, ParquetSource, open_source
from airflow_mlops.backends.profiling.files.storage import data_files, list_partitions, locate
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import fsspec

__all__ = ["describe_window", "list_partitions", "open_window", "read_window", "readable"]


def describe_window(
    uri: str, partitions: Sequence[str] = (), filesystem: fsspec.AbstractFileSystem | None = None
) -> Window:
    """Find the window's files, count its rows and take its digest (names and contents).

    :param filesystem: where the files lie, opened with a connection; by the URI's scheme if ``None``.
    :raises InvalidDataError: nothing there, an empty partition, an unreadable file.
    """
    window = Window(uri=uri, partitions=tuple(partitions))
    with readable(window):
        storage = locate(uri, filesystem)
        files = data_files(storage, partitions)
        digest = hashlib.sha256()
        for path in files:
            digest.update(PurePosixPath(path).name.encode() + storage.digest(path))
        rows = open_source(storage, files).count_rows()
    if rows == 0:
        msg = f"{uri}: window {window.label} has 0 rows, allowed: 1 or more"
        raise InvalidDataError(msg)
    return Window(uri=uri, partitions=tuple(partitions), digest=f"sha256:{digest.hexdigest()}", rows=rows)


def open_window(
    window: Window, filesystem: fsspec.AbstractFileSystem | None = None
) -> ParquetSource | CsvSource:
    """Open the window's files.

    :raises InvalidDataError: nothing there, an unreadable file, files that do not fit together.
    """
    with readable(window):
        storage = locate(window.uri, filesystem)
        return open_source(storage, data_files(storage, window.partitions))


def read_window(
    window: Window,
    columns: Sequence[str] | None = None,
    filesystem: fsspec.AbstractFileSystem | None = None,
) -> pa.Table:
    """Read the window's rows.

    :raises InvalidDataError: a column is missing; names it and what is there.
    """
    source = open_window(window, filesystem)
    missing = [name for name in columns or () if name not in source.schema.names]
    if missing:
        there = ", ".join(source.schema.names)
        msg = f"{window.uri}: window {window.label} lacks column {', '.join(missing)}; columns: {there}"
        raise InvalidDataError(msg)
    with readable(window):
        return source.to_table(columns)


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
