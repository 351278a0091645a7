"""Partitions of a table: the rows whose partition column has one of some keys; keys are checked first."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.profiling.files.storage import KEY
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis

_PERIOD = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")


def in_partitions(table: ibis.Table, column: str, keys: Sequence[str]) -> ibis.Table:
    """Return the rows of some partitions, all if none is named.

    :param column: text or whole numbers: equal to a key; dates and timestamps: in the year, month or day
        (``2013``, ``2013-01``, ``2013-01-31``) that a key names, in UTC.
    :raises InvalidDataError: no such column, or a key that its type cannot have.
    """
    if not keys:
        return table
    if column not in table.columns:
        there = ", ".join(table.columns)
        msg = f"partitions {', '.join(keys)}: no partition column {column!r}; columns: {there}"
        raise InvalidDataError(msg)
    values = table[column]
    if values.type().is_date() or values.type().is_timestamp():
        wanted = [_within(values, key) for key in keys]
        condition = wanted[0]
        for other in wanted[1:]:
            condition = condition | other
        return table.filter(condition)
    return table.filter(values.isin([_value(values, column, key) for key in keys]))


def _value(values: Any, column: str, key: str) -> str | int:
    kind = values.type()
    if kind.is_integer() and re.fullmatch(r"-?\d{1,18}", key):
        return int(key)
    if kind.is_string() and KEY.fullmatch(key):
        return key
    msg = (
        f"partition {key!r} of column {column!r} ({kind}): allowed: text of letters, digits and '_.:+-', "
        "whole numbers, dates and timestamps by year, month or day"
    )
    raise InvalidDataError(msg)


def _within(values: Any, key: str) -> Any:
    """Return the condition that a date or timestamp lies in the period a key names."""
    import ibis

    found = _PERIOD.fullmatch(key)
    try:
        year, month, day = (int(part) if part else None for part in found.groups()) if found else (0, 0, 0)
        start = dt.date(year or 0, month or 1, day or 1)
        end = _next(start, month, day)
    except ValueError:
        msg = f"partition {key!r}: allowed: 2013, 2013-01 or 2013-01-31"
        raise InvalidDataError(msg) from None
    if values.type().is_date():
        return (values >= ibis.literal(start)) & (values < ibis.literal(end))
    bounds = [ibis.literal(f"{d.isoformat()} 00:00:00").cast(values.type()) for d in (start, end)]
    return (values >= bounds[0]) & (values < bounds[1])


def _next(start: dt.date, month: int | None, day: int | None) -> dt.date:
    """Return the first day after the year, month or day that begins at ``start``."""
    if day:
        return start + dt.timedelta(days=1)
    if month:
        return (start + dt.timedelta(days=31)).replace(day=1)
    return start.replace(year=start.year + 1)
