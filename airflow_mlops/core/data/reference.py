"""Reference: the partitions that a window is compared with; their stored profiles are merged."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.partitions import NULL_PARTITION, last_partitions
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import time

    from airflow_mlops.core.data.profile.profile import Profile

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?|\d{8}")


class ReferenceRule(StrEnum):
    """Rule by which the reference of a window is chosen."""

    TRAINING = "training"
    LAST = "last"
    SAME_WEEKDAY = "same_weekday"
    PARTITIONS = "partitions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Record):
    """Rule and size of the reference.

    Partition keys are compared as text: dates, months, ISO weeks and padded numbers sort correctly.

    :param rule: ``training``: the champion's training window; ``last``: the newest partitions before the
        window; ``same_weekday``: the newest before it with the same weekday (and time of day, if keys have
        one), keys must be dates; ``partitions``: the listed ones.
    :param count: number of partitions for ``last`` and ``same_weekday``, 1 or more.
    :param at_least: with fewer usable partitions the comparison is inconclusive, 1 or more.
    :param partitions: keys for the rule ``partitions``.
    """

    rule: ReferenceRule | str = ReferenceRule.TRAINING
    count: int = 4
    at_least: int = 1
    partitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an unknown rule, a count below 1, and partitions that do not match the rule."""
        rules = tuple(ReferenceRule)
        if self.rule not in rules:
            known = ", ".join(rules)
            msg = f"reference.rule: {str(self.rule)!r}; one of: {known}{did_you_mean(self.rule, rules)}"
            raise InvalidConfigError(msg)
        if self.count < 1 or self.at_least < 1:
            msg = f"reference: count {self.count}, at_least {self.at_least}; allowed: 1 or more"
            raise InvalidConfigError(msg)
        if (self.rule == ReferenceRule.PARTITIONS) != bool(self.partitions):
            msg = (
                f"reference.partitions: {list(self.partitions)} with rule {self.rule}; allowed: one or more "
            )
            msg += "keys with rule partitions, none with the others"
            raise InvalidConfigError(msg)

    @property
    def is_training(self) -> bool:
        """Whether the partitions are those of the champion's training window."""
        return self.rule == ReferenceRule.TRAINING


def read_reference(value: Any) -> Reference:
    """Read a :class:`Reference` from configuration: a reference, the name of a rule, or a mapping.

    :raises InvalidConfigError: an unknown key or rule; suggests the nearest known one.
    """
    if isinstance(value, Reference):
        return value
    if isinstance(value, str):
        return Reference(rule=value)
    allowed = [field.name for field in fields(Reference)]
    for key in value if isinstance(value, dict) else (type(value).__name__,):
        if key not in allowed:
            msg = f"reference: unknown key {key!r}; one of: {', '.join(allowed)}{did_you_mean(key, allowed)}"
            raise InvalidConfigError(msg)
    return Reference.from_json(value)


def choose(
    partitions: Collection[str], current: str, reference: Reference, broken: Collection[str] = ()
) -> tuple[str, ...]:
    """Return the partitions of the reference, ascending; never later than the window itself.

    :param partitions: keys with a stored profile; for ``training`` those of the champion.
    :param current: the window's first key; ``""`` if it has none.
    :param broken: keys of partitions that violated their schema; they are excluded.
    :raises InvalidConfigError: rule ``same_weekday`` with a window whose key is not a date.
    """
    if reference.rule in (ReferenceRule.TRAINING, ReferenceRule.PARTITIONS):
        return tuple(sorted({*(reference.partitions or partitions)} - {*broken}))
    known = {*partitions} - {*broken, NULL_PARTITION}
    before = sorted(key for key in known if not current or key < current)
    if reference.rule == ReferenceRule.SAME_WEEKDAY:
        slot = _slot(current)
        if slot is None:
            msg = f"reference.rule: same_weekday, but partition {current!r} is not a date; "
            msg += "allowed: keys such as 2013-01-31, or rule last"
            raise InvalidConfigError(msg)
        before = [key for key in before if _slot(key) == slot]
    return last_partitions(before, reference.count)


def shortfall(reference: Reference, chosen: Collection[str]) -> str:
    """Return why there are too few partitions; empty if there are enough."""
    if len(chosen) >= reference.at_least:
        return ""
    there = ", ".join(chosen) or "none"
    return f"reference {reference.rule}: usable partitions: {there}; needed: {reference.at_least} or more"


def add_up(profiles: Sequence[Profile]) -> Profile:
    """Merge profiles; columns that do not have the same bins in all of them are left out, and noted."""
    from airflow_mlops.core.data.profile.profile import merge  # loads numpy: not while DAGs are parsed

    names = dict.fromkeys(name for profile in profiles for name in profile.names)
    alike = {name for name in names if _add_up(name, profiles)}
    merged = merge(
        *(
            replace(profile, columns=tuple(c for c in profile.columns if c.name in alike))
            for profile in profiles
        )
    )
    left_out = tuple(_left_out(name, profiles) for name in names if name not in alike)
    return replace(merged, notes=(*merged.notes, *left_out))


def _left_out(name: str, profiles: Sequence[Profile]) -> str:
    """Say of a column that is left out what it is in which partitions."""
    kinds: dict[str, list[str]] = {}
    for profile in profiles:
        if (column := profile.column(name)) is not None and column.present:
            kinds.setdefault(str(column.kind), []).extend(profile.partitions or ["a window"])
    if len(kinds) == 1:
        return f"{name}: other bins in some partitions: left out of the reference"
    told = "; ".join(f"{kind} in {', '.join(keys)}" for kind, keys in kinds.items())
    return f"{name}: {told}: left out of the reference"


def _add_up(name: str, profiles: Sequence[Profile]) -> bool:
    columns = [column for profile in profiles if (column := profile.column(name)) is not None]
    first = next((column for column in columns if column.present), columns[0])
    return all(first.fits(column) for column in columns)


def _slot(key: str) -> tuple[int, time] | None:
    """Return weekday and time of day of a key, ``None`` if it is not a date."""
    if not _DATE.fullmatch(key):
        return None
    try:
        moment = datetime.fromisoformat(key)
    except ValueError:
        return None
    return moment.weekday(), moment.time()
