"""Numbers of columns: files of an Iceberg table know its columns by them, names may be others by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NUMBER = b"PARQUET:field_id"


def require_field_ids(
    part: pa.Schema, known: Mapping[int, str], named: Mapping[str, int] | None, file: str
) -> None:
    """Refuse a file whose columns were renamed in its table, or are others of the same name.

    :param part: the file's columns.
    :param known: names of the table's columns by their numbers; ``a.b`` of a column within another.
    :param named: numbers by names, for files without numbers; ``None`` if the table tells none.
    :raises InvalidDataError: names file and column.
    """
    columns = [found for field in part for found in _columns(field, "")]
    if not any(number is not None for _, number in columns):
        if named is None:
            msg = f"{file}: its columns have no numbers, and its table has no name mapping: rewrite the file"
            raise InvalidDataError(msg)
        columns = [(name, named.get(name)) for name in part.names]
    names = {*known.values()}
    for name, number in columns:
        now_named = known.get(number) if number is not None else None
        if now_named is not None and now_named != name:
            now = f"{now_named!r} in its table: compact the table, so that its files have the new name"
            msg = f"{file}: column {name!r} is {now}"
            raise InvalidDataError(msg)
        if now_named is None and name in names:
            msg = f"{file}: column {name!r} is not that of its table, which was dropped and added again: "
            msg += "compact the table"
            raise InvalidDataError(msg)


def require_in_file(there: Sequence[str], needed: Sequence[str], file: str) -> None:
    """Refuse a file without a partition column whose value is known to its table only, as Hive writes them.

    :raises InvalidDataError: names file and column.
    """
    for name in needed:
        if name not in there:
            msg = f"{file}: no column {name!r}, whose value is in its table's log only: rewrite the file"
            raise InvalidDataError(msg)


def _columns(field: pa.Field, within: str) -> Iterator[tuple[str, int | None]]:
    """Yield the name and number of a column and of those within it, named as Iceberg does."""
    number = (field.metadata or {}).get(_NUMBER)
    name = f"{within}.{field.name}" if within else field.name
    yield name, None if number is None else int(number)
    for child, own in _children(field.type):
        yield from _columns(child.with_name(own), name)


def _children(kind: pa.DataType) -> list[tuple[pa.Field, str]]:
    if pa.types.is_struct(kind):
        return [(kind.field(i), kind.field(i).name) for i in range(kind.num_fields)]
    if pa.types.is_map(kind):
        return [(kind.key_field, "key"), (kind.item_field, "value")]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [(kind.value_field, "element")]
    return []
