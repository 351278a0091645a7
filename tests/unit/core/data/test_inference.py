from __future__ import annotations

import datetime as dt
import decimal
import math

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.expectations.types import TYPE_NAMES
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.schema.infer import InferenceOptions, infer_schema
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Outcome, Severity

ROWS = 3000
COLUMNS, ROW_COUNT = "expect_table_columns_to_match_set", "expect_table_row_count_to_be_between"
RANGE, SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
UNIQUE = "expect_column_values_to_be_unique"
START = dt.datetime.fromisoformat("2013-01-01")


def rules_of(values, *, name="x", **options):
    profile = profile_table(pa.table({name: values}))
    rules = infer_schema(profile, "s", options=InferenceOptions(**options)).expectations
    return {rule.type: rule for rule in rules}


def verdicts(schema, profile):
    found = [evaluate_rule(rule, profile) for rule in schema.expectations]
    return {finding.outcome for finding in found if finding}


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


def test_null_in_whole_numbers_is_no_change_of_type_and_floats_are_one_by_their_fractions():
    rule = rules_of(pa.array([1, 2, 3]))["expect_column_values_to_be_in_type_list"]
    with_null, as_float, parts = pa.array([1, None, 3]), pa.array([1.0, 2.0, 3.0]), pa.array([1.0, 2.5, 3.0])
    for values, outcome in ((with_null, Outcome.PASS), (as_float, Outcome.WARN), (parts, Outcome.FAIL)):
        assert evaluate_rule(rule, profile_table(pa.table({"x": values}))).outcome is outcome


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
        "mostly": 0.99,
    }
    assert SET not in many
    few = rules_of(["a", "b"] * 50)
    assert few[SET].kwargs["value_set"] == ["a", "b"]
    assert "expect_column_value_lengths_to_be_between" not in few
    assert SET not in rules_of(["a", "b"] * 50, largest_domain=1)


def test_flag_is_a_set_of_two_and_other_numbers_have_a_range():
    assert rules_of([0, 1] * 50)[SET].kwargs["value_set"] == [0, 1]
    assert rules_of([0, 1, 2] * 50)[RANGE].kwargs["max_value"] == 31


@pytest.mark.parametrize("values", [[0] * 100, [1] * 100, [True] * 100, ["a"] * 100, [7.5] * 100])
def test_one_value_says_nothing_of_those_to_come(values):
    schema = infer_schema(profile_table(pa.table({"x": values})), "s")
    assert {SET, RANGE}.isdisjoint(rule.type for rule in schema.expectations)
    both = profile_table(pa.table({"x": [*values, *([False] if values[0] is True else [values[0] * 3])]}))
    assert verdicts(schema, both) == {Outcome.PASS}


def test_set_of_flags_holds_for_a_window_of_one_of_them():
    schema = infer_schema(profile_table(pa.table({"x": [0, 1] * 50})), "s")
    assert verdicts(schema, profile_table(pa.table({"x": [0] * 100}))) == {Outcome.PASS}


def test_key_is_critical_and_what_differs_perhaps_by_chance_only_warns():
    codes = rules_of([f"k{i:03}" for i in range(500)])[UNIQUE]
    assert (codes.severity, codes.kwargs) == (Severity.CRITICAL, {"column": "x"})
    assert codes.meta["why"] == "all 500 values differ in the reference; a key: its values are of one shape"
    counter = rules_of(range(100, 600))[UNIQUE]
    assert counter.kwargs == {"column": "x"}  # critical once it is counted: so far an estimate
    assert counter.meta["why"].endswith("a key: its numbers are too dense to differ by chance")
    named = rules_of([f"{'n' * (i % 9)} {i}" for i in range(1000)], name="customer_id")[UNIQUE]
    assert named.meta["why"].endswith("a key: by its name")
    people = rules_of(["Ann " + "x" * i for i in range(200)])[UNIQUE]
    assert (people.severity, people.kwargs["mostly"]) == (Severity.WARNING, 0.91)
    spread = rules_of([i * i * 997 for i in range(200)])[UNIQUE]
    assert spread.severity is Severity.WARNING
    assert spread.meta["why"].endswith("perhaps by chance")


def test_repeated_and_few_values_are_not_proposed_as_unique():
    assert UNIQUE not in rules_of([f"k{i % 499}" for i in range(500)])
    assert UNIQUE not in rules_of([float(i) for i in range(500)])
    assert UNIQUE not in rules_of([f"k{i}" for i in range(99)])


def test_estimated_uniqueness_says_so_and_only_warns():
    rule = rules_of(np.random.default_rng(0).permutation(50_000) * 7)[UNIQUE]
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
    sets = [(r.environments, r.kwargs["column_set"]) for r in schema.expectations if r.type == COLUMNS]
    assert sets == [(("training",), ["x", "late"]), (("serving",), ["x"])]


