"""Columns of every type with extreme, missing or odd values: what a profile says of them, exactly."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from windows import lay, measure, require_sound

from airflow_mlops.backends.profiling.files.arrow import profile_table, profile_window
from airflow_mlops.backends.profiling.files.dataset import describe_window
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.skew.bins import counts_between
from airflow_mlops.core.errors import MlopsError

NAN, INF = float("nan"), float("inf")
SECONDS_9999 = 253402214400.0
VALUES = {
    "half_floats": (np.array([1, 2, np.nan, 65504], np.float16), None, Kind.NUMBER, 1, 1, 65504),
    "largest_floats": ([1.7e308, -1.7e308, 5e-324], None, Kind.NUMBER, 0, -1.7e308, 1.7e308),
    "only_nan": ([NAN] * 5, None, Kind.NUMBER, 5, None, None),
    "only_infinite": ([INF, -INF], None, Kind.NUMBER, 0, None, None),
    "nan_infinite_null": ([NAN, INF, None], None, Kind.NUMBER, 2, None, None),
    "constant": ([3.5] * 5, None, Kind.NUMBER, 0, 3.5, 3.5),
    "signed_zeros": ([0.0, -0.0], None, Kind.NUMBER, 0, 0.0, 0.0),
    "int64_extremes": ([-(2**63), 2**63 - 1, None], pa.int64(), Kind.INTEGER, 1, -(2.0**63), 2.0**63),
    "uint64_extremes": ([2**64 - 1, 2**63 + 1, 0], pa.uint64(), Kind.INTEGER, 0, 0, 2.0**64),
    "int8_extremes": ([-128, 127], pa.int8(), Kind.INTEGER, 0, -128, 127),
    "decimal_38": ([Decimal("9" * 38), None], pa.decimal128(38, 0), Kind.NUMBER, 1, 1e38, 1e38),
    "decimal_76": ([Decimal("1" * 76)], pa.decimal256(76, 0), Kind.NUMBER, 0, 10.0**76 / 9, 10.0**76 / 9),
    "decimal_fraction": ([Decimal("1e-38")], pa.decimal128(38, 38), Kind.NUMBER, 0, 1e-38, 1e-38),
    "decimal_32": ([Decimal("1.25")], pa.decimal32(5, 2), Kind.NUMBER, 0, 1.25, 1.25),
    "no_float": ([None] * 3, pa.float64(), Kind.NUMBER, 3, None, None),
    "no_text": ([None] * 3, pa.string(), Kind.STRING, 3, None, None),
    "no_flag": ([None] * 3, pa.bool_(), Kind.BOOLEAN, 3, None, None),
    "no_time": ([None] * 3, pa.timestamp("ns"), Kind.DATETIME, 3, None, None),
    "null_type": ([None] * 3, pa.null(), Kind.UNSUPPORTED, 3, None, None),
    "empty_texts": (["", None, ""], None, Kind.STRING, 1, 0, 0),
    "large_texts": (["a", "bb"], pa.large_string(), Kind.STRING, 0, 1, 2),
    "text_views": (["a", "b" * 50, None], pa.string_view(), Kind.STRING, 1, 1, 50),
    "texts_of_a_megabyte": (["a" * 1_000_000, "b" * 1_000_000], None, Kind.STRING, 0, 1e6, 1e6),
    "characters_not_bytes": (["é", "日本", "\0x", "👩‍👩‍👧"], None, Kind.STRING, 0, 1, 5),
    "years_1_to_9999": (
        [-62135596800 * 10**6, 253402214400 * 10**6],
        pa.timestamp("us"),
        Kind.DATETIME,
        0,
        -62135596800.0,
        SECONDS_9999,
    ),
    "dates": ([dt.date(1970, 1, 2), None], pa.date32(), Kind.DATETIME, 1, 86400, 86400),
    "dates_beyond_pandas": (pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), None, Kind.DATETIME, 0)
    + ((2.0**31 - 1) * 86400,) * 2,
    "time_zone": (
        [dt.datetime(1970, 1, 1, 1, tzinfo=dt.UTC)],
        pa.timestamp("us", "Europe/Berlin"),
        Kind.DATETIME,
        0,
        3600,
        3600,
    ),
    "time_zone_that_is_none": ([1_000_000], pa.timestamp("us", "Nowhere/None"), Kind.DATETIME, 0, 1, 1),
    "codes_of_integers": (pa.array([5, 6, None]).dictionary_encode(), None, Kind.INTEGER, 1, 5, 6),
    "codes_of_texts": (pa.array(["a", "b", None]).dictionary_encode(), None, Kind.STRING, 1, 1, 1),
    "lists": ([[1, 2], None, []], None, Kind.UNSUPPORTED, 1, None, None),
    "structs": ([{"a": 1}, None], None, Kind.UNSUPPORTED, 1, None, None),
    "maps": ([[("k", 1)]], pa.map_(pa.string(), pa.int64()), Kind.UNSUPPORTED, 0, None, None),
    "deeply_nested": ([[{"a": [1]}], None], None, Kind.UNSUPPORTED, 1, None, None),
    "bytes": ([b"a", None, b"\xff"], None, Kind.UNSUPPORTED, 1, None, None),
    "bytes_of_fixed_length": ([b"abcd"], pa.binary(4), Kind.UNSUPPORTED, 0, None, None),
    "times_of_day": ([dt.time(1, 2), None], None, Kind.UNSUPPORTED, 1, None, None),
    "durations": ([dt.timedelta(1)], None, Kind.UNSUPPORTED, 0, None, None),
}


@pytest.mark.parametrize(
    ("values", "arrow_type", "kind", "nulls", "low", "high"), VALUES.values(), ids=VALUES
)
def test_odd_values_are_counted_or_named_unsupported(tmp_path, values, arrow_type, kind, nulls, low, high):
    array = values if isinstance(values, pa.Array) else pa.array(values, arrow_type)
    table = pa.table({"x": array})
    for profile in (measure(lay(tmp_path, {"rows.parquet": table})), profile_table(table)):
        column = profile.column("x")
        assert (column.kind, column.nulls) == (kind, nulls)
        assert column.minimum == (low if low is None else pytest.approx(low, rel=1e-12, abs=0))
        assert column.maximum == (high if high is None else pytest.approx(high, rel=1e-12, abs=0))


def test_one_row_is_a_window(tmp_path):
    column = measure(lay(tmp_path, {"rows.parquet": pa.table({"x": [7]})})).column("x")
    assert (column.mean, column.deviation, column.distinct) == (7, 0, pytest.approx(1, abs=0.01))


def test_infinite_values_leave_the_moments_alone(tmp_path):
    column = measure(lay(tmp_path, {"rows.parquet": pa.table({"x": [1.0, 3.0, INF, -INF, NAN]})})).column("x")
    assert (column.infinite, column.nans, column.mean, column.deviation) == (2, 1, 2, 1)


@pytest.mark.parametrize("name", ["a b", "a.b", "é", "", "x\ny", "日", "a/b", "x" * 5000, "{}", "null", "1"])
def test_odd_column_name_is_kept(tmp_path, name):
    table = pa.table({name: ["p", "q", None], "plain": [1, 2, 3]})
    profile = measure(lay(tmp_path, {"rows.parquet": table}))
    assert profile.names == (name, "plain")
    assert profile.column(name).named == {"p": 1, "q": 1}
    again = profile_window(describe_window(str(tmp_path)), bins_from=profile)
    assert again.columns == profile.columns


def test_field_of_a_struct_is_not_taken_for_a_column_with_a_dot(tmp_path):
    table = pa.table({"a": [{"b": "inner"}] * 3, "a.b": ["outer"] * 3})
    profile = measure(lay(tmp_path, {"rows.parquet": table}))
    assert profile.column("a.b").named == {"outer": 3}
    assert profile.column("a").kind is Kind.UNSUPPORTED


def test_nested_texts_stored_as_codes_are_read_as_they_are(tmp_path):
    rows = 10_000
    table = pa.table(
        {"a": [{"b": "inner"}] * rows, "a.b": ["outer"] * rows, "l": [["x"], None] * (rows // 2)}
    )
    profile = measure(lay(tmp_path, {"rows.parquet": table}))
    assert profile.column("a.b").named == {"outer": rows}
    assert (profile.column("a").present, profile.column("l").nulls) == (rows, rows // 2)


def test_cells_span_the_largest_floats():
    values = [-1.79e308, -4e160, -1.0, 2.0, 4.0, 1.79e308]
    column = profile_table(pa.table({"x": values})).column("x")
    assert column.single_values.tolist() == values
    assert counts_between(column, np.asarray([-1e308, 0.0, 3.0])).tolist() == [1, 2, 1, 2]


def test_names_that_differ_in_case_are_two_columns(tmp_path):
    assert measure(lay(tmp_path, {"rows.parquet": pa.table({"x": [1], "X": ["a"]})})).names == ("x", "X")


@pytest.mark.slow
def test_ten_thousand_columns_are_profiled(tmp_path):
    table = pa.table({f"c{i}": [float(i), None] for i in range(10_000)})
    profile = measure(lay(tmp_path, {"rows.parquet": table}))
    assert len(profile.names) == 10_000
    assert profile.column("c9999").maximum == 9999


@pytest.mark.slow
def test_million_distinct_texts_are_estimated_and_none_is_kept(tmp_path):
    rows = 1_000_000
    table = pa.table({"key": pa.array(np.char.add("k", np.arange(rows).astype(str)))})
    column = measure(lay(tmp_path, {"rows.parquet": table})).column("key")
    assert column.distinct == pytest.approx(rows, rel=0.1)
    assert (column.other, len(column.named) <= 64, column.names_all) == (rows, True, False)


def test_null_among_the_values_of_a_dictionary_is_a_null():
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array(["a", None]))
    profile = profile_table(pa.table({"x": codes}))
    require_sound(profile)
    assert (profile.column("x").nulls, profile.column("x").named) == (2, {"a": 2})


def test_value_that_stands_twice_in_a_dictionary_is_one_value():
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "b", "a"]))
    column = profile_table(pa.table({"x": codes})).column("x")
    assert (column.named, column.distinct) == ({"a": 2, "b": 1}, 2)


def test_rows_of_a_slice_are_those_counted():
    table = pa.table({"x": [1.0, None, 3.0, 4.0], "c": ["a", None, "b", "a"], "f": [True, None, False, True]})
    for part in (table.slice(1, 2), table.slice(3)):
        profile = profile_table(part)
        require_sound(profile)
        alone = profile_table(pa.Table.from_pylist(part.to_pylist(), schema=part.schema))
        assert profile.columns == alone.columns


def test_column_that_stands_twice_in_a_table_is_refused():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(MlopsError, match="'x'"):
        profile_table(table)


def test_moments_far_from_zero_stay_exact():
    values = np.random.default_rng(0).normal(1e9, 1.0, 10_000)
    column = profile_table(pa.table({"x": values})).column("x")
    assert column.mean == pytest.approx(values.mean(), rel=1e-12)
    assert column.deviation == pytest.approx(values.std(), rel=1e-6)
    assert math.isfinite(column.total_squares)
