"""Freezes: periods in which no rollout may increase traffic; rolling back is always allowed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.record import Record


class Day(StrEnum):
    """A day of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklyFreeze(Record):
    """A weekly recurring freeze: from ``start`` on each of ``days``, for ``hours``.

    :param start: ``HH:MM`` local time in ``timezone``.
    :param hours: length, above 0 up to 168; may extend into the following days.
    """

    days: tuple[Day, ...]
    start: str = "00:00"
    hours: float = 24.0
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse no days, a length out of range, and times or time zones that do not exist."""
        if not self.days:
            msg = "rollout.freeze.days: empty, allowed: mon to sun"
            raise InvalidPlanError(msg)
        if not 0 < self.hours <= 168:
            msg = f"rollout.freeze.hours: {self.hours:g}, allowed: above 0 up to 168"
            raise InvalidPlanError(msg)
        try:
            time.fromisoformat(self.start)
        except ValueError as error:
            msg = f"rollout.freeze.start: {self.start!r}, allowed: HH:MM"
            raise InvalidPlanError(msg) from error
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            msg = f"rollout.freeze.timezone: {self.timezone!r}, allowed: names such as Europe/Zurich"
            raise InvalidPlanError(msg) from error

    def ends(self, now: float) -> float | None:
        """Return the end of the freeze in force at ``now`` (epoch seconds), ``None`` if there is none."""
        local = datetime.fromtimestamp(now, ZoneInfo(self.timezone))
        begins = (self._begins(local - timedelta(days=back)) for back in range(8))
        ends = [begin + self.hours * 3600 for begin in begins if begin is not None and begin <= now]
        return max((end for end in ends if end > now), default=None)

    def _begins(self, day: datetime) -> float | None:
        if tuple(Day)[day.weekday()] not in self.days:
            return None
        return datetime.combine(day.date(), time.fromisoformat(self.start), day.tzinfo).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezePeriod(Record):
    """A freeze that occurs once.

    :param start: ISO date and time with offset, ``2026-12-23T16:00+01:00``; so is ``end``.
    """

    start: str
    end: str

    def __post_init__(self) -> None:
        """Refuse times that are not ISO with offset, and an end before the start."""
        for name in ("start", "end"):
            _moment(name, getattr(self, name))
        if _moment("end", self.end) <= _moment("start", self.start):
            msg = f"rollout.freeze.end: {self.end}, allowed: after start ({self.start})"
            raise InvalidPlanError(msg)

    def ends(self, now: float) -> float | None:
        """Return the end of the period (epoch seconds) if it is in force at ``now``."""
        end = _moment("end", self.end)
        return end if _moment("start", self.start) <= now < end else None


Freeze = WeeklyFreeze | FreezePeriod


def frozen_until(freezes: tuple[Freeze, ...], now: float) -> float | None:
    """Return the latest end of the freezes in force at ``now``, ``None`` if there is none."""
    return max((end for freeze in freezes if (end := freeze.ends(now)) is not None), default=None)


def in_words(moment: float) -> str:
    """Return epoch seconds as a readable date and time in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _moment(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"rollout.freeze.{name}: {text!r}, allowed: ISO date and time"
        raise InvalidPlanError(msg) from error
    if moment.tzinfo is None:
        msg = f"rollout.freeze.{name}: {text!r} has no offset; write +00:00 for UTC"
        raise InvalidPlanError(msg)
    return moment.timestamp()
