"""Layout of a dataset: which files a window consists of, and what their folders or their table's log say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.backends.profiling.files.lake.find import open_lake_table, require_outside_tables
from airflow_mlops.backends.profiling.files.source import STATED_TYPES, DataFiles
from airflow_mlops.backends.profiling.files.storage import (
    Storage,
    bare_folders,
    children,
    files_below,
    key_of,
    locate,
    require_key,
)
from airflow_mlops.core.data.dataset_uri import CsvType, DatasetUri
from airflow_mlops.core.data.partitions import NULL_PARTITION
from airflow_mlops.core.errors import InvalidDataError, NoRowsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import fsspec


def list_partitions(uri: str, filesystem: fsspec.AbstractFileSystem | None = None) -> list[str]:
    """Return the partition keys below ``uri``, ascending; that of rows of no partition first.

    A partition is ``<uri>/<key>.parquet``, ``<uri>/<key>/*.parquet`` or ``<uri>/<name>=<key>/*.parquet``
    (or csv), or several of these with the same key; of a Delta or Iceberg table a value of its first
    partition column.

    :raises InvalidDataError: a file or folder whose name gives no key.
    """
    parsed = DatasetUri.parse(uri)
    storage = locate(parsed.location, filesystem)
    table = open_lake_table(storage, parsed.version)
    keys = table.keys() if table is not None else children(storage)
    return sorted(keys, key=lambda key: (key != NULL_PARTITION, key))


def find_files(
    storage: Storage,
    partitions: Sequence[str],
    version: str = "",
    dtypes: Mapping[str, CsvType] | None = None,
) -> DataFiles:
    """Return the data files of some partitions, of all if none is named.

    :param version: of a table.
    :param dtypes: stated types, of columns of folders too.
    :raises InvalidDataError: no such partition, no data files, files of several formats, no such version.
    :raises MissingDependencyError: a table whose format is not installed; names what to install.
    """
    _require_keys(partitions)
    table = open_lake_table(storage, version)
    if table is not None:
        if partitions:
            _require_there(storage, partitions, table.keys())
        return table.files(partitions)
    require_outside_tables(storage)
    if version:
        msg = f"{storage.uri}: version {version!r} is stated, but it is no Delta or Iceberg table"
        raise InvalidDataError(msg)
    if partitions:
        paths, bare = _files_of_named(storage, partitions)
        return replace(with_folders(storage, paths, dtypes or {}), bare=bare)
    paths = files_below(storage, [storage.path], storage.uri)
    found = with_folders(storage, paths, dtypes or {})
    filled = {key for key in found.partitions.values() if key is not None}
    return replace(found, bare=bare_folders(storage, filled))


def _files_of_named(storage: Storage, partitions: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the data files of named partitions of plain folders, and the folders of those that have none.

    :raises NoRowsError: none of them has any.
    """
    there = children(storage)
    _require_there(storage, partitions, there)
    paths, bare, refused = list[str](), list[str](), list[NoRowsError]()
    for key in dict.fromkeys(partitions):
        try:
            paths += files_below(storage, there[key], f"{storage.uri} partition {key}")
        except NoRowsError as error:
            bare += there[key]
            refused.append(error)
    if not paths:
        raise refused[0]
    return paths, tuple(bare)


def with_folders(storage: Storage, paths: Sequence[str], dtypes: Mapping[str, CsvType]) -> DataFiles:
    """Return files with the columns that their ``name=value`` folders give: text, unless a type is stated.

    A type found from the folders of a window would differ between windows: ``01`` beside ``AB`` is text.
    The outermost folder names the window's partitions, if all files have it.

    :raises InvalidDataError: a value that is none of the stated type.
    """
    folders = {path: folder_values(path, storage.path) for path in paths}
    names = list(dict.fromkeys(name for values in folders.values() for name in values))
    types = pa.schema([(name, STATED_TYPES[dtypes.get(name, CsvType.TEXT)]) for name in names])
    typed = {
        path: {name: _typed(value, types.field(name), storage.uri) for name, value in values.items()}
        for path, values in folders.items()
    }
    outermost = {next(iter(values), None) for values in folders.values()}
    return DataFiles(
        storage=storage,
        paths=tuple(paths),
        folders=typed,
        types=types,
        key=outermost.pop() if len(outermost) == 1 else None,
        partitions={path: _partition_of(path, storage.path) for path in paths},
        notes=(_told(names, dtypes),) if names else (),
    )


def _told(names: Sequence[str], dtypes: Mapping[str, CsvType]) -> str:
    told = (f"{name} ({dtypes[name]})" if name in dtypes else name for name in names)
    return f"columns of folders: {', '.join(told)}; text unless stated (dtypes)"


def _typed(value: str | None, field: pa.Field, uri: str) -> Any:
    """Return a folder's value as its column's type.

    :raises InvalidDataError: names the folder.
    """
    try:
        return pc.cast(pa.scalar(value, pa.string()), field.type).as_py()
    except pa.ArrowInvalid as error:
        msg = f"{uri}: folder '{field.name}={value}' is no {field.type}, as stated for its column (dtypes)"
        raise InvalidDataError(msg) from error


def _partition_of(path: str, root: str) -> str | None:
    inside = PurePosixPath(path).parts[len(PurePosixPath(root).parts) :]
    return key_of(inside[0], is_folder=len(inside) > 1) if inside else None


def folder_values(path: str, root: str) -> dict[str, str | None]:
    """Return the values that ``name=value`` folders between a dataset's root and a file give."""
    inside = PurePosixPath(path).parts[len(PurePosixPath(root).parts) : -1]
    pairs = (part.partition("=") for part in inside if "=" in part)
    return {
        unquote(name): None if value == NULL_PARTITION else unquote(value) for name, _, value in pairs if name
    }


def _require_keys(partitions: Sequence[str]) -> None:
    for key in partitions:
        require_key(key)


def _require_there(storage: Storage, partitions: Sequence[str], there: Mapping[str, object]) -> None:
    for key in partitions:
        if key not in there:
            known = ", ".join(sorted(there)) or "none"
            msg = f"{storage.uri}: no partition {key!r}; partitions: {known}"
            raise InvalidDataError(msg)
