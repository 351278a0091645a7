"""Rules on rows in which Great Expectations' own arithmetic or JSON would give a wrong answer in silence."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from airflow_mlops.backends.rules.great_expectations import evaluate_rows
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.verdict import Outcome

DAYS = [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
COLUMNS = {"dates": pd.Series(DAYS * 3), "times": pd.to_datetime(pd.Series(DAYS * 3))}


@pytest.mark.parametrize("column", list(COLUMNS))
@pytest.mark.parametrize(
    ("days", "is_there"), [(["2024-01-01", "2024-01-02"], True), (["2024-02-01"], False)]
)
def test_sets_of_dates_mean_dates(column, days, is_there):
    frame = pd.DataFrame({"d": COLUMNS[column]})
    kwargs = {"column": "d", "value_set": days}
    allowed, forbidden, distinct = (
        Rule(type=f"expect_column_{name}", kwargs=kwargs)
        for name in ("values_to_be_in_set", "values_to_not_be_in_set", "distinct_values_to_equal_set")
    )
    found = [
        finding.outcome is Outcome.PASS for finding in evaluate_rows([allowed, forbidden, distinct], frame)
    ]
    assert found == [is_there, not is_there, is_there]


@pytest.mark.parametrize("value", [1_700_000_000_000_000_000, -1_700_000_000_000_000_000])
def test_sum_of_integers_beyond_64_bits_is_the_sum(value):
    frame = pd.DataFrame({"ns": [value] * 12, "few": range(12)})
    wide = {"min_value": 12 * abs(value) * 0.99, "max_value": 12 * abs(value) * 1.01}
    if value < 0:
        wide = {"min_value": -wide["max_value"], "max_value": -wide["min_value"]}
    rules = [
        Rule(type="expect_column_sum_to_be_between", kwargs={"column": "ns", **wide}),
        Rule(
            type="expect_column_sum_to_be_between",
            kwargs={"column": "ns", "min_value": -1e19, "max_value": 1e19},
        ),
        Rule(
            type="expect_column_sum_to_be_between", kwargs={"column": "few", "min_value": 66, "max_value": 66}
        ),
    ]
    assert [f.outcome is Outcome.PASS for f in evaluate_rows(rules, frame)] == [True, False, True]
