from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
import yaml

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.rules.schema_file import parse_schema
from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Outcome, Severity

FLIGHTS = pa.table(
    {
        "origin": ["JFK", "LGA", "EWR"] * 40,
        "distance": list(range(80, 200)),
        "dep_delay": [None, 3.0, -5.0] * 40,
        "late": [0, 1, 0] * 40,
    }
)
RULE = "name: s\nexpectations:\n- type: expect_column_to_exist\n  kwargs: {column: x}\n"


def judged(rule, table=FLIGHTS):
    return evaluate_rule(rule, profile_table(table))


def test_data_meets_the_schema_inferred_from_it():
    schema = infer_schema(profile_table(FLIGHTS), "flights", labels=["late"])
    findings = [judged(rule) for rule in schema.expectations if rule.applies_to("training")]
    assert {finding.outcome for finding in findings if finding} == {Outcome.PASS}
    assert all(rule.meta["why"] for rule in schema.expectations)


def test_label_is_asked_for_in_training_only():
    schema = infer_schema(profile_table(FLIGHTS), "flights", labels=["late"])
    serving = {r.kwargs.get("column") for r in schema.expectations if r.applies_to("serving")}
    assert "late" not in serving
    assert "late" in {r.kwargs.get("column") for r in schema.expectations if r.applies_to("training")}


def test_schema_survives_yaml_without_loss():
    schema = infer_schema(profile_table(FLIGHTS), "flights")
    assert parse_schema(schema.to_yaml(), "s.yaml") == schema


def test_renamed_column_changed_type_and_nulls_are_named():
    schema = infer_schema(profile_table(FLIGHTS), "flights")
    broken = pa.table(
        {
            "origin": ["JFK"] * 60 + [None] * 60,
            "distance": [str(d) for d in range(120)],
            "departure_delay": [1.0] * 120,
            "late": [0] * 120,
        }
    )
    findings = [evaluate_rule(rule, profile_table(broken)) for rule in schema.expectations]
    warned = {finding.reason for finding in findings if finding and finding.outcome is Outcome.WARN}
    assert "origin: null share 0.5, allowed 0.14" in warned
    assert "table: lacks dep_delay; has also departure_delay" in warned
    reasons = {finding.reason for finding in findings if finding and finding.outcome is Outcome.FAIL}
    assert "distance: string (string), allowed integer" in reasons
    assert any(reason.startswith("dep_delay: no such column; columns: origin, ") for reason in reasons)


def test_number_that_became_text_is_out_of_range_by_name_not_a_crash():
    kwargs = {"column": "origin", "min_value": 0, "max_value": 9}
    found = judged(Rule(type="expect_column_values_to_be_between", kwargs=kwargs))
    assert (found.outcome, found.reason) == (
        Outcome.FAIL,
        "origin: string values have no range, allowed 0 to 9",
    )


def test_warning_rule_that_fails_only_warns():
    kwargs = {"column": "distance", "min_value": 100, "max_value": 150}
    rule = Rule(type="expect_column_values_to_be_between", kwargs=kwargs, severity=Severity.WARNING)
    found = judged(rule)
    assert found.outcome is Outcome.WARN
    assert found.reason == "distance: values 80 to 199, allowed 100 to 150"


@pytest.mark.parametrize(
    "rule",
    [
        Rule(type="expect_column_values_to_match_regex", kwargs={"column": "origin", "regex": "^[A-Z]+$"}),
        Rule(type="expect_column_values_to_be_between", kwargs={"column": "distance", "mostly": 0.5}),
        Rule(type="expect_column_values_to_not_be_null", kwargs={"column": "origin", "row_condition": "x"}),
    ],
)
def test_what_a_profile_cannot_know_is_left_to_the_rows(rule):
    assert judged(rule) is None


def rule_with(**kwargs):
    return yaml.safe_dump({"name": "s", "expectations": [{"kwargs": {"column": "x"}} | kwargs]})


