"""Source: the files of one window, opened; what the two formats, parquet and csv, offer alike."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from airflow_mlops.backends.profiling.files.bins import kind_of
from airflow_mlops.backends.profiling.files.storage import Storage
from airflow_mlops.core.data.dataset_uri import CsvType
from airflow_mlops.core.data.expectations.query import shortened
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence


STATED_TYPES = {
    CsvType.TEXT: pa.string(),
    CsvType.INTEGER: pa.int64(),
    CsvType.NUMBER: pa.float64(),
    CsvType.BOOLEAN: pa.bool_(),
    CsvType.DATE: pa.date32(),
    CsvType.DATETIME: pa.timestamp("us"),
}
"""Arrow's types of what ``dtypes`` state, for columns of csv files and of folders."""
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
"""Digits that integers of so many bits may have."""
THREADS = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
PlacedBatch = tuple[int, pa.RecordBatch]
"""A batch of neighbouring columns, and the position of the first one in the schema."""


class Source(Protocol):
    """Files of one window, read as batches with one schema.

    ``empty`` are those without rows, which are known once the rows were read.
    The rows are read once: by :meth:`streams`, after :meth:`first_rows` if bins have to be found; or by
    :meth:`to_table`; or by :meth:`count_rows`.
    """

    files: list[str]
    schema: pa.Schema
    data: DataFiles
    notes: tuple[str, ...]
    empty: list[str]

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


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """The files of one window, and what is known of them besides their content.

    :param folders: by file, values of columns that its folders give, or its table's log.
    :param types: types of these columns.
    :param key: the column among them that names the window's partitions, ``None`` if none does.
    :param version: version or snapshot of the table whose files they are.
    :param schema: the table's, ``None`` if the files' own hold.
    :param field_ids: names of the table's columns by the numbers that its files know them by.
    :param field_names: these numbers by names, for files that have none; ``None`` if the table tells none.
    :param needed: by file, columns that it must hold itself.
    :param partitions: by file, the key of the partition it belongs to.
    :param bare: folders of partitions that hold no file.
    :param notes: what the reader should know.
    """

    storage: Storage
    paths: tuple[str, ...]
    folders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    types: pa.Schema = field(default_factory=lambda: pa.schema([]))
    key: str | None = None
    version: str = ""
    schema: pa.Schema | None = None
    field_ids: Mapping[int, str] = field(default_factory=dict)
    field_names: Mapping[str, int] | None = None
    needed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    bare: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def missing(self, empty: Collection[str]) -> tuple[str, ...]:
        """Return what lacks rows where rows belong: partitions' folders, files of no bytes, whole partitions.

        A file without rows beside others of its partition, as Spark writes them, is none of these.

        :param empty: paths of files without rows.
        """
        passed = {*empty}
        filled = {self.partitions.get(path) for path in self.paths if path not in passed}
        found = [p for p in empty if self.partitions.get(p) not in filled or not self.storage.size([p])]
        return tuple(sorted(self.storage.inside(path) for path in [*found, *self.bare]))

    def without_rows(self, empty: Collection[str]) -> tuple[str, ...]:
        """Return a note on files without rows and folders without files; none if there are none."""
        names = [self.storage.inside(path) for path in (*empty, *self.bare)]
        return (f"no rows in {shortened(names)}",) if names else ()

    def beside(self, names: Sequence[str]) -> DataFiles:
        """Return the files without the columns of folders that the files themselves have."""
        return replace(self, types=pa.schema([f for f in self.types if f.name not in names]))

    def with_folders(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema of the files with the columns that their folders give."""
        if self.schema is not None:
            return self.schema
        return pa.schema([*schema, *self.types])

    def constant(self, path: str, column: str, rows: int) -> pa.Array | None:
        """Return a column's values where they are a folder's, not in the file."""
        if column not in self.types.names:
            return None
        value = self.folders.get(path, {}).get(column)
        return pa.repeat(pa.scalar(value, self.types.field(column).type), rows)

    def fill_folders(self, table: pa.Table, path: str) -> pa.Table:
        """Return a table of one file's rows with the columns that its folders give filled in."""
        for i, name in enumerate(table.schema.names if len(self.types) else ()):
            if name in self.types.names and table.column(i).null_count == table.num_rows:
                values = self.constant(path, name, table.num_rows)
                table = table.set_column(i, table.schema.field(i), values)
        return table


def unified(parts: Sequence[tuple[str, pa.Schema]], advice: str = "") -> pa.Schema:
    """Return one schema for all files: integers beside floats are floats, a column of nulls is of any type.

    :param parts: name and schema of each file.
    :param advice: what a person may do where they do not fit together.
    :raises InvalidDataError: names column, types and the two files that do not fit together.
    """
    try:
        return _joined([schema for _, schema in parts])
    except pa.ArrowException as error:
        msg = f"{_clash(parts) or ' '.join(str(error).split())}{advice}"
        raise InvalidDataError(msg) from error


def _joined(schemas: Sequence[pa.Schema]) -> pa.Schema:
    joined = pa.unify_schemas(schemas, promote_options="permissive")
    wide = {f.name: f.type for f in joined if pa.types.is_decimal128(f.type)}
    for name, kind in wide.items():  # Arrow leaves no room for integers beside decimals
        whole = [s.field(name).type for s in schemas if name in s.names]
        digits = max((_DIGITS[k.bit_width] for k in whole if pa.types.is_integer(k)), default=0)
        if digits + kind.scale > kind.precision:
            wide[name] = pa.decimal128(min(38, digits + kind.scale), kind.scale)
    return pa.schema([field.with_type(wide.get(field.name, field.type)) for field in joined])


def _clash(parts: Sequence[tuple[str, pa.Schema]]) -> str:
    known: dict[str, tuple[pa.Field, str]] = {}
    for file, one in ((file, one) for file, schema in parts for one in schema):
        before, first = known.get(one.name, (one, file))
        try:
            both = _joined([pa.schema([before]), pa.schema([one])]).field(0)
        except pa.ArrowException:
            return f"{file}: column {one.name!r} is {one.type}, in {first} {before.type}"
        known[one.name] = both, first if both == before else file
    return ""


@contextmanager
def naming_file(file: str) -> Iterator[None]:
    """Name the file in what goes wrong while it is read.

    :raises InvalidDataError: it cannot be read.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        detail = " ".join(str(error).split())
        msg = f"{file}: cannot be read: {detail}"
        raise InvalidDataError(msg) from error


def told_of_columns(parts: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """Return a note on columns that some files lack; none if all have the same.

    :param parts: name of each file, and those of its columns.
    """
    known = dict.fromkeys(name for _, names in parts for name in names)
    lacking: dict[str, list[str]] = {}
    for file, names in parts:
        for name in () if len(names) == len(known) else known.keys() - {*names}:
            lacking.setdefault(name, []).append(file)
    told = (f"{name}: no such column in {shortened(lacking[name])}" for name in known if name in lacking)
    return tuple(told)


def told_of(notes: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return notes on files, each once; with the file's name if it is not one of all.

    :param notes: name of the file, and note.
    """
    files = dict.fromkeys(file for file, _ in notes)
    by_note: dict[str, list[str]] = {}
    for file, note in notes:
        by_note.setdefault(note, []).append(file)
    return tuple(
        note if len(names) == len(files) else f"{names[0]}{_more(len(names) - 1)}: {note}"
        for note, names in by_note.items()
    )


def _more(count: int) -> str:
    return f" and {count} more" if count else ""


def require_stated(schema: pa.Schema, dtypes: Mapping[str, CsvType], uri: str) -> None:
    """Refuse a stated type that has no effect: of no column, or of one whose type parquet files state.

    :raises InvalidDataError: names the column, and what there is.
    """
    for name, stated in dtypes.items():
        if name not in schema.names:
            msg = f"{uri}: dtypes: no column {name!r}; columns: {', '.join(schema.names)}"
            raise InvalidDataError(msg)
        if kind_of(schema.field(name).type) is not kind_of(STATED_TYPES[stated]):
            msg = f"{uri}: dtypes: column {name!r} is {schema.field(name).type} in its files, not {stated}; "
            msg += "allowed: columns of csv files, and of folders"
            raise InvalidDataError(msg)


def require_unique(names: Sequence[str], file: str) -> None:
    """Refuse a file or table with a column twice.

    :raises InvalidDataError: names file and column.
    """
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        msg = f"{file}: column {twice[0]!r} stands there more than once"
        raise InvalidDataError(msg)
