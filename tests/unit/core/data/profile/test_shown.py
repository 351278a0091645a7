from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.shown import shown_value


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (0.0, Kind.DATETIME, "1970-01-01"),
        (1356998400.0, Kind.DATETIME, "2013-01-01"),
        (1356998401.5, Kind.DATETIME, "2013-01-01 00:00:01.500000"),
        (-86400.0, Kind.DATETIME, "1969-12-31"),
        (1e15, Kind.DATETIME, "1e+15 seconds since 1970"),
        (1234567.0, Kind.INTEGER, "1234567"),
        (2.0**60, Kind.INTEGER, "1.15292e+18"),
        (0.1, Kind.NUMBER, "0.1"),
        (-0.0, Kind.NUMBER, "0"),
    ],
)
def test_value_is_shown_as_people_read_it(value, kind, said):
    assert shown_value(value, kind) == said


def test_more_values_are_never_distinct_than_there_are():
    for rows in (3000, 20_000):
        column = profile_table(pa.table({"k": [f"{i}" for i in range(rows)]})).column("k")
        assert column.distinct <= rows


def test_datetimes_of_any_type_are_shown_alike():
    moment = dt.datetime(2013, 1, 1)  # noqa: DTZ001 - naive ones
    table = pa.table({u: pa.array([moment], pa.timestamp(u)) for u in ("s", "ms", "us", "ns")})
    table = table.append_column("day", pa.array([moment.date()]))
    columns = profile_table(table).columns
    assert {shown_value(column.minimum, column.kind) for column in columns} == {"2013-01-01"}
