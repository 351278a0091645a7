"""Values of columns as people read them: datetimes as dates, numbers in few digits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_mlops.core.data.profile.column import Kind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown_value(value: float, kind: Kind) -> str:
    """Return a value of a column: a datetime, kept as epoch seconds, as date or as date and time in UTC."""
    if kind is not Kind.DATETIME:
        return f"{value:.0f}" if kind is Kind.INTEGER and abs(value) < 1e15 else f"{value:g}"
    try:
        moment = _EPOCH + timedelta(seconds=value)
    except OverflowError:  # before the year 1 or after 9999
        return f"{value:g} s"
    date, time = moment.date().isoformat(), moment.time()
    return date if not (time.hour or time.minute or time.second or time.microsecond) else f"{date} {time}"


def shown_count(number: int, noun: str) -> str:
    """Return a number with its noun, regular plurals only: ``1 row``, ``2 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
