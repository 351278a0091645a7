from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.expectations.types import TYPE_NAMES
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.schema.infer import InferenceOptions, infer_schema
from airflow_mlops.core.verdict import Outcome, Severity

ROWS = 3000
START = dt.datetime.fromisoformat("2013-01-01")


def rules_of(values, *, name="x", **options):
    profile = profile_table(pa.table({name: values}))
    rules = infer_schema(profile, "s", options=InferenceOptions(**options)).expectations
    return {rule.type: rule for rule in rules}


def test_every_inferred_rule_says_why_and_is_met():
    table = pa.table(
        {
            "whole": range(ROWS),
            "number": [None, 0.5, -2.5] * 1000,
            "text": [f"k{i}" for i in range(ROWS)],
            "word": ["a", "b", None] * 1000,
            "flag": [0, 1, 1] * 1000,
            "truth": [True, False, None] * 1000,
            "moment": [START + dt.timedelta(hours=i % 24) for i in range(ROWS)],
            "zoned": pa.array([START] * ROWS, pa.timestamp("us", "UTC")),
            "day": [dt.date(2013, 1, 1 + i % 28) for i in range(ROWS)],
            "money": [decimal.Decimal("1.50")] * ROWS,
            "nothing": pa.nulls(ROWS),
            "list": [[1]] * ROWS,
            "infinite": [float("inf")] * ROWS,
        }
    )
    profile = profile_table(table)
    schema = infer_schema(profile, "s")
    assert all(rule.meta["why"] for rule in schema.expectations)
    found = [evaluate_rule(rule, profile) for rule in schema.expectations]
    assert {finding.outcome for finding in found if finding} == {Outcome.PASS}
    unanswered = {rule.type for rule, finding in zip(schema.expectations, found, strict=True) if not finding}
    assert unanswered <= {"expect_column_values_to_be_unique"}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pa.array([1, 2]), TYPE_NAMES[Kind.INTEGER]),
        (pa.array([1.5]), TYPE_NAMES[Kind.NUMBER]),
        (pa.array(["a"]), ["str"]),
        (pa.array([True]), ["bool"]),
        (pa.array([dt.date(2013, 1, 1)]), ["date"]),
        (pa.array([decimal.Decimal("1.5")]), ["Decimal"]),
        (pa.array([START]), TYPE_NAMES[Kind.DATETIME]),
    ],
)
def test_type_is_told_by_the_names_that_great_expectations_knows(values, names):
    assert rules_of(values)["expect_column_values_to_be_in_type_list"].kwargs["type_list"] == names


def test_null_in_whole_numbers_is_no_change_of_type():
    rule = rules_of(pa.array([1, 2, 3]))["expect_column_values_to_be_in_type_list"]
    with_null, as_float = pa.array([1, None, 3]), pa.array([1.0, 2.0, 3.0])
    assert evaluate_rule(rule, profile_table(pa.table({"x": with_null}))).outcome is Outcome.PASS
    assert evaluate_rule(rule, profile_table(pa.table({"x": as_float}))).outcome is Outcome.FAIL


def test_moments_have_limits_in_the_form_of_the_column():
    limits = {}
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.date32()):
        rule = rules_of(pa.array([START]).cast(kind), days_slack=1)
        limits[str(kind)] = rule["expect_column_values_to_be_between"].kwargs["min_value"]
    assert limits == {
        "timestamp[us]": "2012-12-31T00:00:00",
        "timestamp[us, tz=UTC]": "2012-12-31T00:00:00+00:00",
        "date32[day]": "2012-12-31",
    }


def test_many_texts_have_lengths_and_few_a_domain():
    many = rules_of([f"k{i:04}" for i in range(ROWS)])
    assert many["expect_column_value_lengths_to_be_between"].kwargs == {
        "column": "x",
        "min_value": 2,
        "max_value": 10,
    }
    assert "expect_column_values_to_be_in_set" not in many
    few = rules_of(["a", "b"] * 50)
    assert few["expect_column_values_to_be_in_set"].kwargs["value_set"] == ["a", "b"]
    assert "expect_column_value_lengths_to_be_between" not in few
    assert "expect_column_values_to_be_in_set" not in rules_of(["a", "b"] * 50, largest_domain=1)


def test_flag_is_a_set_of_two_and_other_numbers_have_a_range():
    assert rules_of([0, 1] * 50)["expect_column_values_to_be_in_set"].kwargs["value_set"] == [0, 1]
    assert rules_of([0, 1, 2] * 50)["expect_column_values_to_be_between"].kwargs["max_value"] == 3.0


def test_distinct_values_are_proposed_as_unique_and_repeated_ones_are_not():
    keys = rules_of([f"k{i}" for i in range(500)])["expect_column_values_to_be_unique"]
    assert keys.severity is Severity.CRITICAL
    assert keys.meta["why"] == "all 500 values differ in the reference"
    repeated = [f"k{i % 499}" for i in range(500)]
    assert "expect_column_values_to_be_unique" not in rules_of(repeated)
    assert "expect_column_values_to_be_unique" not in rules_of([float(i) for i in range(500)])
    assert "expect_column_values_to_be_unique" not in rules_of([f"k{i}" for i in range(99)])


def test_estimated_uniqueness_says_so_and_only_warns():
    rule = rules_of(np.random.default_rng(0).permutation(50_000) * 7)["expect_column_values_to_be_unique"]
    assert rule.severity is Severity.WARNING
    assert "about " in rule.meta["why"]
    assert "estimated within 2.3%" in rule.meta["why"]
    assert rule.meta["estimated"] is True


def test_label_is_asked_for_in_training_only():
    profile = profile_table(pa.table({"x": [1.0], "late": [1]}))
    schema = infer_schema(profile, "s", labels=["late"])
    serving = {rule.subject for rule in schema.expectations if rule.applies_to("serving")}
    assert serving == {"table", "x"}
    assert {rule.subject for rule in schema.expectations if rule.applies_to("training")} == {
        "table",
        "x",
        "late",
    }