def test_label_that_is_no_column_is_refused_with_those_there_are():
    profile = profile_table(pa.table({"x": [1.0], "late": [1]}))
    with pytest.raises(InvalidConfigError, match="label 'lat': no such column; columns: x, late; did you"):
        infer_schema(profile, "s", labels=["lat"])


def test_further_column_is_noticed():
    schema = infer_schema(profile_table(pa.table({"x": [1.0, 2.0]})), "s")
    assert verdicts(schema, profile_table(pa.table({"x": [1.0, 2.0], "y": [1, 2]}))) == {
        Outcome.PASS,
        Outcome.WARN,
    }


def test_counts_of_rows_are_those_of_a_window_and_hold_for_all_together():
    parts = [profile_table(pa.table({"x": [0.5] * n})) for n in (90, 100, 120)]
    whole = profile_table(pa.table({"x": [0.5] * 310}))
    (rule,) = (r for r in infer_schema(whole, "s", windows=parts).expectations if r.type == ROW_COUNT)
    assert rule.kwargs == {"min_value": 9, "max_value": 1200}
    assert "90 to 120 in each of 3 windows" in rule.meta["why"]
    many = [profile_table(pa.table({"x": [0.5] * 100}))] * 12
    whole = profile_table(pa.table({"x": [0.5] * 1200}))
    (rule,) = (r for r in infer_schema(whole, "s", windows=many).expectations if r.type == ROW_COUNT)
    assert rule.kwargs == {"min_value": 10, "max_value": 2400}


@pytest.mark.parametrize(
    ("name", "values", "low", "high"),
    [
        ("year", [2023] * 100, 2013, 2033),
        ("year", [2021, 2022] * 50, 2011, 2032),
        ("yr", [98, 99] * 50, 88, 109),
        ("day", [20130101, 20130228] * 50, 20030101, 20230228),
        ("period", [201301, 201302] * 50, 200301, 202302),
        ("month", [1] * 100, 1, 12),
        ("day_of_week", [0, 1, 2] * 40, 0, 7),
        ("dep_hour", [5, 6] * 50, 0, 24),
        ("day_of_year", [1, 2, 3] * 40, 1, 366),
        ("seen_at", [1_700_000_000, 1_700_086_400] * 50, 1_384_380_800, 2_015_705_600),
    ],
)
def test_calendar_values_in_numbers_have_the_room_of_a_calendar(name, values, low, high):
    rule = rules_of(values, name=name)[RANGE]
    assert (rule.kwargs["min_value"], rule.kwargs["max_value"]) == (low, high)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", range(1000)),
        ("n", range(40)),
        ("customer_id", [7, 7, 901] * 40),
        ("t", [0.5, 0.25] * 60),
        ("seq", np.arange(5000)[::-1]),
    ],
)
def test_keys_counters_and_axes_have_no_range(name, values):
    schema = infer_schema(profile_table(pa.table({name: values})), "s")
    assert RANGE not in {rule.type for rule in schema.expectations}
    assert schema.notes[0].startswith(f"{name}: ")
    assert schema.notes[0].endswith("no range of values")


def test_column_that_rises_from_window_to_window_has_no_range_and_a_trend_more_room():
    rng = np.random.default_rng(0)
    tables = [
        pa.table({"total": rng.uniform(i, i + 0.9, 100), "price": rng.normal(i, 1, 100)}) for i in range(4)
    ]
    whole = profile_table(pa.concat_tables(tables))
    parts = [profile_table(table, bins_from=whole) for table in tables]
    schema = infer_schema(whole, "s", windows=parts)
    ranges = {rule.subject: rule.kwargs for rule in schema.expectations if rule.type == RANGE}
    assert ranges.keys() == {"price"}
    assert "total: rises from window to window: no range of values" in schema.notes
    shuffled = infer_schema(whole, "s", windows=[parts[i] for i in (1, 0, 3, 2)])
    (steady,) = (rule for rule in shuffled.expectations if (rule.type, rule.subject) == (RANGE, "price"))
    assert ranges["price"]["max_value"] > 2 * steady.kwargs["max_value"]


def test_quantity_that_was_never_negative_has_a_lower_limit_that_finds_placeholders():
    assert rules_of([0.0, 1.5, 90.0] * 40)[RANGE].kwargs["min_value"] == 0
    far = rules_of(np.linspace(68, 455, 100))[RANGE].kwargs["min_value"]
    assert -999 < far < 0
    assert rules_of(np.linspace(-30, -5, 100))[RANGE].kwargs["max_value"] == 30


