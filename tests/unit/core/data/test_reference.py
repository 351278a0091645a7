from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.reference import Reference, add_up, choose, shortfall
from airflow_mlops.core.errors import InvalidConfigError

DAYS = [f"2013-02-{day:02}" for day in range(1, 29)]
MONTHS = [f"2013-{month:02}" for month in range(1, 13)]
WEEKS = [f"2013-W{week:02}" for week in range(1, 53)]
HOURS = [f"2013-02-{day:02}T{hour:02}" for day in range(1, 29) for hour in range(24)]


def last(count, **more):
    return Reference(rule="last", count=count, **more)


def weekday(count):
    return Reference(rule="same_weekday", count=count)


@pytest.mark.parametrize(
    ("partitions", "current", "reference", "chosen"),
    [
        pytest.param(MONTHS, "2013-04", last(2), ("2013-02", "2013-03"), id="months"),
        pytest.param(MONTHS, "2013-02", last(3), ("2013-01",), id="fewer than asked"),
        pytest.param(MONTHS, "2013-01", last(3), (), id="nothing before"),
        pytest.param(MONTHS, "2014-01", last(1), ("2013-12",), id="never the window, nor after it"),
        pytest.param(MONTHS, "", last(2), ("2013-11", "2013-12"), id="window without a key"),
        pytest.param(WEEKS, "2013-W10", last(2), ("2013-W08", "2013-W09"), id="ISO weeks"),
        pytest.param(["b", "a", "c"], "c", last(9), ("a", "b"), id="any key"),
        pytest.param(DAYS, "2013-02-25", weekday(2), ("2013-02-11", "2013-02-18"), id="Mondays"),
        pytest.param(
            [day.replace("-", "") for day in DAYS], "20130225", weekday(1), ("20130218",), id="compact dates"
        ),
        pytest.param(
            HOURS, "2013-02-25T05", weekday(2), ("2013-02-11T05", "2013-02-18T05"), id="same hour too"
        ),
        pytest.param([*DAYS, "all", "2013-02"], "2013-02-11", weekday(9), ("2013-02-04",), id="other keys"),
        pytest.param(
            MONTHS[:1],
            "2013-05",
            Reference(rule="partitions", partitions=("2013-03", "2013-02")),
            ("2013-02", "2013-03"),
            id="the named ones, profiled or not",
        ),
        pytest.param(["2013-02", "2013-01"], "2013-02", Reference(), ("2013-01", "2013-02"), id="training"),
    ],
)
def test_partitions_are_chosen_by_the_rule(partitions, current, reference, chosen):
    assert choose(partitions, current, reference) == chosen


@pytest.mark.parametrize(
    ("reference", "chosen"),
    [
        (last(2), ("2013-01", "2013-03")),
        (Reference(), ("2013-01", "2013-03", "2013-04")),
        (Reference(rule="partitions", partitions=("2013-02", "2013-03")), ("2013-03",)),
    ],
)
def test_partition_that_broke_its_schema_is_left_out_of_every_rule(reference, chosen):
    assert choose(MONTHS[:4], "2013-04", reference, broken={"2013-02"}) == chosen


def test_rows_of_no_partition_are_no_earlier_partition():
    assert choose(["__HIVE_DEFAULT_PARTITION__", "alpha"], "beta", last(1)) == ("alpha",)
    assert choose(["__HIVE_DEFAULT_PARTITION__"], "", last(1)) == ()


def test_too_few_partitions_are_told_with_what_is_there():
    assert shortfall(last(4, at_least=2), ("2013-01", "2013-02")) == ""
    said = shortfall(last(4, at_least=2), ("2013-01",))
    assert said == "reference last: usable partitions: 2013-01; needed: 2 or more"
    assert "usable partitions: none" in shortfall(Reference(), ())


@pytest.mark.parametrize("current", ["2013-02", "2013-W05", "20131", "2013-02-31", ""])
def test_weekday_of_a_key_that_is_not_a_date_is_refused(current):
    with pytest.raises(InvalidConfigError, match=f"partition '{current}' is not a date.*2013-01-31"):
        choose(MONTHS, current, weekday(2))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rule": "same_weekdy"}, "'same_weekdy'; one of: training, .*; did you mean 'same_weekday'"),
        ({"rule": "xyz"}, "'xyz'; one of: training, last, same_weekday, partitions$"),
        ({"rule": "last", "count": 0}, "count 0.*1 or more"),
        ({"rule": "last", "at_least": 0}, "at_least 0.*1 or more"),
        ({"rule": "partitions"}, "one or more keys with rule partitions"),
        ({"rule": "last", "partitions": ("a",)}, "none with the others"),
    ],
)
def test_rule_that_cannot_be_followed_is_refused(fields, named):
    with pytest.raises(InvalidConfigError, match=named):
        Reference(**fields)
    with pytest.raises(InvalidConfigError, match=named):
        Reference.from_json(fields)


def test_choice_travels_as_json():
    reference = Reference(rule="partitions", partitions=("2013-01",), at_least=1)
    assert Reference.from_json(reference.to_json()) == reference


def test_column_that_differs_between_partitions_is_left_out_and_noted():
    parts = {"a": ["x"], "b": [1], "c": [2]}
    profiles = [
        replace(profile_table(pa.table({"day": values, "y": [1.0]})), partitions=(key,))
        for key, values in parts.items()
    ]
    merged = add_up(profiles)
    assert merged.names == ("y",)
    assert merged.notes == ("day: string in a; integer in b, c: left out of the reference",)
