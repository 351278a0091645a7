"""Arrival: which new partitions are complete, from two looks at what lies there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PARTITIONS_AT_ONCE = 100


class Complete(StrEnum):
    """When a partition counts as complete."""

    MARKER = "marker"
    STABLE = "stable"
    PRESENT = "present"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents(Record):
    """What lies in a partition: data files, their bytes, and whether the marker is there."""

    files: int = 0
    size: int = 0
    marker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionWait(Record):
    """What is waited for.

    :param partition: this partition; any newer than ``after`` if empty.
    :param after: newest known key; keys compare as text.
    :param complete: ``marker``: a file ``_SUCCESS`` lies in the partition's directory; ``stable``: files and
        bytes did not change between two looks; ``present``: there is a data file.
    :param deadline: when to give up, seconds since the epoch.
    """

    partition: str = ""
    after: str = ""
    complete: Complete | str = Complete.STABLE
    deadline: float

    def __post_init__(self) -> None:
        """Refuse an unknown rule of completeness."""
        if self.complete not in tuple(Complete):
            one_of = f"{', '.join(Complete)}{did_you_mean(self.complete, Complete)}"
            msg = f"complete: {str(self.complete)!r}; one of: {one_of}"
            raise InvalidConfigError(msg)

    def wants(self, key: str) -> bool:
        """Say whether a partition is waited for."""
        return key == self.partition if self.partition else key > self.after


def complete_partitions(
    arrival: PartitionWait, before: Mapping[str, Contents], current: Mapping[str, Contents], *, now: float
) -> tuple[str, ...] | None:
    """Return the partitions that arrived, ascending; ``None`` to look again, nothing at the deadline.

    A newer partition waits for the older ones: taken first, it would hide them for ever.

    :param before: contents by key at the look before; empty at the first.
    :param current: contents by key now.
    """
    arrived = []
    for key in sorted(filter(arrival.wants, current)):
        if not _is_complete(arrival, before.get(key), current[key]):
            break
        arrived.append(key)
    if arrived:
        return tuple(arrived[:MAX_PARTITIONS_AT_ONCE])
    return () if now >= arrival.deadline else None


def _is_complete(arrival: PartitionWait, before: Contents | None, now: Contents) -> bool:
    if now.files == 0:
        return False
    if arrival.complete == Complete.MARKER:
        return now.marker
    return arrival.complete == Complete.PRESENT or before == now
