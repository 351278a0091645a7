from __future__ import annotations

import datetime as dt
import decimal
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.profile import Profile, merge
from airflow_mlops.core.errors import InvalidRecordError

VALUES = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.nan)),
        st.one_of(st.none(), st.sampled_from("abcdef")),
        st.one_of(st.none(), st.booleans()),
    ),
    max_size=40,
)
SCHEMA = pa.schema([("x", pa.float64()), ("c", pa.string()), ("b", pa.bool_())])


def table(rows):
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table([pa.array(c, type=f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def same(one: Profile, other: Profile):
    assert one.rows == other.rows
    for left, right in zip(one.columns, other.columns, strict=True):
        for name in ("name", "kind", "nulls", "nans", "minimum", "maximum", "counts", "categories", "other"):
            assert getattr(left, name) == getattr(right, name), (left.name, name)
        assert left.total == pytest.approx(right.total, rel=1e-9, abs=1e-5)
        assert left.total_squares == pytest.approx(right.total_squares, rel=1e-9, abs=1e-5)


@settings(deadline=None)
@given(VALUES, VALUES, VALUES)
def test_profiles_of_parts_add_up_to_the_profile_of_the_whole_in_any_order(one, two, three):
    bins = profile_table(table(one + two + three))
    parts = [profile_table(table(rows), bins_from=bins) for rows in (one, two, three)]
    whole = profile_table(table(one + two + three), bins_from=bins)
    same(merge(*parts), whole)
    same(merge(parts[2], merge(parts[1], parts[0])), whole)


def test_older_profile_without_a_partition_column_says_none():
    stored = profile_table(table([])).to_json()
    assert stored["partition_column"] is None
    assert Profile.from_json(stored | {"partition_column": ""}).partition_column is None


@settings(deadline=None)
@given(VALUES)
def test_profile_survives_json(rows):
    profile = profile_table(table(rows))
    assert Profile.from_json(profile.to_json()) == profile


def test_numbers_agree_with_numpy():
    values = np.random.default_rng(0).normal(5, 2, 10_000)
    column = profile_table(pa.table({"x": values})).column("x")
    assert column.mean == pytest.approx(values.mean())
    assert column.deviation == pytest.approx(values.std())
    assert (column.minimum, column.maximum, column.present) == (values.min(), values.max(), 10_000)
    bins = np.searchsorted(column.edges, values, side="right")
    assert list(column.counts) == np.bincount(bins, minlength=len(column.edges) + 1).tolist()


def test_nan_and_infinity_do_not_poison_the_moments():
    column = profile_table(pa.table({"x": [1.0, math.nan, math.inf, None, 3.0]})).column("x")
    assert (column.nulls, column.nans, column.minimum, column.maximum) == (2, 1, 1.0, 3.0)
    assert (column.mean, column.present, column.infinite) == (2.0, 3, 1)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None], Kind.INTEGER),
        ([1.5, None], Kind.NUMBER),
        ([decimal.Decimal("1.5"), None], Kind.NUMBER),
        ([True, None], Kind.BOOLEAN),
        (["a", None], Kind.STRING),
        (pa.array(["a", None]).dictionary_encode(), Kind.STRING),
        ([dt.datetime(2013, 1, 1, tzinfo=dt.UTC), None], Kind.DATETIME),
        ([dt.date(2013, 1, 1), None], Kind.DATETIME),
        ([[1, 2], None], Kind.UNSUPPORTED),
        ([{"a": 1}, None], Kind.UNSUPPORTED),
        ([b"raw", None], Kind.UNSUPPORTED),
    ],
)
def test_every_arrow_type_is_profiled_or_named_unsupported(values, kind):
    column = profile_table(pa.table({"x": values})).column("x")
    assert (column.kind, column.nulls, column.present) == (kind, 1, 1)


def test_all_null_and_empty_columns_are_counted_not_guessed():
    nulls = profile_table(pa.table({"x": pa.array([None, None], pa.float64())})).column("x")
    assert (nulls.nulls, nulls.minimum, nulls.mean) == (2, None, None)
    assert profile_table(pa.table({"x": pa.array([], pa.string())})).rows == 0


def test_unknown_categories_are_counted_and_named():
    bins = profile_table(pa.table({"c": ["a", "b"]}))
    column = profile_table(pa.table({"c": ["a", "z", "z"]}), bins_from=bins).column("c")
    assert (column.categories, column.other, column.heavy_hitters) == ({"a": 1, "b": 0}, 2, {"z": 2})


def test_profiles_of_different_kinds_do_not_add_up():
    one, other = (profile_table(pa.table({"x": values})) for values in ([1.0, 2.0], ["a"]))
    with pytest.raises(InvalidRecordError, match="column x: different bins or kinds"):
        merge(one, other)


def test_numbers_in_different_bins_add_up():
    one, other = (profile_table(pa.table({"x": values})) for values in ([1.0, 2.0], [2.0, 9.0]))
    both = merge(one, other).column("x")
    assert both.single_values.tolist() == [1.0, 2.0, 9.0]
    assert (both.mean, both.present, both.counts) == (3.5, 4, (0, 1, 0, 2, 0, 1, 0))


def test_column_absent_from_one_part_is_missing_there():
    one = profile_table(pa.table({"x": [1.0], "y": [1.0]}))
    other = profile_table(pa.table({"x": [1.0]}), bins_from=one)
    assert merge(one, other).column("y").nulls == 1
    assert merge(other, one).column("y").nulls == 1


def test_texts_that_are_all_named_add_up_whatever_their_cells():
    one, other = (profile_table(pa.table({"c": values})) for values in (["a", "b"], ["b", "c", "c"]))
    both = merge(one, other).column("c")
    assert both.named == {"b": 2, "c": 2, "a": 1}
    assert both == replace(merge(other, one).column("c"), categories=both.categories)
