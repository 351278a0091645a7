"""Partitions of a dataset: which new ones are complete, and which are the last n up to a key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

MAX_PARTITIONS_AT_ONCE = 100
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""Key of the rows whose partition column is null, as Hive and Spark write it: of no place in an order."""


class Complete(StrEnum):
    """Rule by which a partition counts as complete."""

    MARKER = "marker"
    STABLE = "stable"
    PRESENT = "present"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents(Record):
    """Listing of a partition: data files, their size in bytes, and whether the marker exists."""

    files: int = 0
    size: int = 0
    marker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionWait(Record):
    """Partitions to wait for, and when to give up.

    :param partition: key of the one partition; if empty, any newer than ``after``.
    :param after: newest known key; keys are compared as text.
    :param complete: ``marker``: the partition's directory has a file ``_SUCCESS``; ``stable``: number and
        size of the files are the same in two consecutive listings; ``present``: there is a data file.
    :param deadline: when to give up, seconds since the epoch.
    """

    partition: str = ""
    after: str = ""
    complete: Complete | str = Complete.STABLE
    deadline: float

    def __post_init__(self) -> None:
        """Refuse an unknown completeness rule."""
        if self.complete not in tuple(Complete):
            one_of = f"{', '.join(Complete)}{did_you_mean(self.complete, Complete)}"
            msg = f"complete: {str(self.complete)!r}; one of: {one_of}"
            raise InvalidConfigError(msg)

    def wants(self, key: str) -> bool:
        """Say whether a partition is waited for."""
        if self.partition:
            return key == self.partition
        return key > self.after and key != NULL_PARTITION


def last_partitions(keys: Iterable[str], count: int) -> tuple[str, ...]:
    """Return the last ``count`` keys, ascending; all of them where there are fewer.

    :param keys: compared as text, in any order, repeated or not.
    :raises InvalidConfigError: a count below 1.
    """
    if count < 1:
        msg = f"number of partitions: {count}, allowed: 1 or more"
        raise InvalidConfigError(msg)
    ordered = sorted(set(keys))
    return tuple(ordered[max(0, len(ordered) - count) :])


def partitions_up_to(
    key: str, known: Iterable[str], count: int, *, leaving_out: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the last ``count`` partitions up to and including ``key``, ascending; never a later one.

    Rows whose partition column is null may be of any time: they are returned if ``key`` names them, else not.

    :param known: keys of the dataset, in any order; ``key`` need not be among them.
    :param leaving_out: keys that do not count; ``key`` itself always does.
    """
    if key == NULL_PARTITION:
        return last_partitions([key], count)
    leaving_out = {NULL_PARTITION, *leaving_out}
    earlier = (one for one in known if one < key and one not in leaving_out)
    return last_partitions([*earlier, key], count)


def complete_partitions(
    wait: PartitionWait, before: Mapping[str, Contents], current: Mapping[str, Contents], *, now: float
) -> tuple[str, ...] | None:
    """Return the complete partitions, ascending; ``None`` to list again, empty at the deadline.

    A newer partition is not returned before the older ones are complete: ``after`` would then exclude them.

    :param before: contents by key in the previous listing; empty the first time.
    :param current: contents by key now.
    """
    complete = []
    for key in sorted(filter(wait.wants, current)):
        if not _is_complete(wait, before.get(key), current[key]):
            break
        complete.append(key)
    if complete:
        return tuple(complete[:MAX_PARTITIONS_AT_ONCE])
    return () if now >= wait.deadline else None


def _is_complete(wait: PartitionWait, before: Contents | None, now: Contents) -> bool:
    if now.files == 0:
        return False
    if wait.complete == Complete.MARKER:
        return now.marker
    return wait.complete == Complete.PRESENT or before == now
