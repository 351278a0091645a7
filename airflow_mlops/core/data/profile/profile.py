"""Profile: mergeable per-column summary of a window; profiles with the same bins add up exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from airflow_mlops.core.data.profile.column import Column, add_columns
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Profile(Record):
    """Summary of a window: the number of rows, and one :class:`Column` per column.

    :param partition_column: column that names the window's partitions, so that it differs between windows
        by definition; ``""`` if there is none.
    :param notes: how the data was read, where that was found and not stated.
    """

    rows: int
    columns: tuple[Column, ...]
    partitions: tuple[str, ...] = ()
    partition_column: str = ""
    notes: tuple[str, ...] = ()
    format: int = _FORMAT

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        :raises InvalidRecordError: another format, or not a profile.
        """
        if isinstance(data, dict) and data.get("format", _FORMAT) != _FORMAT:
            msg = f"profile of format {data['format']!r}, allowed: {_FORMAT}; profile the window again"
            raise InvalidRecordError(msg)
        return super().from_json(data)

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by name."""
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> Column | None:
        """Return a column, ``None`` if the window does not have it."""
        return self.by_name.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in the window's order."""
        return tuple(self.by_name)


def merge(*profiles: Profile) -> Profile:
    """Return the profile of the rows of all profiles together.

    Associative and commutative except for the order of columns, the rounding of sums, and the heavy
    hitters, whose stated error holds in any order.

    :raises InvalidRecordError: no profile given, or a column with different bins or kinds.
    """
    if not profiles:
        msg = "no profiles to merge, allowed: one or more"
        raise InvalidRecordError(msg)
    merged = profiles[0]
    for other in profiles[1:]:
        merged = _add(merged, other)
    return merged


def _add(one: Profile, other: Profile) -> Profile:
    names = dict.fromkeys((*one.names, *other.names))
    return Profile(
        rows=one.rows + other.rows,
        columns=tuple(_add_column(one, other, name) for name in names),
        partitions=tuple(sorted({*one.partitions, *other.partitions})),
        partition_column=one.partition_column or other.partition_column,
        notes=tuple(dict.fromkeys((*one.notes, *other.notes))),
    )


def _add_column(one: Profile, other: Profile, name: str) -> Column:
    """Add one column; a window without it counts as null in all its rows."""
    mine, theirs = one.column(name), other.column(name)
    if mine is not None and theirs is not None:
        return add_columns(mine, theirs)
    there, missing = (mine, other.rows) if mine is not None else (theirs, one.rows)
    assert there is not None  # noqa: S101 - the name came from one of the two
    return replace(there, nulls=there.nulls + missing)
