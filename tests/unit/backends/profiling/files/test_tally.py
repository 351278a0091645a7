from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.backends.profiling.files import kernels
from airflow_mlops.backends.profiling.files.arrow import profile_table, profile_window
from airflow_mlops.backends.profiling.files.dataset import describe_window
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.profile import merge
from airflow_mlops.core.data.profile.sketch import DISTINCT_ERROR


def zipf(rows, seed=0):
    return np.char.add("v", (np.random.default_rng(seed).zipf(1.2, rows) % 10**9).astype(str))


def test_frequent_values_are_named_within_the_stated_error_when_there_are_too_many_for_cells():
    late = np.array(["late"] * 30_000)
    values = np.concatenate([zipf(200_000), late])
    column = profile_table(pa.table({"c": values})).column("c")
    truth = Counter(values.tolist())
    assert column.heavy_hitters["late"] > 20_000
    for name, count in column.heavy_hitters.items():
        assert count <= truth[name] <= count + column.heavy_hitters_error
    assert {n for n, c in truth.items() if c > column.heavy_hitters_error} <= column.named.keys()
    assert all(truth[name] == count for name, count in column.categories.items())
    assert column.present == len(values)
    assert column.heavy_hitters_error < len(values) / 500


@pytest.mark.parametrize("rows", [10, 1000, 300_000])
def test_distinct_values_are_estimated_within_the_stated_error(rows):
    keys = np.arange(rows) * 7919 + 2**60
    for values in (keys, keys.astype(str), np.datetime64(0, "us") + keys % 2**50):
        distinct = profile_table(pa.table({"x": values})).column("x").distinct
        assert distinct == pytest.approx(rows, rel=4 * DISTINCT_ERROR)


def test_sketches_of_parts_add_up_within_their_error_in_any_order():
    parts = [pa.table({"c": zipf(50_000, seed)}) for seed in range(4)]
    cells = profile_table(parts[0])
    profiles = [profile_table(part, bins_from=cells) for part in parts]
    truth = Counter(value for part in parts for value in part.column("c").to_pylist())
    for order in (profiles, profiles[::-1]):
        column = merge(*order).column("c")
        assert column.distinct == pytest.approx(len(truth), rel=4 * DISTINCT_ERROR)
        for name, count in column.heavy_hitters.items():
            assert count <= truth[name] <= count + column.heavy_hitters_error
        assert {n for n, c in truth.items() if c > column.heavy_hitters_error} <= column.named.keys()


def test_compiled_loops_do_what_their_python_does(monkeypatch):
    values = pa.array([*zipf(9_000).tolist(), None, "", "é"])
    table = pa.table(
        {
            "c": values,
            "d": values.dictionary_encode(),
            "i": pa.array([*range(9_001), None, 5]),
            "x": [0.5] * 9_003,
        }
    )
    compiled = profile_table(table)
    names = [name for name in dir(kernels) if hasattr(getattr(kernels, name), "py_func")]
    for name in names:
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    with np.errstate(over="ignore"):
        assert profile_table(table) == compiled
    assert "tally_text" in names


def test_lengths_are_counted_in_characters():
    column = profile_table(pa.table({"c": ["é", "日本語", "", None]})).column("c")
    assert (column.minimum, column.maximum, column.mean) == (0, 3, pytest.approx(4 / 3))


def test_moments_keep_their_digits_when_values_are_far_from_zero():
    seconds = 1.7e9 + np.random.default_rng(0).normal(0, 0.01, 10_000)
    column = profile_table(pa.table({"x": seconds})).column("x")
    assert column.deviation == pytest.approx(seconds.std(), rel=1e-4)
    assert column.mean == pytest.approx(seconds.mean(), rel=1e-12)


def test_largest_floats_give_a_profile_that_json_can_hold():
    column = profile_table(pa.table({"x": [1.7e308, -1.7e308, math.inf, 0.0]})).column("x")
    assert (column.minimum, column.maximum, column.infinite, column.present) == (-1.7e308, 1.7e308, 1, 4)
    assert math.isfinite(column.total_squares)


def parquet(folder, name, table, **options):
    pq.write_table(table, folder / name, **options)
    return describe_window(str(folder))


def test_row_groups_dictionaries_and_absent_columns_change_nothing(tmp_path):
    rng = np.random.default_rng(1)
    columns = {f"x{i}": rng.normal(size=5_000) for i in range(20)}
    table = pa.table(columns | {"c": rng.choice(list("abc"), 5_000), "k": zipf(5_000)})
    parquet(tmp_path, "a.parquet", table, row_group_size=700)
    window = parquet(tmp_path, "b.parquet", table.select(["c", "x3"]), use_dictionary=False)
    whole = pa.concat_tables([table, table.select(["x3", "c"])], promote_options="default")
    profile = profile_window(window)
    expected = profile_table(whole, bins_from=profile)
    assert profile.rows == 10_000
    for mine, theirs in zip(profile.columns, expected.columns, strict=True):
        assert mine.total == pytest.approx(theirs.total)
        for name in ("nulls", "minimum", "maximum", "counts", "categories", "other", "registers"):
            assert getattr(mine, name) == getattr(theirs, name), (mine.name, name)


def test_types_are_widened_when_files_differ(tmp_path):
    parquet(tmp_path, "a.parquet", pa.table({"x": pa.array([1, 2], pa.int32())}))
    window = parquet(tmp_path, "b.parquet", pa.table({"x": [0.5, None]}))
    column = profile_window(window).column("x")
    assert (column.kind, column.nulls, column.maximum) == (Kind.NUMBER, 1, 2.0)


def test_all_null_column_takes_kind_and_cells_of_the_reference(tmp_path):
    window = parquet(tmp_path, "a.parquet", pa.table({"x": pa.nulls(3), "c": pa.nulls(3)}))
    cells = profile_table(pa.table({"x": [1.0, 2.0], "c": ["a", "b"]}))
    profile = profile_window(window, bins_from=cells)
    assert [(c.kind, c.nulls) for c in profile.columns] == [(Kind.NUMBER, 3), (Kind.STRING, 3)]
    assert merge(cells, profile).rows == 5


def test_object_storage_is_read_through_fsspec():
    import fsspec

    memory = fsspec.filesystem("memory")
    with memory.open("/lake/month=2013-01/part.parquet", "wb") as file:
        pq.write_table(pa.table({"x": [1, 2, 3]}), file)
    with memory.open("/lake/month=2013-01/_temporary/part.parquet", "wb") as file:
        file.write(b"half")
    with memory.open("/flat.csv", "wb") as file:
        file.write(b"x,c\n1,a\n2,b\n")
    try:
        for uri in ("memory://lake", "memory://some_conn@lake"):
            window = describe_window(uri, ["2013-01"], memory)
            assert (window.rows, profile_window(window, filesystem=memory).rows) == (3, 3)
        flat = profile_window(describe_window("memory://flat.csv"))
        assert flat.column("c").named == {"a": 1, "b": 1}
    finally:
        memory.store.clear()
