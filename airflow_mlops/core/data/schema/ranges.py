"""Ranges: limits of numbers and moments that later windows keep, and of which columns there are none."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.core.data.expectations.known_values import known_values
from airflow_mlops.core.data.expectations.query import EXACT
from airflow_mlops.core.data.expectations.types import pandas_type
from airflow_mlops.core.data.profile.column import quantiles
from airflow_mlops.core.data.schema.calendar_values import calendar_limits, calendar_room
from airflow_mlops.core.data.schema.keys import AXIS_WORDS, names_an_id

if TYPE_CHECKING:
    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.schema.seen import Seen

_FLAG = {0, 1}
_RATIO = 5.0
"""Factor by which numbers may grow or shrink however narrow their range is: prices do over the years."""
_ONE_WINDOW = 3.0
"""Factor by which the room is wider if the reference is one window: it does not show how windows differ."""
_TREND = 3.0
"""Factor by which the room is wider where the mean rises or falls in every window."""
_FEW = 30
"""Values of a window below which its range says little: with half as many the room is twice as wide."""
_NEAR_ZERO = 0.1
"""A smallest value below this share of the median is near zero: the quantity is taken for unsigned."""
_OUTER = 0.005
"""Share of values beyond each of the outer quantiles."""


class ValueLimits(NamedTuple):
    """ValueLimits of a column; none where ``low`` and ``high`` are ``None``, and why.

    :param doubt: what inference was not sure of; empty if nothing.
    """

    low: Any
    high: Any
    why: str
    doubt: str = ""


def is_flag(column: Column) -> bool:
    """Whether an integer column holds 0 and 1 and nothing else."""
    known = None if is_axis(column) else known_values(column)
    return bool(known and known.complete and known.counts.keys() == _FLAG)


def is_axis(column: Column) -> bool:
    """Whether a column is an axis of time or order; a longer name, such as ``air_time``, is of a duration."""
    return column.name.lower() in AXIS_WORDS


def number_limits(seen: Seen, slack: float, days: int, *, is_key: bool) -> ValueLimits | None:
    """Return the limits of a numeric column, open with a doubt if its values cannot be compared exactly.

    :param slack: room on each side, as a multiple of the span.
    :param days: room of calendar values.
    """
    column = seen.column
    low, high = column.minimum, column.maximum
    if low is None or high is None:
        return None
    span = f"{low:g} to {high:g}"
    if column.infinite or max(abs(low), abs(high)) >= EXACT:
        why = "infinite values" if column.infinite else "values that doubles do not hold exactly"
        return ValueLimits(None, None, span, f"{why}: no range of values")
    found = None if is_key else calendar_limits(column, days)
    if found is not None:
        return ValueLimits(
            float(found.low), float(found.high), f"{span}, {found.told}", "" if found.is_part else found.told
        )
    open_ended = _open_ended(seen, is_key=is_key)
    if open_ended:
        return ValueLimits(None, None, span, f"{open_ended}: no range of values")
    lowest, highest, factor = _widened(seen, slack)
    why = f"{span}, {factor:.2g} times the span more allowed"
    return ValueLimits(_down(lowest), _up(highest), why)


def _widened(seen: Seen, slack: float) -> tuple[float, float, float]:
    """Return limits with room on both sides, and the room as a multiple of the span.

    The room begins at the outer quantiles, so that one far value of a heavy tail does not make it wide; the
    limits hold what was seen in any case.
    """
    column = seen.column
    low, high = column.minimum or 0.0, column.maximum or 0.0
    ends = quantiles(column, (_OUTER, 1 - _OUTER))
    first, last = ends.get(_OUTER, low), ends.get(1 - _OUTER, high)
    room = _times(seen, slack) * (last - first)
    lowest, highest = min(low, first - room), max(high, last + room)
    if first > 0:
        lowest = min(lowest, first / _RATIO)
    highest = max(highest, last * _RATIO if last > 0 else last / _RATIO)
    if low >= 0:
        lowest = 0.0 if _is_unsigned(column) else max(lowest, -high)  # as far below zero as the values above
    if high < 0:
        highest = min(highest, -low)
    return lowest, highest, room / (high - low)


def _open_ended(seen: Seen, *, is_key: bool) -> str:
    """Return why values that were seen say nothing of those to come; empty if they do."""
    if is_key:
        return "a key or a counter"
    if names_an_id(seen.column):
        return "an id by its name"
    if is_axis(seen.column):
        return "an axis of time or order by its name"
    if seen.direction:
        return f"{'rises' if seen.direction > 0 else 'falls'} from window to window"
    return "only one value seen" if seen.column.minimum == seen.column.maximum else ""


def moment_limits(column: Column, days: int) -> ValueLimits | None:
    """Return limits as Great Expectations compares them with such a column; ``None`` beyond the year 9999."""
    if column.minimum is None or column.maximum is None:
        return None
    zone = dt.UTC if "tz=" in column.arrow_type else None
    try:
        room = calendar_room((column.maximum - column.minimum) / 86_400, days)
        low, high = _moment(column.minimum, -room, zone), _moment(column.maximum, room, zone)
        first, last = (_moment(value, 0, zone).isoformat() for value in (column.minimum, column.maximum))
    except OverflowError:
        return None
    as_date = pandas_type(column) == "date"
    limits = [(moment.date() if as_date else moment).isoformat() for moment in (low, high)]
    return ValueLimits(limits[0], limits[1], f"{first} to {last}, {room} days more allowed on both sides")


def _times(seen: Seen, slack: float) -> float:
    """Return the room as a multiple: wider for few values, for one window, and where the values move."""
    if seen.trend:
        slack *= _TREND
    elif not seen.windows:
        slack *= _ONE_WINDOW
    return slack * max(1.0, _FEW / max(1, seen.column.present))


def _is_unsigned(column: Column) -> bool:
    middle = quantiles(column, (0.5,)).get(0.5, column.mean or 0.0)
    return column.minimum is not None and 0 <= column.minimum <= _NEAR_ZERO * middle


def _down(value: float) -> float:
    return _rounded(value, math.floor)


def _up(value: float) -> float:
    return _rounded(value, math.ceil)


def _rounded(value: float, outward: Any) -> float:
    """Round outward to three digits, so that limits are short to read."""
    if value == 0 or not math.isfinite(value):
        return value
    digits = 2 - math.floor(math.log10(abs(value)))
    if digits > 0:
        return float(outward(value * 10**digits) / 10**digits)
    return float(outward(value / 10**-digits) * 10**-digits)


def _moment(seconds: float, days: int, zone: dt.tzinfo | None) -> dt.datetime:
    """Return a moment, in whole seconds, ``days`` later."""
    moment = dt.datetime(1970, 1, 1, tzinfo=zone) + dt.timedelta(seconds=math.floor(seconds))
    return moment + dt.timedelta(days=days)