def between(**kwargs):
    return rule_with(type="expect_column_values_to_be_between", kwargs={"column": "x"} | kwargs)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty, allowed: a suite"),
        ("# nothing yet\n", "NoneType, allowed: a mapping"),
        ("name: s\nexpectation: []", "unknown key 'expectation'.*did you mean 'expectations'"),
        ("name: s\nexpectations: []", r"expectations: \[\], allowed: 1 or more entries"),
        ("name: s\nexpectations: {}", "expectations: {}, allowed: a list"),
        ("name: 5\nexpectations: [{type: a}]", "name: 5, allowed: text"),
        ("name: s", "'expectations' is missing"),
        ("expectation_suite_name: s\nexpectations: []", "did you mean 'name'"),
        ("- a", "list, allowed: a mapping"),
        ("name: s\nexpectations: [a", r"no YAML: line \d+, column 1"),
        ("name: s\n\tmeta: {}", "no YAML: line 2, column 1"),
        (RULE + "  type: b\n", "no YAML: line 5, column 3: key 'type' stands there twice, first in line 3"),
        (RULE + "  severty: critical\n", "unknown key 'severty'.*did you mean 'severity'"),
        (RULE + "  severity: fatal\n", "severity: 'fatal', one of: info, warning, critical"),
        (RULE + "  severity: critcal\n", "did you mean 'critical'"),
        (RULE + "  meta: now\n", "meta: str, allowed: a mapping"),
        (RULE + "  notes: {a: 1}\n", "notes"),
        (RULE.replace("type:", "typ:"), r"expectations\[0\]: unknown key 'typ'"),
        (RULE.replace("type:", "expectation_type:"), "did you mean 'type'"),
        (RULE.replace("expect_column_to_exist", "5"), r"expectations\[0\]: type: 5, allowed: text"),
        (RULE + RULE.split("expectations:\n")[1], r"expectations\[1\].*same rule as expectations\[0\]"),
        (rule_with(type="expect_column_to_exist", kwargs=["x"]), r"kwargs: \['x'\], allowed: a mapping"),
        (rule_with(type="expect_column_to_exist", kwargs={}), "argument 'column' is missing"),
        (between(mim_value=1), r"unknown argument 'mim_value'.*did you mean 'min_value'"),
        (between(min_value="low"), "min_value is 'low', allowed: a number or a date"),
        (between(min_value=[1]), r"min_value is \[1\], allowed: a number or a date"),
        (between(min_value=0, mostly=95), "mostly is 95, allowed: a number from 0 to 1"),
        (between(min_value=0, strict_min="yes"), "strict_min is 'yes', allowed: true or false"),
        (
            rule_with(type="expect_column_values_to_be_in_set", kwargs={"column": "x", "value_set": "a"}),
            "a list",
        ),
        (RULE + "  meta: {environments: training}\n", r"meta\.environments: 'training', allowed: a list"),
        (RULE + "  meta: {environments: []}\n", r"meta\.environments: \[\], allowed: 1 or more entries"),
        (
            RULE + "  meta: {environments: [servng]}\n",
            r"meta\.environments\.0: 'servng', one of: training, serving; did you mean 'serving'",
        ),
    ],
)
def test_schema_edited_by_hand_with_a_mistake_is_refused_by_place(text, named):
    with pytest.raises(InvalidConfigError, match="flights.yaml: .*" + named):
        parse_schema(text, "flights.yaml")


def test_yaml_never_makes_objects():
    with pytest.raises(InvalidConfigError, match="no YAML"):
        parse_schema("!!python/object/apply:os.system ['true']", "evil.yaml")


def test_dates_and_conditions_are_read_as_great_expectations_writes_them():
    condition = {"type": "pass_through", "pass_through_filter": "y > 1"}
    text = between(min_value=dt.date(2013, 1, 1), row_condition=condition, max_value=None)
    kwargs = parse_schema(text, "s.yaml").expectations[0].kwargs
    assert kwargs == {"column": "x", "min_value": "2013-01-01", "row_condition": "y > 1"}


def test_arguments_of_an_expectation_of_the_users_own_are_not_judged():
    schema = parse_schema(rule_with(type="expect_my_own", kwargs={"colour": "red"}), "s.yaml")
    assert schema.expectations[0].kwargs == {"colour": "red"}


def test_rule_applies_everywhere_unless_it_names_environments():
    rules = [Rule(type="a"), Rule(type="b", meta={"environments": ["training"]})]
    assert [[r.applies_to(e) for r in rules] for e in ("training", "serving")] == [
        [True, True],
        [True, False],
    ]


def test_environment_that_does_not_exist_is_refused_by_name():
    with pytest.raises(InvalidConfigError, match="environment 'servin'; one of: training, serving"):
        Rule(type="a").applies_to("servin")


def test_rules_are_named_by_type_and_column_and_counted_when_they_repeat():
    pair = Rule(type="equal", kwargs={"column_A": "x", "column_B": "y"})
    twice = [Rule(type="regex", kwargs={"column": "x", "regex": r}) for r in ("a", "b")]
    schema = Schema(name="s", expectations=(*twice, pair, Rule(type="rows")))
    assert [name for name, _ in schema.identified()] == ["regex:x", "regex:x#2", "equal:x,y", "rows:table"]
