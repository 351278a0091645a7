"""What a profile cannot answer is run by Great Expectations, on the columns that it needs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.backends.profiling.files import dataset
from airflow_mlops.backends.profiling.files.arrow import profile_table, profile_window
from airflow_mlops.backends.profiling.files.dataset import describe_window, read_window
from airflow_mlops.backends.rules.great_expectations import (
    as_frame,
    check_schema,
    evaluate_rows,
    needed_columns,
)
from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Outcome, Severity

REGEX = "expect_column_values_to_match_regex"


@pytest.fixture
def flights(tmp_path):
    table = pa.table({"origin": ["JFK", "LGA", "EWR"] * 10, "distance": range(30)})
    pq.write_table(table, tmp_path / "2013-01.parquet")
    return describe_window(str(tmp_path), ["2013-01"])


def test_rules_a_profile_cannot_answer_are_run_on_the_rows_in_one_report(flights):
    profile = profile_window(flights)
    known = infer_schema(profile, "flights").expectations
    regex = {"column": "origin", "regex": "^J"}
    pair = {"column_A": "distance", "column_B": "distance"}
    asked = (
        Rule(type="expect_column_values_to_match_regex", kwargs=regex),
        Rule(type="expect_column_pair_values_to_be_equal", kwargs=pair),
    )
    verdict = check_schema(Schema(name="s", expectations=(*known, *asked)), profile, flights, "training")
    assert verdict.outcome is Outcome.FAIL
    assert [f.check for f in verdict.findings if f.outcome is Outcome.FAIL] == [asked[0].type]
    assert len(verdict.findings) == len(known) + 2


def test_rule_that_cannot_be_measured_is_an_error_never_a_pass(flights):
    asked = Rule(type="expect_column_values_to_match_regex", kwargs={"column": "nowhere", "regex": "x"})
    verdict = check_schema(
        Schema(name="s", expectations=(asked,)), profile_window(flights), flights, "training"
    )
    assert verdict.outcome is Outcome.ERROR
    assert "nowhere" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("rule", "columns"),
    [
        (Rule(type=REGEX, kwargs={"column": "x"}), {"x"}),
        (
            Rule(type="expect_column_pair_values_to_be_equal", kwargs={"column_A": "x", "column_B": "y"}),
            {"x", "y"},
        ),
        (Rule(type="expect_compound_columns_to_be_unique", kwargs={"column_list": ["x", "z"]}), {"x", "z"}),
        (Rule(type=REGEX, kwargs={"column": "x", "row_condition": "y > 1"}), None),
        (Rule(type="unexpected_rows_expectation", kwargs={"unexpected_rows_query": "SELECT 1"}), None),
        (Rule(type="expect_table_columns_to_match_set", kwargs={"column_set": ["x"]}), None),
        (Rule(type="expect_my_own", kwargs={"column": "x"}), None),
    ],
)
def test_rule_needs_its_own_columns_or_all_where_that_is_not_known(rule, columns):
    assert needed_columns([rule]) == columns


def test_only_needed_columns_are_read(flights, monkeypatch):
    read = []

    def reading(window, columns=None, filesystem=None):
        read.append(columns)
        return read_window(window, columns)

    monkeypatch.setattr(dataset, "read_window", reading)
    asked = (Rule(type=REGEX, kwargs={"column": "origin", "regex": "^[A-Z]+$"}),)
    verdict = check_schema(Schema(name="s", expectations=asked), profile_window(flights), flights, "training")
    assert verdict.outcome is Outcome.PASS
    assert read == [["origin"]]


def test_shares_are_those_of_great_expectations_in_one_unit():
    table = pa.table({"n": [1, 2, 4, None], "t": ["a", None, "c", "c"]})
    rules = [
        Rule(type="expect_column_values_to_be_in_set", kwargs={"column": "n", "value_set": [2, 4]}),
        Rule(type="expect_column_values_to_not_be_in_set", kwargs={"column": "t", "value_set": ["c"]}),
        Rule(type="expect_column_values_to_not_be_null", kwargs={"column": "t"}),
        Rule(type="expect_column_values_to_be_null", kwargs={"column": "t"}),
    ]
    profile = profile_table(table)
    for rule, theirs in zip(rules, evaluate_rows(rules, as_frame(table)), strict=True):
        found = evaluate_rule(rule, profile).observed
        share = 1 - found if rule.type.endswith("values_to_be_null") else found
        assert theirs.observed == f"{100 * share:.3g} % of values unexpected"
        assert f"observed {theirs.observed}, allowed" in theirs.reason


def test_condition_on_another_column_is_run_on_the_rows(flights):
    kwargs = {
        "column": "origin",
        "row_condition": "distance < 1",
        "condition_parser": "pandas",
        "value_set": ["JFK"],
    }
    asked = (Rule(type="expect_column_values_to_be_in_set", kwargs=kwargs),)
    verdict = check_schema(Schema(name="s", expectations=asked), profile_window(flights), flights, "training")
    assert verdict.outcome is Outcome.PASS


def test_severity_of_a_failed_rule_decides_the_outcome_on_the_rows_too(flights):
    def outcome(severity):
        rule = Rule(type=REGEX, kwargs={"column": "origin", "regex": "^X"}, severity=severity)
        return evaluate_rows([rule], as_frame(read_window(flights)))[0].outcome

    assert [outcome(s) for s in Severity] == [Outcome.PASS, Outcome.WARN, Outcome.FAIL]


def test_rules_that_ask_the_same_are_each_answered(flights):
    rules = [
        Rule(type=REGEX, kwargs={"column": "origin", "regex": "^X", **m}) for m in ({}, {"mostly": 1}, {})
    ]
    assert [f.outcome for f in evaluate_rows(rules, as_frame(read_window(flights)))] == [Outcome.FAIL] * 3


def test_nothing_is_left_in_the_temporary_folder(flights, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    evaluate_rows(
        [Rule(type=REGEX, kwargs={"column": "origin", "regex": "^X"})], as_frame(read_window(flights))
    )
    assert list(Path(folder).iterdir()) == []


def test_environment_with_a_typo_is_refused(flights):
    schema = infer_schema(profile_window(flights), "flights")
    with pytest.raises(InvalidConfigError, match="environment 'trainng'; one of: training, serving"):
        check_schema(schema, profile_window(flights), flights, "trainng")


def test_rows_are_as_stored_whatever_pandas_noted_beside_them():
    noted = pd.DataFrame({"x": pd.array([1, None], "Int64"), "c": ["a", "b"]}, index=[7, 8])
    frame = as_frame(pa.Table.from_pandas(noted.astype({"c": "category"})))
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "x": "float64",
        "c": "object",
        "__index_level_0__": "int64",
    }
    assert str(as_frame(pa.table({"x": [1, None]}), nullable=["x"])["x"].dtype) == "Int64"
