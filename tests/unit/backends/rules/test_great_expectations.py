"""Our answers from a profile must be Great Expectations' answers from the rows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlops.backends.profiling.arrow import profile_table, profile_window
from airflow_mlops.backends.profiling.dataset import describe_window
from airflow_mlops.backends.rules.great_expectations import (
    as_frame,
    check_schema,
    evaluate,
)
from airflow_mlops.backends.rules.suite import from_suite, to_suite
from airflow_mlops.core.data.answers import COLUMN_ANSWERS, TABLE_ANSWERS, answer
from airflow_mlops.core.data.answers_types import TYPE_NAMES
from airflow_mlops.core.data.inference import infer_schema
from airflow_mlops.core.data.schema import Rule, Schema
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.outcome import Outcome

NUMBERS = st.lists(st.one_of(st.none(), st.floats(-50, 50)), min_size=1, max_size=30)
TEXTS = st.lists(st.one_of(st.none(), st.text("abé", max_size=4)), min_size=1, max_size=30)
MOSTLY = st.sampled_from([1.0, 0.95, 0.5, 0.0])
LOW, HIGH = st.one_of(st.none(), st.integers(-60, 0)), st.one_of(st.none(), st.integers(0, 60))


@st.composite
def questions(draw):
    kind = draw(st.sampled_from(sorted([*COLUMN_ANSWERS, *TABLE_ANSWERS])))
    values = pa.array(draw(TEXTS), pa.string())
    bounds = {"min_value": draw(LOW), "max_value": draw(HIGH)}
    bounds = bounds if any(v is not None for v in bounds.values()) else {"min_value": 0}
    kwargs = {"column": "x"}
    if kind == "expect_table_row_count_to_be_between":
        low = draw(st.integers(0, 30))
        rows = {"min_value": low, "max_value": low + draw(st.integers(0, 30))}
        return Rule(type=kind, kwargs=rows), values
    if kind == "expect_column_values_to_be_between":
        return Rule(type=kind, kwargs=kwargs | bounds), pa.array(draw(NUMBERS), pa.float64())
    if kind == "expect_column_value_lengths_to_be_between":
        kwargs |= {"min_value": draw(st.integers(0, 2)), "max_value": draw(st.integers(2, 5))}
    elif kind == "expect_column_values_to_be_in_set":
        kwargs |= {
            "value_set": draw(st.lists(st.text("abé", max_size=2), max_size=8)),
            "mostly": draw(MOSTLY),
        }
    elif kind == "expect_column_values_to_not_be_null":
        kwargs |= {"mostly": draw(MOSTLY)}
    elif kind == "expect_column_values_to_be_in_type_list":
        kwargs |= {"type_list": draw(st.sampled_from([*TYPE_NAMES.values()][:4]))}
    elif kind == "expect_column_to_exist":
        kwargs = {"column": draw(st.sampled_from("xy"))}
    return Rule(type=kind, kwargs=kwargs), values


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(questions())
def test_answer_from_the_profile_is_the_answer_from_the_rows(question):
    rule, values = question
    table = pa.table({"x": values})
    ours = answer(rule, profile_table(table))
    if ours is None or (rule.type == "expect_column_values_to_be_in_type_list" and not ours.observed):
        return
    empty = values.null_count == len(values)
    if empty and rule.type == "expect_column_values_to_be_in_type_list":
        return  # a column without a value has no type to differ in; pandas guesses one
    theirs = evaluate([rule], as_frame(table))[0]
    assert ours.outcome is theirs.outcome, (rule, values.to_pylist(), ours.reason, theirs.reason)


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


def test_schema_is_a_suite_and_comes_back_without_loss(flights):
    schema = infer_schema(profile_window(flights), "flights")
    suite = to_suite(schema)
    assert [e.expectation_type for e in suite.expectations] == [r.type for r in schema.expectations]
    back = from_suite(suite)
    assert [(r.type, r.severity, r.meta) for r in back.expectations] == [
        (r.type, r.severity, r.meta) for r in schema.expectations
    ]
    for ours, theirs in zip(schema.expectations, back.expectations, strict=True):
        assert ours.kwargs.items() <= theirs.kwargs.items()


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (Rule(type="expect_columns_to_shine"), "expect_columns_to_shine"),
        (Rule(type="expect_column_values_to_match_regex", kwargs={"column": "x", "regx": "a"}), "regx"),
    ],
)
def test_expectation_that_does_not_exist_is_refused_by_name(rule, named):
    with pytest.raises(InvalidConfigError, match=named):
        to_suite(Schema(name="s", expectations=(rule,)))
