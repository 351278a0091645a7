"""Schemas and policies inferred from random tables or edited at random: refused by name, or they work."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SMALL, edits, fuzz, tables

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.rules.schema_file import parse_schema
from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.policy import SkewPolicy
from airflow_mlops.core.errors import InvalidConfigError, MlopsError
from airflow_mlops.core.verdict import Outcome

pytestmark = pytest.mark.slow
PROFILE = profile_table(SMALL)
SCHEMA = infer_schema(PROFILE, "small").to_yaml()
NUMBERS = (
    st.floats() | st.integers(-2, 2) | st.sampled_from([0.01, 0.05, 0.5, 1, None, "0.1", True, [], 10**400])
)


def attempt(error, function, *arguments):
    """Return what a function gives, or the message of an error of this kind."""
    try:
        return function(*arguments), None
    except error as refusal:
        return None, str(refusal)


@fuzz(1500)
@given(tables())
def test_window_meets_the_schema_inferred_from_it(table):
    profile = profile_table(table)
    schema = infer_schema(profile, "fuzz")
    found = [evaluate_rule(rule, profile) for rule in schema.expectations]
    assert {f.outcome for f in found if f} <= {Outcome.PASS, Outcome.WARN}


@fuzz(500)
@given(tables())
def test_inferred_schema_survives_its_yaml(table):
    schema = infer_schema(profile_table(table), "fuzz")
    assert parse_schema(schema.to_yaml(), "fuzz.yaml") == schema


@fuzz(1500)
@given(tables())
def test_window_has_no_skew_against_itself(table):
    profile = profile_table(table)
    report = compare_profiles(profile, profile)
    json.dumps(report.to_json(), allow_nan=False)
    assert report.verdict.outcome not in (Outcome.FAIL, Outcome.ERROR)


@fuzz(500)
@given(tables(), tables())
def test_any_two_windows_are_compared_or_said_not_to_be(one, other):
    reference = profile_table(one)
    report = compare_profiles(reference, profile_table(other, bins_from=reference))
    json.dumps(report.to_json(), allow_nan=False)
    named = {finding.subject for finding in report.verdict.findings}
    assert set(other.column_names) <= named


@fuzz(2000)
@given(edits(SCHEMA))
def test_edited_schema_is_refused_by_name_or_answered(text):
    schema, refusal = attempt(InvalidConfigError, parse_schema, text, "edited.yaml")
    if schema is None:
        assert "edited.yaml" in refusal
        return
    assert parse_schema(schema.to_yaml(), "again.yaml") == schema
    for rule in schema.expectations:
        attempt(MlopsError, evaluate_rule, rule, PROFILE)


@fuzz(1500)
@given(st.dictionaries(st.sampled_from([*SkewPolicy.__dataclass_fields__, "odd"]), NUMBERS))
def test_skew_policy_is_refused_by_name_or_works(values):
    policy, refusal = attempt(MlopsError, SkewPolicy.from_json, values)
    if policy is None:
        assert refusal
        return
    assert compare_profiles(PROFILE, PROFILE, policy).verdict.outcome is not Outcome.FAIL
