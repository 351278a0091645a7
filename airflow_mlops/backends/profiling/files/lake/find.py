"""Tables among folders: found by their logs, and opened; a path within one is refused."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from airflow_mlops.backends.profiling.files.storage import iceberg_metadata
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from airflow_mlops.backends.profiling.files.lake.table import LakeTable
    from airflow_mlops.backends.profiling.files.storage import Storage

_LEVELS_UP = 4
"""Folders of a table's partitions that are looked through for the table around a path."""


def open_lake_table(storage: Storage, version: str) -> LakeTable | None:
    """Return the table that a path is; ``None`` if it is none.

    :param version: number or snapshot; the newest if ``""``.
    :raises InvalidDataError: no such version, or a table that cannot be read right.
    :raises MissingDependencyError: names what to install.
    """
    if storage.files.isdir(f"{storage.path}/_delta_log"):
        from airflow_mlops.backends.profiling.files.lake.delta import open_delta

        return open_delta(storage, version)
    if iceberg_metadata(storage, storage.path):
        from airflow_mlops.backends.profiling.files.lake.iceberg import open_iceberg

        return open_iceberg(storage, version)
    return None


def require_outside_tables(storage: Storage) -> None:
    """Refuse a path within a table, a partition's folder for instance: not all of its files are rows.

    :raises InvalidDataError: names the table.
    """
    path = PurePosixPath(storage.path)
    for folder in [path, *path.parents][: _LEVELS_UP + 1]:
        if storage.files.isdir(f"{folder}/_delta_log"):
            msg = f"{storage.uri}: lies within the Delta table {folder}; allowed: the table, with a partition"
            raise InvalidDataError(msg)
        if folder.name == "data" and iceberg_metadata(storage, str(folder.parent)):
            msg = f"{storage.uri}: lies within the Iceberg table {folder.parent}; allowed: the table"
            raise InvalidDataError(msg)
