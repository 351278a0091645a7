"""Profile: mergeable per-column summary of a window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from airflow_mlops.core.data.profile.column import Column, add_columns
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Profile(Record):
    """Summary of a window: the number of rows, and one :class:`Column` per column.

    :param partition_column: column that names the window's partitions, so that it differs between windows
        by definition; ``None`` if there is none (older profiles say ``""``).
    :param empty: files and folders without rows where rows belong: missing data, which is never a pass.
    :param notes: how the data was read, where that was found and not stated.
    """

    rows: int
    columns: tuple[Column, ...]
    partitions: tuple[str, ...] = ()
    partition_column: str | None = None
    empty: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    format: int = _FORMAT

    def __post_init__(self) -> None:
        """Read what older profiles say of no column as what newer ones say."""
        object.__setattr__(self, "partition_column", self.partition_column or None)

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
    """Return the profile of the rows of all profiles together; a window without a column has nulls there.

    Commutative except for the order of columns and the heavy hitters, whose stated error holds in any order.
    Merge at once what belongs together: see :func:`~airflow_mlops.core.data.profile.column.add_columns`.

    :raises InvalidRecordError: no profile given, or a column of different kinds, or texts in different bins.
    """
    if not profiles:
        msg = "no profiles to merge, allowed: one or more"
        raise InvalidRecordError(msg)
    if len(profiles) == 1:
        return profiles[0]
    names = dict.fromkeys(name for profile in profiles for name in profile.names)
    return Profile(
        rows=sum(profile.rows for profile in profiles),
        columns=tuple(_add_up(name, profiles) for name in names),
        partitions=tuple(sorted({key for profile in profiles for key in profile.partitions})),
        partition_column=next((p.partition_column for p in profiles if p.partition_column), None),
        empty=tuple(sorted({name for profile in profiles for name in profile.empty})),
        notes=tuple(dict.fromkeys(note for profile in profiles for note in profile.notes)),
    )


def missing_findings(profile: Profile, of: str = "") -> list[Finding]:
    """Return a warning for each file or folder that lacks rows where rows belong: no window is whole then.

    :param of: whose they are, where there are two windows.
    """
    return [
        Finding(
            check="empty",
            subject=name,
            outcome=Outcome.WARN,
            severity=Severity.WARNING,
            reason=f"{name}{of and f' of the {of}'}: no rows: missing data",
            observed=0,
        )
        for name in profile.empty
    ]


def _add_up(name: str, profiles: Sequence[Profile]) -> Column:
    """Add one column; a window without it counts as null in all its rows."""
    there = [(profile, column) for profile in profiles if (column := profile.column(name)) is not None]
    missing = sum(profile.rows for profile in profiles) - sum(profile.rows for profile, _ in there)
    together = add_columns([column for _, column in there])
    return replace(together, nulls=together.nulls + missing)
