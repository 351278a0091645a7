"""Calendar values in numbers and texts: years, dates written as numbers, epochs, parts of a date."""

from __future__ import annotations

import calendar
import datetime as dt
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.core.data.schema.keys import words

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mlops.core.data.profile.column import Column


class CalendarLimits(NamedTuple):
    """Limits of a column of calendar values, what the values were taken for, and whether for parts of a date."""

    low: float
    high: float
    told: str
    is_part: bool = False


_PARTS: dict[str, tuple[tuple[str, ...], float, float]] = {
    "months": (("month", "mon", "mth", "moy"), 1, 12),
    "days of a month": (("day", "mday", "dom"), 1, 31),
    "days of a week": (("weekday", "wday", "dow", "dayofweek"), 1, 7),
    "days of a year": (("doy", "yday", "dayofyear"), 1, 366),
    "weeks": (("week", "isoweek", "woy"), 1, 53),
    "quarters": (("quarter", "qtr"), 1, 4),
    "hours": (("hour", "hr", "hod"), 0, 24),
    "minutes": (("minute", "min", "minutes"), 0, 60),
}
"""Words in the names of parts of a date or time, and the range of each; a 0 allows one less on both sides."""
_YEARS = (1800.0, 2200.0)
_EPOCH_YEARS = (2000, 2050)
_YEAR_WORDS = {"year", "yr"}
_DAYS = 365.25
_SPANS, _MOST_YEARS = 10, 100
"""Room of calendar values: so many times their span, at most so many years."""
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_DATE_TEXT = re.compile(
    r"\d{4}([-/.]?\d\d?([-/.]?\d\d?([ T].*)?)?|[-/ .]?[QqWw]\d\d?)?|\d\d?[-/.]\d\d?[-/.]\d{2,4}( .*)?"
    r"|(\d\d? )?[A-Z][a-z]{2,8}[ -]\d{2,4}"
)
_NAMES = tuple(
    tuple(name for name in names if name)
    for names in (calendar.month_name, calendar.month_abbr, calendar.day_name, calendar.day_abbr)
)


def calendar_limits(column: Column, days: int) -> CalendarLimits | None:
    """Return limits of calendar values, ``None`` for what is none.

    :param days: least room before the first and after the last.
    """
    low, high = column.minimum, column.maximum
    if low is None or high is None:
        return None
    for find in (_part, _years, _written, _epoch):
        if found := find(column.name, low, high, days):
            return found
    return None


def calendar_room(span: float, days: int) -> int:
    """Return the days of room on both sides of so many days, ``days`` at least."""
    return max(days, min(math.ceil(_SPANS * span), round(_MOST_YEARS * _DAYS)))


def is_date_text(values: Collection[str]) -> bool:
    """Whether all texts are dates, months, quarters or years."""
    return bool(values) and all(_DATE_TEXT.fullmatch(value.strip()) for value in values)


def calendar_names(values: Collection[str]) -> list[str] | None:
    """Return all names of months or weekdays, written as these are; ``None`` if they are no such names."""
    for names in _NAMES:
        for write in (str, str.lower, str.upper):
            written = [write(name) for name in names]
            if values and set(values) <= set(written):
                return written
    return None


def _part(name: str, low: float, high: float, _days: int) -> CalendarLimits | None:
    said = words(name)
    for what, (named, first, last) in _PARTS.items():
        if said & set(named) and (low >= first or low == 0) and high <= last:
            return CalendarLimits(min(low, first), last, f"taken for {what}", is_part=True)
    return None


def _years(name: str, low: float, high: float, days: int) -> CalendarLimits | None:
    if not (_YEARS[0] <= low <= high <= _YEARS[1] or words(name) & _YEAR_WORDS):
        return None
    room = round(calendar_room((high - low) * _DAYS, days) / _DAYS)
    return CalendarLimits(math.floor(low) - room, math.ceil(high) + room, _told("years", room))


def _written(_name: str, low: float, high: float, days: int) -> CalendarLimits | None:
    """Read ``20130131`` and ``201301``."""
    for form, unit, what in (("%Y%m%d", 10_000, "dates as numbers"), ("%Y%m", 100, "months as numbers")):
        if all(_is_written(value, form) for value in (low, high)):
            room = round(calendar_room((high - low) / unit * _DAYS, days) / _DAYS)
            return CalendarLimits(low - room * unit, high + room * unit, _told(what, room))
    return None


def _told(what: str, years: int) -> str:
    return f"taken for {what}: {years} years more allowed on both sides"


def _is_written(value: float, form: str) -> bool:
    if value != int(value) or len(str(int(value))) != {"%Y%m%d": 8, "%Y%m": 6}[form]:
        return False
    try:
        moment = dt.datetime.strptime(str(int(value)), form)  # noqa: DTZ007 - no zone in such a number
    except ValueError:
        return False
    return _YEARS[0] <= moment.year <= _YEARS[1]


def _epoch(_name: str, low: float, high: float, days: int) -> CalendarLimits | None:
    first, last = (dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp() for year in _EPOCH_YEARS)
    for unit, per_second in _UNITS.items():
        if first * per_second <= low <= high <= last * per_second:
            room = calendar_room((high - low) / per_second / 86_400, days)
            more, told = room * 86_400 * per_second, _told(f"{unit} since 1970", round(room / _DAYS))
            return CalendarLimits(low - more, high + more, told)
    return None
