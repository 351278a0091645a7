"""Iceberg tables: metadata says which files are the rows of a snapshot; the extra ``iceberg`` reads it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.profiling.files.lake.table import (
    LakeTable,
    plain_types,
    refuse_without,
    whole_number,
)
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.backends.profiling.files.storage import Storage


def open_iceberg(storage: Storage, version: str) -> LakeTable:
    """Open an Iceberg table at a snapshot, its current one if ``""``.

    Its partitions are the values of its first partition field, if that is a column as it is.

    :raises InvalidDataError: no such snapshot, row-level deletes, or files that are not parquet.
    :raises MissingDependencyError: the extra ``iceberg`` is not installed.
    """
    number = whole_number(storage, version)
    try:
        from pyiceberg.exceptions import RESTError  # noqa: F401 - it is installed
    except ImportError as error:
        refuse_without("iceberg", "an Iceberg table", storage, error)
    from airflow_mlops.backends.profiling.files.lake.iceberg_files import load_table

    table, place = load_table(storage, newest_metadata(storage))
    snapshot = table.snapshot_by_id(number) if number is not None else table.current_snapshot()
    if snapshot is None:
        known = ", ".join(str(found.snapshot_id) for found in table.snapshots()) or "none"
        msg = f"{storage.uri}: no snapshot {version or 'at all'} of the Iceberg table; snapshots: {known}"
        raise InvalidDataError(msg)
    tasks = list(table.scan(snapshot_id=snapshot.snapshot_id).plan_files())
    _require_readable(storage, tasks)
    schema = table.scan(snapshot_id=snapshot.snapshot_id).projection()
    keys = {place(task.file.file_path): _key(table, task.file) for task in tasks}
    return LakeTable(
        storage=storage,
        version=str(snapshot.snapshot_id),
        paths=tuple(sorted(keys)),
        schema=plain_types(schema.as_arrow()),
        values={},
        partition=keys,
        column=_column(table),
        notes=_changed(schema.column_names, table.schema().column_names),
        field_ids={found.field_id: found.name for found in schema.fields},
    )


def _changed(read: Sequence[str], now: Sequence[str]) -> tuple[str, ...]:
    """Tell that the table's columns were changed since its snapshot, whose columns are read."""
    if [*read] == [*now]:
        return ()
    return (f"columns are those of the snapshot, not the table's since: {', '.join(now)}",)


def newest_metadata(storage: Storage) -> str:
    """Return the path of the newest metadata file: ``v3.metadata.json``, ``00003-<uuid>.metadata.json``."""
    found = storage.files.glob(f"{storage.path}/metadata/*.metadata.json")
    return str(max(found, key=lambda path: (_number(path), path)))


def _number(path: str) -> int:
    match = re.match(r"v?(\d+)", PurePosixPath(path).name)
    return int(match[1]) if match else -1


def _require_readable(storage: Storage, tasks: Sequence[Any]) -> None:
    if any(task.delete_files for task in tasks):
        msg = f"{storage.uri}: Iceberg table with row-level deletes, which are not read; compact the table"
        raise InvalidDataError(msg)
    other = sorted({task.file.file_format.value for task in tasks} - {"PARQUET"})
    if other:
        msg = f"{storage.uri}: Iceberg table of {', '.join(other)} files, allowed: parquet"
        raise InvalidDataError(msg)


def _key(table: Any, file: Any) -> str | None:
    """Return the partition key of a file; ``None`` if it has none by the table's newest partitioning."""
    if not _column(table) or file.spec_id != table.spec().spec_id or file.partition[0] is None:
        return None
    first = table.spec().fields[0]
    kind = table.schema().find_type(first.source_id)
    return str(first.transform.to_human_string(kind, file.partition[0]))


def _column(table: Any) -> str:
    fields = table.spec().fields
    if not fields or str(fields[0].transform) != "identity":
        return ""
    return str(table.schema().find_column_name(fields[0].source_id))