@pytest.mark.parametrize(
    ("nulls", "of", "mostly"),
    [(0, 5000, 0.95), (0, 20, 0.37), (1, 100, 0.81), (100, 5000, 0.71), (1000, 5000, 0.16)],
)
def test_nulls_have_the_room_that_chance_needs(nulls, of, mostly):
    rules = rules_of(pa.array([None] * nulls + [0.5, 0.7, *[0.6] * (of - nulls - 2)]))
    assert rules["expect_column_values_to_not_be_null"].kwargs["mostly"] == mostly
    assert rules["expect_column_values_to_not_be_null"].severity is Severity.WARNING
    lost = rules["expect_column_proportion_of_non_null_values_to_be_between"]
    assert (lost.severity, lost.kwargs["min_value"]) == (Severity.CRITICAL, 0.1)


def test_nulls_of_a_key_stop_a_run_and_those_of_a_mostly_missing_column_are_not_limited():
    rule = rules_of([f"k{i:03}" for i in range(500)])["expect_column_values_to_not_be_null"]
    assert rule.severity is Severity.CRITICAL
    missing = rules_of(pa.array([None] * 60 + [0.5] * 40))
    assert "expect_column_values_to_not_be_null" not in missing


def test_others_of_a_set_are_as_many_as_chance_brings():
    assert rules_of(["a", "b"] * 1000)[SET].kwargs["mostly"] == 0.95
    assert rules_of(["a", "b"] * 25)[SET].kwargs["mostly"] == 0.69
    assert SET not in rules_of(["a", "b"] * 10)
    tail = ["a"] * 200 + [f"once{i}" for i in range(20)]
    assert rules_of(tail)[SET].kwargs["mostly"] < 0.85


CODES = ["04109", "10115", "20095", "50667", "60311", "70173", "80331", "99084"]
SHOP = ["Haus 12", "Haus 13", "Room 14", "Room 15"]


@pytest.mark.parametrize(
    "codes", [CODES, SHOP, ["202613", "202614"], ["9999-01", "9998-02"], ["32.01.2026"] * 2]
)
def test_codes_that_are_no_plausible_dates_have_a_set(codes):
    schema = infer_schema(profile_table(pa.table({"x": codes * 100 + ["99084"] * 100})), "s")
    assert SET in {rule.type for rule in schema.expectations}


DATES = {
    "days": ["2026-01-05", "2026-02-14"],
    "German days": ["05.01.2026", "24.12.2026"],
    "American days": ["01/05/2026", "12/24/2026"],
    "compact": ["20260105", "20261224"],
    "months": ["202601", "202612"],
    "named months": ["Mai 2026", "June 2026"],
    "weeks": ["2026-W01", "2026-W53"],
    "quarters": ["2026Q1", "2026Q4"],
    "years": ["2025", "2026"],
    "moments": ["2026-01-05 10:00", "2026-02-14T11:00"],
}


@pytest.mark.parametrize("dates", DATES.values(), ids=DATES)
def test_dates_and_periods_as_text_have_no_set(dates):
    schema = infer_schema(profile_table(pa.table({"x": dates * 100})), "s")
    assert "x: dates or periods as text: no set of values" in schema.notes


def test_set_is_not_proposed_for_what_changes_from_window_to_window():
    tables = [pa.table({"season": [f"S{i}", f"S{i}b"] * 50, "kind": ["a", "b"] * 50}) for i in range(4)]
    whole = profile_table(pa.concat_tables(tables))
    schema = infer_schema(whole, "s", windows=[profile_table(t, bins_from=whole) for t in tables])
    assert {rule.subject for rule in schema.expectations if rule.type == SET} == {"kind"}
    assert "season: new values in every window: no set of values" in schema.notes


def test_names_of_the_calendar_are_completed_and_dates_as_text_are_no_set():
    assert rules_of(["Mon", "Tue"] * 50)[SET].kwargs["value_set"][-1] == "Sun"
    assert len(rules_of(["january", "march"] * 50)[SET].kwargs["value_set"]) == 12
    for text in ("2013-01", "2013-01-31", "2013Q1", "31/01/2013", "2013-01-31 10:00"):
        assert SET not in rules_of([text, text] * 50)


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ([1.0, 2.5, math.inf], "x: infinite values: no range of values"),
        ([1.0, 2.0**60, 2.0**61], "x: values that doubles do not hold exactly: no range of values"),
    ],
)
def test_range_that_cannot_be_proposed_is_a_doubt_that_is_told(values, doubt):
    schema = infer_schema(profile_table(pa.table({"x": values})), "s")
    assert doubt in schema.notes
    assert RANGE not in {rule.type for rule in schema.expectations}
