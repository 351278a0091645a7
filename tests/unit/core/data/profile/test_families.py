"""One word for each pair of types, in schemas, skew and monitoring alike."""

from __future__ import annotations

import datetime as dt
import decimal

import pyarrow as pa
import pytest
from windows import lay

from airflow_mlops.backends.profiling.files.arrow import profile_table, profile_window
from airflow_mlops.backends.rules.great_expectations import check_schema
from airflow_mlops.core.data.profile.families import (
    TypeChange,
    TypeFamily,
    families_of,
    type_change,
    with_types_of,
)
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.verdict import Outcome

ROWS = 400
DAY = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
HELD = {
    "int8": pa.array([i % 100 for i in range(ROWS)], pa.int8()),
    "uint64": pa.array([i % 100 for i in range(ROWS)], pa.uint64()),
    "whole double": pa.array([float(i % 100) for i in range(ROWS)]),
    "whole double with nulls": pa.array([None if i % 50 == 0 else float(i % 100) for i in range(ROWS)]),
    "whole float": pa.array([i % 100 for i in range(ROWS)], pa.float32()),
    "whole decimal": pa.array([decimal.Decimal(i % 100) for i in range(ROWS)], pa.decimal128(10, 2)),
    "double": pa.array([i % 100 + 0.5 for i in range(ROWS)]),
    "decimal": pa.array([decimal.Decimal(f"{i % 100}.50") for i in range(ROWS)], pa.decimal128(10, 2)),
    "boolean": pa.array([i % 2 == 0 for i in range(ROWS)]),
    "text": pa.array([str(i % 10) for i in range(ROWS)]),
    "codes of text": pa.array([str(i % 10) for i in range(ROWS)]).dictionary_encode(),
    "date": pa.array([DAY.date()] * ROWS),
    "timestamp": pa.array([DAY.replace(tzinfo=None)] * ROWS),
    "timestamp in UTC": pa.array([DAY] * ROWS, pa.timestamp("us", "UTC")),
}
WHOLE = ("whole double", "whole double with nulls", "whole float", "whole decimal")
SAME = {
    "int8": {"uint64"},
    "double": {"int8", "uint64", "whole double", "whole double with nulls", "whole float"},
    "decimal": {"whole decimal"},
    "text": {"codes of text"},
}
STORED = {
    "int8": {*WHOLE},
    "double": {"decimal", "whole decimal"},
    "decimal": {"double", "int8", "uint64", *WHOLE},
}
PAIRS = [(wanted, held) for wanted in (*SAME, *STORED, "boolean", "date", "timestamp") for held in HELD]


def word(wanted, held):
    if held == wanted or held in SAME.get(wanted, ()):
        return TypeChange.SAME
    return TypeChange.STORED if held in STORED.get(wanted, ()) else TypeChange.OTHER


@pytest.mark.parametrize(("wanted", "held"), sorted(set(PAIRS)))
def test_pair_of_types_has_one_word_in_schema_and_skew(wanted, held):
    before, now = (profile_table(pa.table({"x": HELD[name]})) for name in (wanted, held))
    expected = word(wanted, held)
    assert type_change(families_of(before.by_name["x"]), now.by_name["x"]) is expected
    rules = infer_schema(before, "s").expectations
    typed = Schema(name="s", expectations=tuple(r for r in rules if "type" in r.type.removeprefix("expect")))
    verdict = check_schema(typed, now, Window(uri="unread"), "training")
    checked = {TypeChange.SAME: Outcome.PASS, TypeChange.STORED: Outcome.WARN, TypeChange.OTHER: Outcome.FAIL}
    assert verdict.outcome is checked[expected]
    findings = compare_profiles(before, now).verdict.findings
    told = [f.outcome for f in findings if f.check in ("type", "comparable") and f.subject == "x"]
    assert told == ([] if expected is TypeChange.SAME else [Outcome.WARN])
    stored = [f.reason for f in (*verdict.findings, *findings) if f.reason.endswith(", stored otherwise")]
    assert len(stored) == 2 * (expected is TypeChange.STORED)


@pytest.mark.parametrize(("odd", "outcome"), [([], Outcome.WARN), ([0.5], Outcome.FAIL)])
def test_doubles_that_the_profile_does_not_count_one_by_one_are_whole_by_the_rows(tmp_path, odd, outcome):
    schema = infer_schema(profile_table(pa.table({"n": range(5000)})), "s")
    rules = tuple(rule for rule in schema.expectations if "type_list" in rule.type)
    rows = pa.table({"n": pa.array([None, float("nan"), 0.0, *odd, *map(float, range(2000, 6000)), 9999.0])})
    window = Window(uri=lay(tmp_path, {"rows.parquet": rows}))
    profile = profile_window(window)
    assert type_change({TypeFamily.INTEGER}, profile.by_name["n"]) is TypeChange.UNDECIDED
    verdict = check_schema(Schema(name="s", expectations=rules), profile, window, "training")
    assert verdict.outcome is outcome


def test_floats_without_a_value_are_stored_otherwise_where_integers_were():
    before = profile_table(pa.table({"x": [1, 2]}))
    now = profile_table(pa.table({"x": pa.nulls(3, pa.float64())}))
    assert type_change(families_of(before.by_name["x"]), now.by_name["x"]) is TypeChange.STORED
    assert [f.check for f in compare_profiles(before, now).verdict.findings] == ["null_share"]


def test_whole_numbers_that_floats_do_not_hold_exactly_are_another_type():
    table = pa.table({"x": [2**60 + i for i in range(300)]})
    before = profile_table(table)
    now = profile_table(pa.table({"x": pa.array([float(2**60 + 1024 * i) for i in range(300)])}))
    assert type_change(families_of(before.by_name["x"]), now.by_name["x"]) is TypeChange.OTHER


def test_rule_that_names_single_types_means_them():
    assert type_change(set(), profile_table(pa.table({"x": [1.0]})).by_name["x"]) is TypeChange.SAME
    schema = Schema.from_json(
        {
            "name": "s",
            "expectations": [
                {
                    "type": "expect_column_values_to_be_in_type_list",
                    "kwargs": {"column": "x", "type_list": ["int64"]},
                }
            ],
        }
    )
    profile = profile_table(pa.table({"x": [1.0]}))
    assert check_schema(schema, profile, Window(uri="unread"), "training").outcome is Outcome.FAIL


def test_log_of_a_server_says_nothing_of_the_type_but_a_fraction_does():
    files = profile_table(
        pa.table({"n": [1, 2, 3], "d": pa.array([decimal.Decimal("1.5")] * 3), "m": [1, 2, 3]})
    )
    logged = profile_table(pa.table({"n": [1.0, 2.0, None], "d": [1.5] * 3, "m": [1.0, 2.5, 3.0]}))
    findings = compare_profiles(files, with_types_of(files, logged)).verdict.findings
    assert [f.subject for f in findings if f.check == "type"] == ["m"]
