"""A schema is a Great Expectations suite: there and back without loss, and users' own suites as they are."""

from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops.backends.rules.schema_file import parse_schema
from airflow_mlops.backends.rules.suite import build_expectation, from_suite, require_known, to_suite
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Severity

TEXT = st.text(min_size=1, max_size=8)
NUMBER = st.one_of(st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False))
MOMENT = st.datetimes().map(lambda m: m.isoformat())
BOUND = st.one_of(NUMBER, st.dates().map(str), MOMENT)
MOSTLY = st.floats(0, 1)
FLAG = st.booleans()
VALUES = st.lists(st.one_of(TEXT, NUMBER, FLAG), min_size=1, max_size=4)
COLUMN = {"column": TEXT}
SHAPES = {
    "expect_column_to_exist": (COLUMN, {"column_index": st.integers(0, 5)}),
    "expect_column_values_to_be_in_type_list": (
        COLUMN | {"type_list": st.lists(TEXT, min_size=1)},
        {"mostly": MOSTLY},
    ),
    "expect_column_values_to_be_of_type": (COLUMN | {"type_": TEXT}, {"mostly": MOSTLY}),
    "expect_column_values_to_not_be_null": (COLUMN, {"mostly": MOSTLY, "row_condition": TEXT}),
    "expect_column_values_to_be_between": (
        COLUMN | {"min_value": BOUND},
        {"max_value": BOUND, "strict_min": FLAG, "strict_max": FLAG, "mostly": MOSTLY},
    ),
    "expect_column_value_lengths_to_be_between": (
        COLUMN | {"min_value": st.integers(0, 9)},
        {"strict_max": FLAG},
    ),
    "expect_column_values_to_be_in_set": (COLUMN | {"value_set": VALUES}, {"mostly": MOSTLY}),
    "expect_column_values_to_be_unique": (COLUMN, {"mostly": MOSTLY}),
    "expect_table_row_count_to_be_between": (
        {"min_value": st.integers(0, 9)},
        {"max_value": st.integers(10, 99)},
    ),
    "expect_column_values_to_match_regex": (COLUMN | {"regex": TEXT}, {"mostly": MOSTLY}),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        {"column_A": TEXT, "column_B": TEXT},
        {"or_equal": FLAG},
    ),
    "expect_compound_columns_to_be_unique": ({"column_list": st.lists(TEXT, min_size=2)}, {}),
    "expect_multicolumn_sum_to_equal": ({"column_list": st.lists(TEXT, min_size=2), "sum_total": NUMBER}, {}),
    "expect_table_columns_to_match_set": ({"column_set": st.lists(TEXT, min_size=1)}, {"exact_match": FLAG}),
    "expect_column_quantile_values_to_be_between": (
        COLUMN
        | {"quantile_ranges": st.just({"quantiles": [0.1, 0.9], "value_ranges": [[0, None], [None, 9.5]]})},
        {},
    ),
    "unexpected_rows_expectation": (
        {"unexpected_rows_query": st.just("SELECT * FROM {batch} WHERE x > 1")},
        {},
    ),
}
META = st.dictionaries(TEXT, st.one_of(TEXT, NUMBER, FLAG, st.lists(TEXT, max_size=2)), max_size=3)
NOTES = st.one_of(st.none(), TEXT, st.lists(TEXT, min_size=1, max_size=2))
ID = st.one_of(st.none(), st.uuids().map(str))


@st.composite
def rules(draw):
    kind = draw(st.sampled_from(sorted(SHAPES)))
    needed, possible = SHAPES[kind]
    kwargs = draw(st.fixed_dictionaries(needed, optional=possible))
    return Rule(
        type=kind,
        kwargs=kwargs,
        severity=draw(st.sampled_from(Severity)),
        meta=draw(META),
        notes=draw(NOTES),
        description=draw(st.one_of(st.none(), TEXT)),
        id=draw(ID),
    )


def same(rule):
    return json.dumps([rule.type, rule.kwargs, rule.id], sort_keys=True)


SCHEMAS = st.builds(
    Schema,
    name=TEXT,
    expectations=st.lists(rules(), min_size=1, max_size=8, unique_by=same).map(tuple),
    meta=META,
    notes=NOTES,
    id=ID,
)


@settings(max_examples=60)
@given(SCHEMAS)
def test_schema_comes_back_from_yaml_and_from_a_suite_without_loss(schema):
    read = parse_schema(schema.to_yaml(), "s.yaml")
    assert read == schema
    assert from_suite(to_suite(read)) == schema


@settings(max_examples=30)
@given(SCHEMAS)
def test_suite_that_great_expectations_wrote_is_read_as_it_is(schema):
    suite = to_suite(schema)
    written = json.dumps(suite.to_json_dict())
    again = to_suite(parse_schema(written, "suite.json"))
    assert again.to_json_dict() == suite.to_json_dict()


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (Rule(type="expect_columns_to_shine"), "unknown expectation 'expect_columns_to_shine'; allowed"),
        (Rule(type="expect_column_to_exits"), "did you mean 'expect_column_to_exist'"),
    ],
)
def test_expectation_that_does_not_exist_is_refused_by_name_and_close_match(rule, named):
    with pytest.raises(InvalidConfigError, match=r"s: expectations\[0\]: .*" + named):
        require_known(Schema(name="s", expectations=(rule,)))


@pytest.mark.parametrize("kwargs", [{"column": "x", "regx": "a"}, {"column": 5, "regex": "a"}])
def test_argument_that_great_expectations_refuses_is_named(kwargs):
    rule = Rule(type="expect_column_values_to_match_regex", kwargs=kwargs)
    with pytest.raises(
        InvalidConfigError,
        match=r"s: expectations\[0\] \(expect_column_values_to_match_regex\): .*(regx|column)",
    ):
        to_suite(Schema(name="s", expectations=(rule,)))


def test_id_of_a_rule_survives():
    known = str(uuid.UUID(int=7))
    rule = Rule(type="expect_column_to_exist", kwargs={"column": "x"}, id=known)
    assert from_suite(to_suite(Schema(name="s", expectations=(rule,)))).expectations[0].id == known
    assert build_expectation(rule, "s").id is None
