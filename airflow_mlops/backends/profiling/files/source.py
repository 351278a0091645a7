"""Source: the files of one window, opened; what the two formats, parquet and csv, offer alike."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

THREADS = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
PlacedBatch = tuple[int, pa.RecordBatch]
"""A batch of neighbouring columns, and the position of the first one in the schema."""


class Source(Protocol):
    """Files of one window, read as batches with one schema.

    The rows are read once: by :meth:`streams`, after :meth:`first_rows` if bins have to be found; or by
    :meth:`to_table`; or by :meth:`count_rows`.
    """

    files: list[str]
    schema: pa.Schema

    def first_rows(self, rows: int, columns: Sequence[str]) -> pa.Table:
        """Return some rows from which bins are taken."""
        ...

    def streams(self, batch_rows: int, count: int) -> list[Iterator[PlacedBatch]]:
        """Share all rows out to at most so many streams, each read by a thread of its own."""
        ...

    def to_table(self, columns: Sequence[str] | None) -> pa.Table:
        """Return all rows of some columns, of all columns if ``None``."""
        ...

    def count_rows(self) -> int:
        """Return the number of rows."""
        ...

    def digests(self) -> list[bytes]:
        """Return what identifies each file's content; asked for after the rows were read."""
        ...


def require_unique(names: Sequence[str], path: str) -> None:
    """Refuse a file or table with a column twice.

    :raises InvalidDataError: names file and column.
    """
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        msg = f"{PurePosixPath(path).name}: column {twice[0]!r} stands there more than once"
        raise InvalidDataError(msg)
