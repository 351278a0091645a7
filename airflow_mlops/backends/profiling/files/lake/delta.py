"""Delta tables: the log says which files are the rows of a version; the extra ``delta`` reads it."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from airflow_mlops.backends.profiling.files.lake.table import (
    LakeTable,
    key_of_value,
    plain_types,
    refuse_without,
    whole_number,
)
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mlops.backends.profiling.files.storage import Storage

_COMMIT = re.compile(r"\d{20}\.json")
_READ = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "typeWidening", "deletionVectors"})
"""Features of the format under which files still hold their rows as they are; vectors are looked at."""


def open_delta(storage: Storage, version: str) -> LakeTable:
    """Open a Delta table at a version, the newest if ``""``.

    Its partitions are the values of its first partition column.

    :raises InvalidDataError: no such version, or a feature under which its files do not hold its rows.
    :raises MissingDependencyError: the extra ``delta`` is not installed.
    """
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError as error:
        refuse_without("delta", "a Delta table", storage, error)
    number = whole_number(storage, version)
    _require_version(storage, number)
    with _local_log(storage) as folder:
        try:
            table = DeltaTable(folder, version=number)
            _require_readable(storage, table)
            actions = pa.table(table.get_add_actions(flatten=True))
        except (DeltaError, ValueError, OSError) as error:
            what = f"version {number}" if number is not None else "newest version"
            msg = f"{storage.uri}: Delta table cannot be read at its {what}: {' '.join(str(error).split())}"
            raise InvalidDataError(msg) from error
    return _as_table(storage, table, actions)


def _require_version(storage: Storage, number: int | None) -> None:
    """Refuse a version that the log does not have.

    :raises InvalidDataError: names those that it has.
    """
    names = (
        PurePosixPath(path).name for path in storage.files.ls(f"{storage.path}/_delta_log", detail=False)
    )
    known = sorted(int(name[:20]) for name in names if _COMMIT.fullmatch(name))
    if number is not None and known and number not in known:
        versions = f"{known[0]} to {known[-1]}" if len(known) > 1 else f"{known[0]}"
        msg = f"{storage.uri}: no version {number} of the Delta table; versions: {versions}"
        raise InvalidDataError(msg)


@contextmanager
def _local_log(storage: Storage) -> Iterator[str]:
    """Yield a folder with the log: elsewhere than on this machine it is fetched, and nothing else."""
    if storage.is_local:
        yield storage.path
        return
    with tempfile.TemporaryDirectory() as folder:
        storage.files.get(f"{storage.path}/_delta_log", f"{folder}/_delta_log", recursive=True)
        yield folder


def _require_readable(storage: Storage, table: Any) -> None:
    protocol = table.protocol()
    unknown = sorted({*(protocol.reader_features or ())} - _READ)
    mapping = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mapping != "none":
        unknown = ["columnMapping"]
    if "deletionVectors" in (protocol.reader_features or ()) and pa.table(table.deletion_vectors()).num_rows:
        unknown = ["deletionVectors"]
    if unknown:
        msg = f"{storage.uri}: Delta table with {', '.join(unknown)}, which is not read; rewrite the table "
        msg += "without, or give its rows as plain files"
        raise InvalidDataError(msg)


def _as_table(storage: Storage, table: Any, actions: pa.Table) -> LakeTable:
    columns = list(table.metadata().partition_columns)
    values = {
        _path(storage, action["path"]): {name: action.get(f"partition.{name}") for name in columns}
        for action in actions.to_pylist()
    }
    first = columns[0] if columns else ""
    found = {path: held[first] if first else None for path, held in values.items()}
    return LakeTable(
        storage=storage,
        version=str(table.version()),
        paths=tuple(sorted(values)),
        schema=plain_types(pa.schema(table.schema().to_arrow())),
        values=values,
        partition={path: key_of_value(value) if first else None for path, value in found.items()},
        column=first,
    )


def _path(storage: Storage, path: str) -> str:
    """Return where a file of the log lies.

    :raises InvalidDataError: outside of the table, as files of a shallow clone.
    """
    if "://" in path or path.startswith("/"):
        msg = f"{storage.uri}: Delta table with files outside of it ({path}), which are not read"
        raise InvalidDataError(msg)
    return f"{storage.path}/{unquote(path)}"
