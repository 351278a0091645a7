"""One version of a table of files: the log says which of the files that lie there are its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa

from airflow_mlops.backends.profiling.files.source import DataFiles
from airflow_mlops.backends.profiling.files.storage import Storage
from airflow_mlops.core.data.partitions import NULL_PARTITION
from airflow_mlops.core.errors import InvalidDataError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class LakeTable:
    """One version of a Delta or Iceberg table.

    :param paths: its files, with the values of its partition columns in ``values``.
    :param partition: by file, the key of the window's partition it belongs to; ``None`` if it has none.
    :param unplaced: files of no partition, as those from before the table was partitioned as it is now.
    :param field_ids: names of the columns by the numbers that the files know them by.
    :param field_names: these numbers by names, for files that have none; ``None`` if the table tells none.
    :param needed: by file, columns that it must hold itself: its table's log has their values, too.
    """

    storage: Storage
    version: str
    paths: tuple[str, ...]
    schema: pa.Schema
    values: Mapping[str, Mapping[str, Any]]
    partition: Mapping[str, str | None]
    column: str = ""
    notes: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    field_ids: Mapping[int, str] = field(default_factory=dict)
    field_names: Mapping[str, int] | None = None
    needed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def keys(self) -> dict[str, str]:
        """Return the partition keys: the values of its first partition column.

        :raises InvalidDataError: not all of its files were written by partition.
        """
        if self.column and self.unplaced:
            msg = f"{self.storage.uri}: {len(self.unplaced)} of {len(self.paths)} files were written before "
            msg += f"the table was partitioned by {self.column!r}: rewrite them, or read the table as a whole"
            raise InvalidDataError(msg)
        return {key: key for key in self.partition.values() if key is not None}

    def files(self, partitions: Sequence[str]) -> DataFiles:
        """Return the files of some partitions, of all if none is named.

        :raises InvalidDataError: no files.
        """
        wanted = [p for p in self.paths if not partitions or self.partition.get(p) in partitions]
        if not wanted:
            msg = f"{self.storage.uri}: version {self.version} of the table has no files"
            raise InvalidDataError(msg)
        names = list(dict.fromkeys(name for values in self.values.values() for name in values))
        return DataFiles(
            storage=self.storage,
            paths=tuple(wanted),
            folders=self.values,
            types=pa.schema([self.schema.field(name) for name in names]),
            key=self.column or None,
            version=self.version,
            schema=self.schema,
            field_ids=self.field_ids,
            field_names=self.field_names,
            needed=self.needed,
            partitions=self.partition,
            notes=(f"table at version {self.version}", *self.notes),
        )


def key_of_value(value: Any) -> str:
    """Return the partition key that a value of a partition column stands for, null too."""
    return NULL_PARTITION if value is None else str(value)


def refuse_without(extra: str, kind: str, storage: Storage, error: ImportError) -> NoReturn:
    """Refuse a table whose library is not there.

    :raises MissingDependencyError: names the extra to install.
    """
    msg = f"{storage.uri}: is {kind}; install airflow-provider-mlops[{extra}] to read it as one"
    raise MissingDependencyError(msg) from error


def whole_number(storage: Storage, version: str) -> int | None:
    """Return a version as a number; ``None`` for the newest.

    :raises InvalidDataError: it is none.
    """
    if not version:
        return None
    if not version.isascii() or not version.isdigit():
        msg = f"{storage.uri}: version {version!r}, allowed: a number"
        raise InvalidDataError(msg)
    return int(version)


def plain_types(schema: pa.Schema) -> pa.Schema:
    """Return the schema with texts as files hold them, not as large ones, and without notes on fields."""
    plain = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
    return pa.schema([pa.field(f.name, plain.get(f.type, f.type)) for f in schema])
