"""Values of columns as people read them: datetimes as dates, integers in full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_mlops.core.data.profile.column import Kind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = 1e15
"""Integers from here on are not exact to the last digit in double precision."""


def shown_value(value: float, kind: Kind) -> str:
    """Return a value of a column; a datetime, kept as epoch seconds, as its date, or date and time in UTC."""
    if kind is Kind.DATETIME:
        return _moment(value)
    value += 0.0  # no zero has a sign
    return f"{value:.0f}" if kind is Kind.INTEGER and abs(value) < _WHOLE else f"{value:g}"


def _moment(seconds: float) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:  # before the year 1 or after 9999
        return f"{seconds:g} seconds since 1970"
    text = moment.replace(tzinfo=None).isoformat(" ")
    return text.removesuffix(" 00:00:00")
