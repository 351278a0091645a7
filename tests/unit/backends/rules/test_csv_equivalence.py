"""Rules on csv have the results that Great Expectations has from ``pandas.read_csv``: missing is the same."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_mlops.backends.profiling.files.arrow import profile_files
from airflow_mlops.backends.profiling.files.dataset import read_window
from airflow_mlops.backends.rules.great_expectations import as_frame, evaluate_rows
from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.verdict import Outcome

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
GENERATED = [Phase.explicit, Phase.reuse, Phase.generate]  # shrinking runs two suites a step
MISSING = ["", "", "NA", "NULL", "nan", "None", "n/a", "<NA>", "#N/A"]
WORDS = ["a", "bb", "x;y", "5, 6", 'q"q', "é", "line\nbreak", " a", "na", "nil", "-"]
KINDS = {
    "text": st.sampled_from(WORDS),
    "number": st.sampled_from(["0.5", "-1.25", "3", "1e3", "100", "0"]),
    "whole": st.integers(-50, 50).map(str),
    "flag": st.sampled_from(["True", "False"]),
    "nothing": st.just(""),
}
MOSTLY = st.sampled_from([{}, {"mostly": 0.5}, {"mostly": 0.9}])
PER_VALUE = {
    "expect_column_values_to_not_be_null": st.just({}),
    "expect_column_values_to_be_null": st.just({}),
    "expect_column_values_to_be_unique": st.just({}),
    "expect_column_values_to_be_between": st.sampled_from(
        [{"min_value": 0}, {"min_value": -1, "max_value": 3}]
    ),
    "expect_column_values_to_be_in_set": st.sampled_from(
        [{"value_set": ["a", "NA", "bb"]}, {"value_set": [1, 2]}]
    ),
    "expect_column_value_lengths_to_be_between": st.just({"min_value": 1, "max_value": 2}),
}
PER_COLUMN = {
    "expect_column_min_to_be_between": st.just({"min_value": 0}),
    "expect_column_mean_to_be_between": st.just({"min_value": -3, "max_value": 3}),
    "expect_column_unique_value_count_to_be_between": st.just({"min_value": 1, "max_value": 3}),
    "expect_column_proportion_of_non_null_values_to_be_between": st.just({"min_value": 0.5}),
    "expect_column_most_common_value_to_be_in_set": st.just({"value_set": ["a", "bb"], "ties_okay": True}),
    "expect_column_values_to_be_in_type_list": st.sampled_from(
        [{"type_list": ["float64"]}, {"type_list": ["str"]}]
    ),
}


@st.composite
def csv_texts(draw):
    """A csv of a column of each kind, with values missing in the ways that people write it."""
    rows = draw(st.sampled_from([1, 2, 5, 20]))
    columns = []
    for kind in KINDS.values():
        values = draw(
            st.sampled_from([kind, st.one_of(kind, st.sampled_from(MISSING)), st.sampled_from(MISSING)])
        )
        columns.append(draw(st.lists(values, min_size=rows, max_size=rows)))
    table = list(zip(*columns, range(rows), strict=True))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    delimiter = draw(st.sampled_from([",", ",", ";", "\t"]))
    rules = [
        Rule(
            type=kind,
            kwargs={"column": column, **draw(arguments), **(draw(MOSTLY) if kind in PER_VALUE else {})},
        )
        for kind, arguments in (PER_VALUE | PER_COLUMN).items()
        for column in draw(st.permutations([*KINDS]))[:2]
    ]
    return table, {"quoting": quoting, "delimiter": delimiter}, rules


def hold_against_pandas(case):
    """Compare each rule with its result on the frame that pandas reads; return their number by type."""
    table, dialect, rules = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, **dialect).writerows([[*KINDS, "id"], *table])
        window, profile = profile_files(folder)
        frame = pd.read_csv(path, sep=dialect["delimiter"])
        ours_from_rows = as_frame(read_window(window))
    texts = [name for name in frame if frame[name].dtype == "str"]
    theirs = frame.assign(**{n: frame[n].astype(object).where(frame[n].notna(), None) for n in texts})
    found = [evaluate_rule(rule, profile) for rule in rules]
    from_pandas, from_rows = evaluate_rows(rules, theirs), evaluate_rows(rules, ours_from_rows)
    for rule, ours, own, their in zip(rules, found, from_rows, from_pandas, strict=True):
        told = (rule, frame[rule.subject].to_list(), ours and ours.reason, own.reason, their.reason)
        pair = ((ours or own).outcome, their.outcome)
        assert pair[0] is pair[1] or differs_on_purpose(rule, frame, *pair), told
    return Counter(rule.type for rule in rules)


def differs_on_purpose(rule, frame, ours, theirs):
    """A range of text fails, and theirs is an error; a column without values has any type, not float64."""
    if rule.type.endswith("type_list") and frame[rule.subject].isna().all():
        return (ours, theirs) == (Outcome.PASS, Outcome.FAIL)
    return (ours, theirs) == (Outcome.FAIL, Outcome.ERROR)


@settings(phases=GENERATED, max_examples=15, suppress_health_check=QUIET)
@given(csv_texts())
def test_result_on_a_csv_is_that_of_great_expectations_on_what_pandas_reads(case):
    assert hold_against_pandas(case)


@pytest.mark.slow
def test_each_rule_is_compared_on_hundreds_of_csv_files():
    held = Counter()

    @settings(phases=GENERATED, max_examples=160, suppress_health_check=QUIET)
    @given(csv_texts())
    def hold(case):
        held.update(hold_against_pandas(case))

    hold()
    assert min(held.values()) >= 150
