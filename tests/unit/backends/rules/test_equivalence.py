"""Evaluation from a profile must have the results that Great Expectations has from the rows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from random_rules import large_tables, tables_with_rules

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.rules.great_expectations import as_frame, evaluate_rows, nullable_columns
from airflow_mlops.core.data.expectations.evaluate import COLUMN_EVALUATORS, TABLE_EVALUATORS, evaluate_rule
from airflow_mlops.core.data.profile.families import STORED_OTHERWISE
from airflow_mlops.core.verdict import Outcome

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
EVALUATED = {*COLUMN_EVALUATORS, *TABLE_EVALUATORS}


def hold_against_rows(table, rules):
    """Compare each rule that the profile determines with the rows; return their number by type."""
    profile = profile_table(table)
    asked = [(rule, found) for rule in rules if (found := evaluate_rule(rule, profile)) is not None]
    whole = [pair for pair in asked if nullable_columns([pair[0]])]
    other = [pair for pair in asked if not nullable_columns([pair[0]])]
    for pairs in (whole, other):
        asked_rules = [rule for rule, _ in pairs]
        rows = as_frame(table, nullable_columns(asked_rules))
        for (rule, ours), theirs in zip(
            pairs, evaluate_rows(asked_rules, rows) if pairs else (), strict=True
        ):
            values = table.column(rule.subject).to_pylist() if rule.subject in table.column_names else None
            told = (rule, values, ours.reason, theirs.reason)
            assert ours.outcome is theirs.outcome or differs_on_purpose(rule, ours, theirs, profile), told
    return Counter(rule.type for rule, _ in asked)


def differs_on_purpose(rule, ours, theirs, profile):
    """What does not compare fails, and is an error there; what is stored otherwise warns, and fails there.

    None of them passes.
    """
    if ours.reason.endswith(STORED_OTHERWISE):
        return (ours.outcome, theirs.outcome) == (Outcome.WARN, Outcome.FAIL)
    ranged = profile.column(rule.subject) is not None and rule.type.endswith("values_to_be_between")
    return ranged and (ours.outcome, theirs.outcome) == (Outcome.FAIL, Outcome.ERROR)


@settings(max_examples=8, suppress_health_check=QUIET)
@given(tables_with_rules())
def test_result_from_the_profile_is_the_result_from_the_rows(case):
    assert hold_against_rows(*case)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=QUIET)
@given(tables_with_rules(each=2, tables=large_tables))
def test_result_is_that_of_the_rows_when_not_every_value_is_named(case):
    assert hold_against_rows(*case)


@pytest.mark.slow
def test_every_evaluated_type_is_compared_with_the_rows_hundreds_of_times():
    held = Counter()

    @settings(max_examples=220, suppress_health_check=QUIET)
    @given(tables_with_rules(each=4))
    def hold(case):
        held.update(hold_against_rows(*case))

    hold()
    assert held.keys() == EVALUATED
    # which examples are drawn depends on the modules that are loaded: numbers vary between runs of the suite
    assert min(held.values()) >= 150, held.most_common()[-5:]
