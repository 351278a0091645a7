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
    """Limits of calendar values, what the values were taken for, and whether for parts of a date."""

    low: float
    high: float
    told: str
    is_part: bool = False


class _Part(NamedTuple):
    """Parts of a date or time: how a column of them is named, and what they lie between."""

    what: str
    name: re.Pattern[str]
    first: float
    last: float
    from_zero: bool = True


_PARTS = (
    _Part("days of a year", re.compile(r".*(dayofyear|doy|yday)"), 1, 366),
    _Part("days of a month", re.compile(r".*(dayofmonth|mday|dom)"), 1, 31, from_zero=False),
    _Part("days of a week", re.compile(r".*(dayofweek|weekday|wday|dow)"), 1, 7),
    _Part("months", re.compile(r"(.*[ _.-])?(month|mon|mth)|monthofyear"), 1, 12),
    _Part("weeks", re.compile(r"(.*[ _.-])?(iso_?)?week|weekofyear|woy"), 1, 53),
    _Part("quarters", re.compile(r"(.*[ _.-])?(quarter|qtr)"), 1, 4),
    _Part("hours", re.compile(r"(.*[ _.-])?(hour|hr|hod)|hourofday"), 0, 24),
    _Part("minutes", re.compile(r"(.*[ _.-])?minutes?"), 0, 60),
)
_YEARS = (1800.0, 2200.0)
_EPOCH_YEARS = (2000, 2050)
_YEAR_WORDS = {"year", "yr"}
_DAYS = 365.25
_SPANS, _MOST_YEARS = 10, 100
"""Room of calendar values: so many times their span, at most so many years."""
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_DATE_TEXTS = tuple(
    re.compile(form)
    for form in (
        r"(?P<year>\d{4})((?P<mark>[-/.])(?P<month>\d\d?)((?P=mark)(?P<day>\d\d?)([ T].*)?)?)?",
        r"(?P<year>\d{4})(?P<month>\d\d)((?P<day>\d\d)([ T].*)?)?",
        r"(?P<year>\d{4})[-/ .]?([Qq]0?[1-4]|[Ww](?P<week>\d\d?))",
        r"(?P<day>\d\d?)(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<year>\d{4}|\d\d)( .*)?",
        r"(?P<month>\d\d?)(?P<mark>[-/.])(?P<day>\d\d?)(?P=mark)(?P<year>\d{4}|\d\d)( .*)?",
        r"((?P<day>\d\d?)\.? )?(?P<name>[^\W\d_]{3,9})\.?[ -](?P<year>\d{4}|\d\d)",
    )
)
_LIMITS = {"month": (1, 12), "day": (1, 31), "week": (1, 53)}
_MONTHS = {name.lower() for names in (calendar.month_name, calendar.month_abbr) for name in names if name}
_MONTHS |= {
    *("januar", "februar", "märz", "mär", "mai", "juni", "juli", "oktober", "okt", "sept", "dezember", "dez")
}
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
    """Whether all texts may be dates, months, weeks, quarters or years; other codes of digits are none."""
    return bool(values) and all(
        any(_is_date(form.fullmatch(value.strip())) for form in _DATE_TEXTS) for value in values
    )


def _is_date(found: re.Match[str] | None) -> bool:
    """Whether the parts of a text are those of a date."""
    if found is None:
        return False
    parts = found.groupdict()
    year, name = parts["year"], parts.get("name")
    limited = ((int(parts[key]), ends) for key, ends in _LIMITS.items() if parts.get(key))
    return (
        (len(year) == 2 or _YEARS[0] <= int(year) <= _YEARS[1])
        and all(low <= value <= high for value, (low, high) in limited)
        and (name is None or name.lower() in _MONTHS)
    )


def calendar_names(values: Collection[str]) -> list[str] | None:
    """Return all names of months or weekdays, written as these are; ``None`` if they are no such names."""
    for names in _NAMES:
        for write in (str, str.lower, str.upper):
            written = [write(name) for name in names]
            if values and set(values) <= set(written):
                return written
    return None


def _part(name: str, low: float, high: float, _days: int) -> CalendarLimits | None:
    said = name.lower(), re.sub(r"[^a-z]", "", name.lower())
    for part in _PARTS:
        if any(part.name.fullmatch(text) for text in said):
            first = 0.0 if low == 0 and part.from_zero else part.first
            if first <= low and high <= part.last:
                return CalendarLimits(first, part.last, f"taken for {part.what}", is_part=True)
    return None


def _years(name: str, low: float, high: float, days: int) -> CalendarLimits | None:
    if not (_YEARS[0] <= low <= high <= _YEARS[1] or words(name) & _YEAR_WORDS):
        return None
    if high - low > _MOST_YEARS:
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
