"""A rule is judged alike whatever type a file stores its column in: as Great Expectations judges the rows."""

from __future__ import annotations

import datetime as dt
import decimal

import pyarrow as pa
import pytest
from windows import lay

from airflow_mlops.backends.profiling.files.arrow import profile_table, profile_window
from airflow_mlops.backends.rules.great_expectations import as_frame, check_schema, evaluate_rows
from airflow_mlops.backends.rules.schema_file import parse_schema
from airflow_mlops.core.data.expectations.evaluate import COLUMN_EVALUATORS, evaluate_rule
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.verdict import Outcome

WHOLE = (
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()
)  # fmt: skip
FLOATS = (pa.float16(), pa.float32(), pa.float64())
DECIMALS = (pa.decimal32(5, 2), pa.decimal64(12, 2), pa.decimal128(10, 2), pa.decimal256(40, 2))
TEXTS = (
    pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_string()),
)  # fmt: skip
UNITS = ("s", "ms", "us", "ns")
TIMES = [pa.timestamp(unit, zone) for unit in UNITS for zone in (None, "UTC", "Europe/Berlin")]
DATES = (pa.date32(), pa.date64())
DAY = dt.date(2013, 1, 2)
VALUES = {
    **dict.fromkeys(WHOLE, (1, 2, 2)),
    **dict.fromkeys(FLOATS, (0.5, 2.0, 2.0)),
    **dict.fromkeys(DECIMALS, tuple(map(decimal.Decimal, ("0.50", "2.00", "2.00")))),
    **dict.fromkeys(TEXTS, ("a", "bb", "bb")),
    **dict.fromkeys(DATES, (DAY, DAY, dt.date(2014, 1, 1))),
    **{
        kind: tuple(dt.datetime(2013, 1, day, tzinfo=dt.UTC if kind.tz else None) for day in (1, 2, 2))
        for kind in TIMES
    },
    pa.bool_(): (True, False, False),
    pa.null(): (None, None, None),
    pa.binary(): (b"a", b"b", b"b"),
    pa.time64("us"): (dt.time(1), dt.time(2), dt.time(2)),
    pa.duration("us"): (dt.timedelta(1), dt.timedelta(2), dt.timedelta(2)),
    pa.list_(pa.int64()): ([1], [2], [2]),
}
BETWEEN = [
    {"min_value": 0, "max_value": 1},
    {"min_value": 0, "max_value": 2},
    {"max_value": 50, "mostly": 0.5},
]
BETWEEN += [{"min_value": "2013-01-01T00:00:00", "max_value": "2013-01-02T00:00:00"}]
BETWEEN += [
    {"min_value": "2013-01-01T00:00:00+00:00"},
    {"min_value": "2013-01-01", "max_value": "2013-01-02"},
]
SETS = [{"value_set": values} for values in ([1, 2], ["a", "bb"], [0.5, 2.0], [True, False], [7])]
ARGUMENTS = {
    "lengths_to_equal": [{"value": 1}, {"value": 2}],
    "lengths_to_be_between": [{"min_value": 1, "max_value": 2}],
    "unique_value_count": [{"min_value": 1, "max_value": 2}],
    "type_list": [
        {"type_list": None},
        {"type_list": ["float64", "float16"]},
        {"type_list": ["str", "int64"]},
    ],
    "of_type": [{"type_": "float16"}, {"type_": "str"}, {"type_": "datetime64[ns]"}],
    "set": SETS,
    "between": BETWEEN,
    "": [{}],
}


MISSING = {
    "none": lambda values: values,
    "some": lambda values: (*values, None),
    "all": lambda _: (None,) * 4,
}


def arguments(kind, place):
    """Return a kind's arguments; of ranges of values, which take long to judge, one a column, in turn."""
    if kind.endswith("values_to_be_between"):
        return [BETWEEN[place % len(BETWEEN)]]
    return [{}] if kind.endswith("to_exist") else ARGUMENTS[next(part for part in ARGUMENTS if part in kind)]


def columns():
    """A column of each type without nulls, one with some, one with nulls only."""
    made = {}
    for kind, values in VALUES.items():
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        for missing, of in MISSING.items():
            array = pa.array([*of(values), *values][:4], plain)
            made[f"{kind} {missing}"] = array.dictionary_encode().cast(kind) if plain is not kind else array
    return pa.table(made)


def is_range_of_another_kind(rule, ours, theirs):
    """A range of another kind than the values fails by name; Great Expectations reports an error."""
    return "_to_be_between" in rule.type and (ours, theirs) == (Outcome.FAIL, Outcome.ERROR)


@pytest.mark.parametrize("kind", sorted(COLUMN_EVALUATORS))
def test_rule_on_each_storage_type_is_judged_as_on_the_rows(kind):
    table = columns()
    profile = profile_table(table)
    rules = [
        Rule(type=kind, kwargs={"column": column, **more})
        for place, column in enumerate(table.column_names)
        for more in arguments(kind, place)
    ]
    asked = [(rule, found) for rule in rules if (found := evaluate_rule(rule, profile)) is not None]
    theirs = evaluate_rows([rule for rule, _ in asked], as_frame(table))
    for (rule, ours), their in zip(asked, theirs, strict=True):
        told = (rule.kwargs, ours.reason, their.reason)
        assert ours.outcome is their.outcome or is_range_of_another_kind(rule, ours.outcome, their.outcome), (
            told
        )


def test_half_floats_that_are_all_null_cannot_be_measured(tmp_path):
    uri = lay(tmp_path, {"rows.parquet": pa.table({"h": pa.nulls(3, pa.float16())})})
    between = Rule(
        type="expect_column_values_to_be_between", kwargs={"column": "h", "min_value": 0, "max_value": 1}
    )
    window = Window(uri=uri)
    verdict = check_schema(
        Schema(name="s", expectations=(between,)), profile_window(window), window, "training"
    )
    assert verdict.outcome is Outcome.ERROR
    assert "could not be measured" in verdict.reasons[0]


@pytest.mark.parametrize("arguments", ["{column: x, type_list: null}", "{column: x}"])
def test_type_list_may_be_null_and_then_allows_any_type(arguments):
    text = "name: s\nexpectations:\n- type: expect_column_values_to_be_in_type_list\n  kwargs: "
    schema = parse_schema(text + arguments, "s.yaml")
    found = evaluate_rule(schema.expectations[0], profile_table(pa.table({"x": [1]})))
    assert (found.outcome, found.reason) == (Outcome.PASS, "x: any type is allowed")
