"""Iceberg tables: metadata says which files are the rows of a snapshot; the extra ``iceberg`` reads it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.profiling.files.lake.table import (
    LakeTable,
    key_of_value,
    plain_types,
    refuse_without,
    whole_number,
)
from airflow_mlops.backends.profiling.files.storage import iceberg_metadata
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
    schema = table.schema() if number is None else table.scan(snapshot_id=number).projection()
    _require_no_defaults(storage, schema)
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
        unplaced=tuple(place(task.file.file_path) for task in tasks if _index(table, task.file) is None),
        field_ids={number: schema.find_column_name(number) for number in sorted(schema.field_ids)},
        field_names=_field_names(table),
        needed={place(task.file.file_path): _in_log(table, schema, task.file) for task in tasks},
    )


def _changed(read: Sequence[str], now: Sequence[str]) -> tuple[str, ...]:
    """Tell that the table's columns were changed since its snapshot, whose columns are read."""
    if [*read] == [*now]:
        return ()
    return (f"columns are those of the snapshot, not the table's since: {', '.join(now)}",)


def newest_metadata(storage: Storage) -> str:
    """Return the path of the newest metadata file: ``v3.metadata.json``, ``00003-<uuid>.metadata.json``."""
    return max(iceberg_metadata(storage, storage.path), key=lambda path: (_number(path), path))


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


def _require_no_defaults(storage: Storage, schema: Any) -> None:
    named = [found.name for found in schema.fields if found.initial_default is not None]
    if named:
        msg = (
            f"{storage.uri}: Iceberg table with a default for older rows ({', '.join(named)}), which is not "
        )
        msg += "read; rewrite its files"
        raise InvalidDataError(msg)


def _field_names(table: Any) -> dict[str, int] | None:
    """Return the numbers of columns in files without any, by the name mapping; ``None`` without one."""
    mapping = table.name_mapping()
    if mapping is None:
        return None
    return {name: one.field_id for one in mapping for name in one.names if one.field_id is not None}


def _index(table: Any, file: Any) -> int | None:
    """Return the place of the partition column among a file's partition values; ``None`` if not there.

    Files keep the partitioning under which they were written.
    """
    if not _column(table):
        return None
    source, fields = table.spec().fields[0].source_id, table.specs()[file.spec_id].fields
    found = (i for i, f in enumerate(fields) if f.source_id == source and str(f.transform) == "identity")
    return next(found, None)


def _in_log(table: Any, schema: Any, file: Any) -> tuple[str, ...]:
    """Return the columns of whose values in a file the log knows that they are one and the same."""
    fields = enumerate(table.specs()[file.spec_id].fields)
    known = [f for i, f in fields if str(f.transform) == "identity" and file.partition[i] is not None]
    names = (schema.find_column_name(f.source_id) for f in known)
    return tuple(name for name in names if name and "." not in name)


def _key(table: Any, file: Any) -> str | None:
    """Return the partition key of a file; ``None`` if it has none."""
    index = _index(table, file)
    if index is None:
        return None
    value, first = file.partition[index], table.spec().fields[0]
    kind = table.schema().find_type(first.source_id)
    return key_of_value(None if value is None else first.transform.to_human_string(kind, value))


def _column(table: Any) -> str:
    fields = table.spec().fields
    if not fields or str(fields[0].transform) != "identity":
        return ""
    return str(table.schema().find_column_name(fields[0].source_id))
