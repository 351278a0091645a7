"""The order of rows, row groups, files and partitions changes no verdict; distances are those of all rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from airflow_mlops.backends.profiling.files import grid
from airflow_mlops.backends.profiling.files.arrow import profile_table, profile_window
from airflow_mlops.core.data.profile.bins import keys_of, place_bins, values_of
from airflow_mlops.core.data.profile.profile import merge
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.window import Window

ROWS = 40_000
ERROR = 0.005


def cluster(rng, size):
    """Half of the values within a millionth of a range that the other half fills."""
    return np.where(rng.random(size) < 0.5, 1e9 + rng.normal(size=size), 10.0 ** rng.uniform(-10, 10, size))


WORLDS = {
    "normal": lambda rng, size: rng.normal(size=size),
    "uniform": lambda rng, size: rng.random(size),
    "tails": lambda rng, size: rng.standard_cauchy(size),
    "whole": lambda rng, size: rng.integers(-3000, 20_000, size),
    "few": lambda rng, size: rng.integers(0, 5, size),
    "negative": lambda rng, size: -rng.lognormal(2, 2, size),
    "huge": lambda rng, size: rng.normal(size=size) * 1e300,
    "small": lambda rng, size: rng.normal(size=size) * 1e-300,
    "seconds": lambda rng, size: 1.7e9 + rng.exponential(1e4, size),
    "zeros": lambda rng, size: np.where(rng.random(size) < 0.4, 0.0, rng.normal(size=size)),
    "prices": lambda rng, size: np.where(rng.random(size) < 0.3, 1.0, rng.lognormal(size=size)),
    "cluster": cluster,
    "outlier": lambda rng, size: np.append(rng.normal(size=size - 1), 1e18),
    "constant, then not": lambda rng, size: np.where(np.arange(size) < size / 2, 3.0, rng.normal(3, 1, size)),
}
ORDERS = {
    "sorted": np.sort,
    "reversed": lambda values: np.sort(values)[::-1],
    "largest first": lambda values: np.roll(np.sort(values), 1),
    "from the middle": lambda values: values[np.argsort(np.abs(values - np.median(values)), kind="stable")],
    "by last digit": lambda values: values[np.argsort(keys_of(values.astype(float)) % 7, kind="stable")],
}


def profiled(values, **more):
    return profile_table(pa.table({"x": values}), **more)


def distance(one, other):
    tests = compare_profiles(one, other).tests
    return next(test for test in tests if test.effect.name == "ks")


@pytest.mark.parametrize("world", WORLDS)
def test_distance_is_that_of_all_rows_whatever_their_order(world):
    rng = np.random.default_rng(len(world))
    one, other = (WORLDS[world](rng, ROWS) for _ in range(2))
    later = np.sort(other)[ROWS // 5 :]  # a window without the lowest fifth
    exact = stats.ks_2samp(one, later).statistic
    reference = profiled(one)
    for order in ORDERS.values():
        shown = distance(profiled(order(one)), profiled(order(later)))
        assert shown.effect.value == pytest.approx(exact, abs=ERROR)
        assert shown.skewed
        same = distance(reference, profiled(order(one)))
        assert same.effect.value <= ERROR
        assert not same.skewed


@pytest.mark.parametrize(
    "world", sorted(WORLDS.keys() - {"cluster", "prices", "outlier", "constant, then not"})
)
def test_bins_are_the_same_in_any_order_where_values_are_not_crowded(world):
    values = WORLDS[world](np.random.default_rng(1), ROWS)
    first = profiled(values).column("x")
    for order in ORDERS.values():
        other = profiled(order(values)).column("x")
        assert (other.edges, other.counts) == (first.edges, first.counts)


@pytest.mark.parametrize("world", WORLDS)
def test_partitions_add_up_to_the_whole_in_any_order(world):
    values = np.sort(WORLDS[world](np.random.default_rng(2), ROWS))
    parts = [profiled(part) for part in np.array_split(values, 7)]
    together = merge(*parts)
    assert merge(*parts[::-1]).column("x").counts == together.column("x").counts
    one_by_one = parts[3]
    for place in (0, 6, 1, 5, 2, 4):
        one_by_one = merge(one_by_one, parts[place])
    for found in (together, one_by_one):
        assert distance(profiled(values), found).effect.value <= ERROR
        assert len(found.column("x").edges) <= 2048


def test_row_groups_files_and_streams_change_nothing(tmp_path):
    rng = np.random.default_rng(3)
    label = np.repeat([f"class {i}" for i in range(10)], ROWS // 10)
    table = pa.table({"x": np.sort(rng.normal(size=ROWS)), "y": np.arange(ROWS) // 100, "label": label})
    for name, rows in (("a", np.arange(ROWS)), ("b", np.arange(ROWS)[::-1]), ("c", rng.permutation(ROWS))):
        (tmp_path / name).mkdir()
        parts = np.array_split(rows, 3)
        for i, part in enumerate(parts):
            pq.write_table(table.take(pa.array(part)), tmp_path / name / f"{i}.parquet", row_group_size=3000)
    profiles = [profile_window(Window(uri=str(tmp_path / name))) for name in "abc"]
    for profile in profiles[1:]:
        for mine, theirs in zip(profile.columns, profiles[0].columns, strict=True):
            assert (mine.edges, mine.counts) == (theirs.edges, theirs.counts)
            assert mine.categories == theirs.categories
    assert set(profiles[0].column("label").categories) == set(label.tolist())


def test_bins_of_an_old_first_partition_hide_nothing_years_later():
    rng = np.random.default_rng(4)
    first = profiled(rng.normal(size=ROWS))
    years = [rng.normal(1000, 1, ROWS), rng.normal(1000, 1, ROWS) + 1]
    before, now = (profiled(values, bins_from=first) for values in years)
    assert distance(before, now).effect.value == pytest.approx(stats.ks_2samp(*years).statistic, abs=ERROR)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40))
def test_keys_are_in_the_order_of_the_floats(values):
    numbers = np.sort(np.array(values, float))
    keys = keys_of(numbers)
    assert (keys[1:] >= keys[:-1]).all()
    assert values_of(keys).tolist() == (numbers + 0.0).tolist()
    if len(keys):
        unique, counts = np.unique(keys, return_counts=True)
        edges, held = place_bins((unique, unique + 1), counts.astype(float))
        assert sum(held) == len(values)
        assert (
            list(held)
            == np.bincount(np.searchsorted(edges, numbers, side="right"), minlength=len(edges) + 1).tolist()
        )


@pytest.mark.parametrize("world", WORLDS)
def test_a_profile_is_small_whatever_the_values(world):
    column = profiled(WORLDS[world](np.random.default_rng(5), ROWS)).column("x")
    assert len(column.edges) <= 2048
    assert sum(column.counts) == ROWS


def test_grids_join_to_what_one_grid_counts():
    rng = np.random.default_rng(6)
    parts = [keys_of(rng.normal(size=size)) for size in (20_000, 500, 5_000)]
    grids = [grid.Grid() for _ in range(4)]
    for one, keys in zip(grids, [*parts, np.concatenate(parts)], strict=True):
        one.expect(len(keys))
        one.add(keys, np.ones(len(keys), np.int64))
    grids[1].join(grids[0])
    grids[1].join(grids[2])
    for mine, theirs in zip(grids[1].leaves(), grids[3].leaves(), strict=True):
        assert mine.tolist() == theirs.tolist()
