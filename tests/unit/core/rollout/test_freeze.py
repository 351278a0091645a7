from __future__ import annotations

from datetime import datetime

import pytest

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.rollout.freeze import Day, FreezePeriod, WeeklyFreeze, frozen_until, in_words

FRIDAY_EVENING = WeeklyFreeze(days=(Day.FRI,), start="16:00", hours=64, timezone="Europe/Zurich")
HOLIDAYS = FreezePeriod(start="2026-12-23T16:00+01:00", end="2027-01-04T08:00+01:00")


def at(text):
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-11-20T15:59+01:00", None),
        ("2026-11-20T16:00+01:00", "2026-11-23T08:00+01:00"),
        ("2026-11-22T23:00+01:00", "2026-11-23T08:00+01:00"),
        ("2026-11-23T08:00+01:00", None),
        ("2026-07-03T14:30+00:00", "2026-07-06T08:00+02:00"),  # summer time
    ],
)
def test_weekly_freeze_holds_from_its_day_for_its_hours(moment, end):
    assert FRIDAY_EVENING.ends(at(moment)) == (at(end) if end else None)


def test_period_holds_between_its_ends():
    assert HOLIDAYS.ends(at("2026-12-23T15:59+01:00")) is None
    assert HOLIDAYS.ends(at("2026-12-31T23:59+01:00")) == at("2027-01-04T08:00+01:00")
    assert HOLIDAYS.ends(at("2027-01-04T08:00+01:00")) is None


def test_of_several_freezes_the_last_to_end_counts():
    both = (FRIDAY_EVENING, HOLIDAYS)
    assert frozen_until(both, at("2026-12-25T20:00+01:00")) == at("2027-01-04T08:00+01:00")
    assert frozen_until(both, at("2026-11-18T12:00+01:00")) is None
    assert in_words(at("2027-01-04T08:00+01:00")) == "2027-01-04 07:00 UTC"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: WeeklyFreeze(days=()), "freeze.days: empty"),
        (lambda: WeeklyFreeze(days=(Day.FRI,), hours=0), "freeze.hours: 0"),
        (lambda: WeeklyFreeze(days=(Day.FRI,), hours=169), "freeze.hours: 169"),
        (lambda: WeeklyFreeze(days=(Day.FRI,), start="25:00"), "freeze.start: '25:00'"),
        (lambda: WeeklyFreeze(days=(Day.FRI,), timezone="Zurich"), "freeze.timezone: 'Zurich'"),
        (lambda: FreezePeriod(start="soon", end="2027-01-01T00:00+00:00"), "freeze.start: 'soon'"),
        (lambda: FreezePeriod(start="2026-01-01T00:00", end="2027-01-01T00:00+00:00"), "has no offset"),
        (lambda: FreezePeriod(start=HOLIDAYS.end, end=HOLIDAYS.start), "allowed: after start"),
    ],
)
def test_freeze_that_cannot_be_told_is_refused_by_name(wrong, named):
    with pytest.raises(InvalidPlanError, match=named):
        wrong()
