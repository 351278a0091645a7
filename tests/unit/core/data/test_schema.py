from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.arrow import profile_table
from airflow_mlops.core.data.answers import answer
from airflow_mlops.core.data.inference import infer_schema
from airflow_mlops.core.data.schema import Rule, schema_from_yaml
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.outcome import Outcome, Severity

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
    return answer(rule, profile_table(table))


def test_data_meets_the_schema_inferred_from_it():
    schema = infer_schema(profile_table(FLIGHTS), "flights", labels=["late"])
    findings = [judged(rule) for rule in schema.expectations]
    assert {finding.outcome for finding in findings if finding} == {Outcome.PASS}
    assert all(rule.meta["why"] for rule in schema.expectations)


def test_label_is_asked_for_in_training_only():
    schema = infer_schema(profile_table(FLIGHTS), "flights", labels=["late"])
    serving = {r.kwargs.get("column") for r in schema.expectations if r.applies_to("serving")}
    assert "late" not in serving
    assert "late" in {r.kwargs.get("column") for r in schema.expectations if r.applies_to("training")}


def test_schema_survives_yaml_without_loss():
    schema = infer_schema(profile_table(FLIGHTS), "flights")
    assert schema_from_yaml(schema.to_yaml(), "s.yaml") == schema


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
    findings = [answer(rule, profile_table(broken)) for rule in schema.expectations]
    reasons = {finding.reason for finding in findings if finding and finding.outcome is Outcome.FAIL}
    assert "origin: null share 0.5, allowed 0.05" in reasons
    assert "distance: string (string), allowed integer or number" in reasons
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


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: s\nexpectation: []", "unknown key 'expectation'.*did you mean 'expectations'"),
        ("name: s\nexpectations: []", "empty"),
        ("name: s", "'expectations' is missing"),
        ("- a", "mapping"),
        ("a: [", "no YAML"),
        (RULE + "  severty: critical\n", "unknown key 'severty'.*did you mean 'severity'"),
        (RULE + "  severity: fatal\n", "severity 'fatal'; one of: info, warning, critical"),
        (RULE.replace("type:", "typ:"), r"expectations\[0\]: unknown key 'typ'"),
    ],
)
def test_schema_edited_by_hand_with_a_mistake_is_refused_by_place(text, named):
    with pytest.raises(InvalidConfigError, match=named):
        schema_from_yaml(text, "flights.yaml")


def test_yaml_never_makes_objects():
    with pytest.raises(InvalidConfigError, match="no YAML"):
        schema_from_yaml("!!python/object/apply:os.system ['true']", "evil.yaml")
