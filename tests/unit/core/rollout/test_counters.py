from __future__ import annotations

from dataclasses import replace

import pytest
from builders import reading

from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.rollout.counters import ReadingStatus, delta_since, retire
from airflow_mlops.core.rollout.evidence.prediction import BinCounts
from airflow_mlops.core.rollout.evidence.share import ArmCounts

LAST = reading(100, 5, 900, 9)


def counts(fresh):
    seen = fresh.errors
    return seen.canary_requests, seen.canary_errors, seen.stable_requests, seen.stable_errors


@pytest.mark.parametrize(
    ("last", "new", "arrival", "added"),
    [
        (LAST, reading(110, 6, 990, 9), ReadingStatus.APPLIED, (10, 1, 90, 0)),
        (LAST, LAST, ReadingStatus.EMPTY, (0, 0, 0, 0)),
        (LAST, reading(5, 1, 45, 0, generation="h"), ReadingStatus.RESTARTED, (5, 1, 45, 0)),
        (LAST, replace(LAST, canary_requests=4, canary_errors=0, canary_generation="2", stable_requests=910),
         ReadingStatus.RESTARTED, (4, 0, 10, 0)),
        (replace(LAST, sequence=4), reading(110, 5, 900, 9, sequence=6), ReadingStatus.GAP, (10, 0, 0, 0)),
        (replace(LAST, sequence=4), reading(110, 5, 900, 9, sequence=5),
         ReadingStatus.APPLIED, (10, 0, 0, 0)),
        (LAST, reading(100, 6, 900, 9), ReadingStatus.APPLIED, (1, 1, 0, 0)),
    ],
    ids=["grown", "same", "all restarted", "one arm restarted", "gap", "in order", "error first"],
)  # fmt: skip
def test_what_is_new_is_counted_once(last, new, arrival, added):
    found, fresh = delta_since(last, new, ())
    assert (found, counts(fresh)) == (arrival, added)


@pytest.mark.parametrize(
    ("last", "new", "arrival"),
    [
        (LAST, reading(50, 5, 900, 9), ReadingStatus.BACKWARDS),
        (LAST, reading(200, 4, 1000, 9), ReadingStatus.BACKWARDS),
        (replace(LAST, sequence=4), reading(200, 9, 990, 9, sequence=4), ReadingStatus.REPEATED),
        (replace(LAST, sequence=4), reading(50, 1, 400, 9, sequence=2), ReadingStatus.REPEATED),
        (replace(LAST, until=60.0), reading(200, 9, 990, 9, until=60.0), ReadingStatus.REPEATED),
    ],
    ids=["requests fell", "errors fell", "same number", "older number", "same time"],
)
def test_what_is_no_measurement_adds_nothing(last, new, arrival):
    assert delta_since(last, new, ()) == (arrival, None)


def test_counters_that_are_gone_are_never_counted_again():
    restarted = reading(5, 0, 45, 0, generation="h")
    retired = retire(LAST, restarted, ())
    assert delta_since(restarted, reading(120, 5, 950, 9), retired) == (ReadingStatus.REPEATED, None)
    assert delta_since(restarted, reading(6, 0, 50, 0, generation="h"), retired)[0] is ReadingStatus.APPLIED


def test_numbers_begin_again_with_the_generation():
    before = replace(LAST, sequence=40)
    arrival, fresh = delta_since(before, reading(5, 0, 45, 0, generation="h", sequence=1), ())
    assert (arrival, counts(fresh)) == (ReadingStatus.RESTARTED, (5, 0, 45, 0))


def more(canary, slow, bins=(1, 2)):
    latency = ArmCounts(canary_requests=canary, canary_errors=slow, stable_requests=0, stable_errors=0)
    return reading(canary, 0, 0, 0, latency=latency, predictions=BinCounts(canary=bins, stable=bins))


def test_other_metrics_are_counted_from_where_they_were():
    _, fresh = delta_since(more(10, 2), more(30, 3, bins=(4, 2)), ())
    assert (fresh.latency.canary_requests, fresh.latency.canary_errors) == (20, 1)
    assert fresh.predictions == BinCounts(canary=(3, 0), stable=(3, 0))
    assert fresh.quality is None


def test_metric_that_appears_later_counts_from_zero():
    _, fresh = delta_since(reading(10), more(30, 3), ())
    assert (fresh.errors.canary_requests, fresh.latency.canary_requests) == (20, 30)


@pytest.mark.parametrize("new", [more(30, 1), more(30, 2, bins=(0, 9))], ids=["slow fell", "a bin fell"])
def test_other_metric_that_runs_backwards_spoils_the_reading(new):
    assert delta_since(more(10, 2), new, ()) == (ReadingStatus.BACKWARDS, None)


def test_bins_that_change_in_number_are_refused():
    with pytest.raises(InvalidRecordError, match="bins: 3, before: 2"):
        delta_since(more(10, 2), more(30, 3, bins=(4, 2, 1)), ())
