"""A rule that the profile does not determine is left to the rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.profile.profile import Profile
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.verdict import Outcome

START = dt.datetime.fromisoformat("2013-01-01")
TABLE = pa.table(
    {
        "number": [1.0, 2.0, None, 4.0],
        "infinite": [1.0, float("-inf"), 2.0, 3.0],
        "single": pa.array([0.1, 0.2, 0.3, 0.4], pa.float32()),
        "huge": [2**62, 1, 2, 3],
        "large": [1e300, 1e300, -1e300, 0.0],
        "text": ["a", "b", "a", None],
        "truth": [True, False, None, True],
        "moment": [START, START, START, None],
        "nano": pa.array([1356998400123456789] * 4, pa.timestamp("ns")),
        "zoned": pa.array([START] * 4, pa.timestamp("us", "UTC")),
        "day": [dt.date(2013, 1, 1), None, None, None],
        "nothing": pa.nulls(4),
    }
)
BETWEEN, MAX = "expect_column_values_to_be_between", "expect_column_max_to_be_between"
TYPES, SET = "expect_column_values_to_be_in_type_list", "expect_column_values_to_be_in_set"
MOMENT = "2013-01-01T00:00:00"


def asked(kind, column=None, **kwargs):
    known = {} if column is None else {"column": column}
    return evaluate_rule(Rule(type=kind, kwargs=known | kwargs), profile_table(TABLE))


@pytest.mark.parametrize(
    ("kind", "column", "kwargs"),
    [
        ("expect_column_to_exist", "number", {"column_index": "1"}),
        ("expect_table_row_count_to_be_between", None, {"min_value": 1.5}),
        ("expect_table_row_count_to_be_between", None, {"min_value": 5, "max_value": 1}),
        ("expect_table_row_count_to_equal", None, {"value": 4.0}),
        ("expect_table_column_count_to_be_between", None, {"min_value": "2013-01-01"}),
        ("expect_table_column_count_to_equal", None, {"value": True}),
        ("expect_table_columns_to_match_set", None, {"column_set": "number"}),
        ("expect_table_columns_to_match_set", None, {"column_set": ["number"], "exact_match": "no"}),
        ("expect_table_columns_to_match_ordered_list", None, {"column_list": [1]}),
        ("expect_table_columns_to_match_ordered_list", None, {"column_list": None}),
        (BETWEEN, "number", {}),
        (BETWEEN, "number", {"min_value": 3, "max_value": 1}),
        (BETWEEN, "number", {"min_value": True}),
        (BETWEEN, "number", {"min_value": float("inf")}),
        (BETWEEN, "number", {"min_value": 0, "strict_min": "yes"}),
        (BETWEEN, "number", {"min_value": 0, "mostly": 2}),
        (BETWEEN, "number", {"min_value": 0, "row_condition": "text == 'a'"}),
        (BETWEEN, "number", {"min_value": {"$PARAMETER": "low"}}),
        (BETWEEN, "infinite", {"min_value": 0}),
        (BETWEEN, "huge", {"min_value": 0}),
        (BETWEEN, "nothing", {"min_value": 0}),
        (BETWEEN, "moment", {"min_value": "2013-02-31T00:00:00"}),
        (BETWEEN, "moment", {"min_value": "2150-01-01T00:00:00"}),
        (BETWEEN, "moment", {"min_value": MOMENT, "max_value": "2012-01-01T00:00:00"}),
        (BETWEEN, "nano", {"min_value": "2013-01-01T00:00:00.123456"}),
        (MAX, "day", {"min_value": "2013-01-01"}),
        (MAX, "infinite", {"min_value": 0}),
        (MAX, "single", {"min_value": 0}),
        (MAX, "text", {"min_value": 0}),
        (MAX, "moment", {}),
        ("expect_column_mean_to_be_between", "number", {"min_value": "a"}),
        ("expect_column_mean_to_be_between", "number", {"min_value": 7 / 3}),
        ("expect_column_sum_to_be_between", "number", {"max_value": 7}),
        ("expect_column_sum_to_be_between", "large", {"max_value": 7}),
        ("expect_column_sum_to_be_between", "truth", {"max_value": 7}),
        ("expect_column_stdev_to_be_between", "large", {"max_value": 7}),
        ("expect_column_stdev_to_be_between", "nothing", {"max_value": 7}),
        ("expect_column_proportion_of_non_null_values_to_be_between", "number", {"min_value": "a"}),
        ("expect_column_value_lengths_to_be_between", "number", {"min_value": 1}),
        ("expect_column_value_lengths_to_be_between", "text", {"min_value": 1.5}),
        ("expect_column_value_lengths_to_be_between", "text", {}),
        ("expect_column_value_lengths_to_equal", "text", {"value": "1"}),
        (SET, "text", {"value_set": ["a", 1]}),
        (SET, "truth", {"value_set": [1, 0]}),
        (SET, "number", {"value_set": [1.0]}),
        ("expect_column_values_to_not_be_in_set", "number", {"value_set": [1.0]}),
        ("expect_column_distinct_values_to_be_in_set", "text", {"value_set": []}),
        ("expect_column_distinct_values_to_contain_set", "number", {"value_set": [1.0]}),
        ("expect_column_distinct_values_to_equal_set", "number", {"value_set": [1.0]}),
        ("expect_column_most_common_value_to_be_in_set", "text", {"value_set": ["a"], "ties_okay": "no"}),
        ("expect_column_values_to_be_unique", "number", {}),
        ("expect_column_unique_value_count_to_be_between", "number", {"min_value": 1}),
        ("expect_column_proportion_of_unique_values_to_be_between", "number", {"min_value": 1}),
        (TYPES, "number", {"type_list": ["float64", "my_type"]}),
        (TYPES, "number", {"type_list": []}),
        (TYPES, "nothing", {"type_list": ["str"]}),
        ("expect_column_values_to_be_of_type", "number", {"type_": "my_type"}),
        ("expect_column_median_to_be_between", "number", {"min_value": 0}),
    ],
)
def test_what_the_profile_cannot_say_for_sure_is_left_to_the_rows(kind, column, kwargs):
    assert asked(kind, column, **kwargs) is None


def test_arguments_that_exported_suites_carry_without_a_meaning_change_nothing():
    idle = {"row_condition": None, "condition_parser": "pandas", "catch_exceptions": True, "batch_id": None}
    assert asked("expect_column_to_exist", "number", **idle).outcome is Outcome.PASS


def test_column_that_is_absent_fails_and_names_those_there_are():
    found = asked(BETWEEN, "nowhere", min_value=0)
    assert found.outcome is Outcome.FAIL
    assert found.reason.startswith("nowhere: no such column; columns: number, infinite, ")


@pytest.mark.parametrize(
    ("values", "wanted", "share"),
    [
        ([1, 2, 4], [2, 4], "33.3 % of values outside the set (1)"),
        ([1, 2, 4, None], [2, 4], "33.3 % of values outside the set (1)"),
        ([1, 1, 2, 4, 4, 4], [1, 4], "16.7 % of values outside the set (2)"),
        (["a", "b", None, None], ["a"], "50 % of values outside the set (b)"),
        ([True, False, None], [True], "50 % of values outside the set (False)"),
    ],
)
def test_share_outside_a_set_is_of_the_values_that_are_there(values, wanted, share):
    rule = Rule(type=SET, kwargs={"column": "x", "value_set": wanted})
    found = evaluate_rule(rule, profile_table(pa.table({"x": values})))
    assert found.reason == f"x: {share}, allowed 0 %"


def test_share_that_a_profile_only_bounds_is_said_to_be_a_bound():
    numbers = [*[*range(20)] * 100, *range(1000, 8000, 7)]
    rule = Rule(type=SET, kwargs={"column": "x", "value_set": [*range(1, 20), 1000]})
    found = evaluate_rule(rule, profile_table(pa.table({"x": numbers})))
    assert found.reason == "x: at least 3.33 % of values outside the set (0), allowed 0 %"


def test_extremes_of_datetimes_are_said_as_dates():
    found = asked(MAX, "moment", max_value="2012-01-01T00:00:00")
    assert found.reason == "moment: maximum 2013-01-01, allowed anything to 2012-01-01T00:00:00"


def test_many_rows_do_not_all_differ_when_there_are_fewer_whole_numbers_than_rows():
    crowded = profile_table(pa.table({"x": [i % 5000 for i in range(6000)]}))
    found = evaluate_rule(Rule(type="expect_column_values_to_be_unique", kwargs={"column": "x"}), crowded)
    assert found.outcome is Outcome.FAIL


@pytest.mark.parametrize(("distinct", "outcome"), [(4000, Outcome.PASS), (3999, Outcome.FAIL)])
def test_number_of_distinct_values_that_an_engine_counted_decides(distinct, outcome):
    known = profile_table(pa.table({"x": [f"k{i}" for i in range(4000)]}))
    counted = Profile(rows=4000, columns=(replace(known.columns[0], exact_distinct=distinct),))
    found = evaluate_rule(Rule(type="expect_column_values_to_be_unique", kwargs={"column": "x"}), counted)
    assert found.outcome is outcome
    kwargs = {"column": "x", "min_value": 4000}
    found = evaluate_rule(Rule(type="expect_column_unique_value_count_to_be_between", kwargs=kwargs), counted)
    assert found.outcome is outcome


def test_moments_beyond_what_text_can_say_have_no_range():
    last = pa.table({"x": pa.array([dt.datetime.fromisoformat("9999-12-31")], pa.timestamp("us"))})
    rules = infer_schema(profile_table(last), "s").expectations
    assert BETWEEN not in {rule.type for rule in rules}
    assert (
        evaluate_rule(
            Rule(type=BETWEEN, kwargs={"column": "x", "max_value": MOMENT}), profile_table(last)
        ).outcome
        is Outcome.FAIL
    )


@pytest.mark.parametrize(
    ("column", "limit", "reason"),
    [
        ("day", MOMENT, f"day: date values, allowed {MOMENT} to anything, which are timestamps"),
        ("moment", "2013-01-01", "moment: timestamp values, allowed 2013-01-01 to anything, which are dates"),
        (
            "day",
            f"{MOMENT}+01:00",
            f"day: date values, allowed {MOMENT}+01:00 to anything, which are timestamps with a time zone",
        ),
        ("moment", 5, "moment: timestamp values have no range, allowed 5 to anything"),
        (
            "zoned",
            MOMENT,
            f"zoned: timestamp values with a time zone, allowed {MOMENT} to anything, which are timestamps",
        ),
        ("number", "2013-01-01", "number: number values, allowed 2013-01-01 to anything, which are dates"),
        ("text", "2013-01-01", "text: string values, allowed 2013-01-01 to anything, which are dates"),
    ],
)
def test_limit_of_another_kind_than_the_values_fails_by_name_not_by_a_comparison_that_crashes(
    column, limit, reason
):
    found = asked(BETWEEN, column, min_value=limit)
    assert found.outcome is Outcome.FAIL
    assert found.reason.startswith(reason)


def test_type_rule_names_what_kind_of_moments_it_found_and_allows():
    found = asked(TYPES, "day", type_list=[f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")])
    assert found.reason == "day: date (date32[day]), allowed timestamp"
    found = asked(TYPES, "moment", type_list=["date"])
    assert found.reason == "moment: timestamp (timestamp[us]), allowed date"
    found = asked("expect_column_values_to_be_of_type", "moment", type_="Timestamp")
    assert found.reason == "moment: timestamp (timestamp[us]), allowed timestamp with a time zone"


def test_long_set_is_shortened_in_a_finding_and_whole_in_the_rule():
    rule = Rule(type=SET, kwargs={"column": "text", "value_set": [f"v{i}" for i in range(40)]})
    assert evaluate_rule(rule, profile_table(TABLE)).allowed == "value_set [v0, v1, v2, v3, v4 and 35 more]"
    assert len(rule.kwargs["value_set"]) == 40
