"""What every profile engine must say of the same rows; run over Arrow, DuckDB, Postgres and Spark."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import shutil
from dataclasses import replace

import databases
import numpy as np
import postgres_server
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlops.backends.profiling.files.arrow import profile_table
from airflow_mlops.backends.profiling.tables.sql_table import profile_table_uri
from airflow_mlops.core.data.profile.bins import BIN_SHARE, read_below
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.profile import merge
from airflow_mlops.core.data.profile.sketch import VALUES_SAMPLED, hash_text
from airflow_mlops.core.data.skew.compare import compare_profiles
from airflow_mlops.core.data.skew.policy import SkewPolicy
from airflow_mlops.core.errors import InvalidDataError

pytest.importorskip("ibis")

ROWS = 4000
TEXTS = [
    "",
    " ",
    "é",
    "日本語",
    "🤦🏼",
    "it's",
    'a "b"',
    "back\\slash",
    "\\'",
    "new\nline",
    "tab\t",
    "%s {x}",
    "--;",
]


def rows(seed=0, size=ROWS, names=TEXTS):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=size)
    special = numbers.copy()
    special[::7] = math.nan
    special[1::11], special[2::13] = math.inf, -math.inf
    stamps = rng.integers(-(10**15), 2 * 10**15, size)
    gaps = rng.random(size) < 0.2
    cents = [decimal.Decimal(int(v)).scaleb(-2) for v in rng.integers(-(10**9), 10**9, size)]
    return pa.table(
        {
            "normal": numbers,
            "far": 1.7e9 + numbers,
            "special": pa.array(special, mask=gaps),
            "single": pa.array(numbers.astype(np.float32)),
            "constant": np.full(size, 0.1),
            "few": pa.array(rng.integers(0, 5, size), pa.int64(), mask=gaps),
            "small": pa.array(rng.integers(-128, 128, size), pa.int16()),
            "middle": pa.array(rng.integers(-(2**31), 2**31, size), pa.int32()),
            "large": pa.array(rng.integers(-(2**62), 2**62, size), pa.int64()),
            "nothing": pa.array([None] * size, pa.float64()),
            "no text": pa.array([None] * size, pa.string()),
            "text": pa.array(rng.choice(names, size), mask=gaps),
            'key "1"': [f"k{v}" for v in rng.integers(0, 3000, size)],
            "flag": pa.array(rng.random(size) < 0.3, mask=gaps),
            "stamp": pa.array(stamps, pa.timestamp("us"), mask=gaps),
            "zoned": pa.array(stamps, pa.timestamp("us", tz="UTC")),
            "day": pa.array(stamps // 86_400_000_000, pa.int32()).cast(pa.date32()),
            "price": pa.array(cents, pa.decimal128(12, 2)),
            "precise": pa.array([cent.scaleb(-18) for cent in cents], pa.decimal128(38, 20)),
            "bytes": pa.array([b"\x00x"] * size, pa.binary(), mask=gaps),
        }
    )


@pytest.fixture(scope="module")
def arrow():
    return databases.ArrowEngine()


@pytest.fixture(scope="module")
def duckdb():
    with databases.open_duckdb() as database:
        yield database


@pytest.fixture(scope="module")
def duckdb_parquet(tmp_path_factory):
    with databases.open_duckdb(tmp_path_factory.mktemp("duckdb")) as database:
        yield database


@pytest.fixture(scope="module")
def postgres():
    if postgres_server.find_binaries() is None:
        pytest.skip("no Postgres server is installed")
    with databases.open_postgres() as database:
        yield database


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("no Java is installed")
    with databases.open_spark(tmp_path_factory.mktemp("spark")) as database:
        yield database


ENGINES = [
    "arrow",
    "duckdb",
    "duckdb_parquet",
    pytest.param("postgres", marks=pytest.mark.integration),
    pytest.param("spark", marks=pytest.mark.slow),
]


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.getfixturevalue(request.param)


def assert_same(found, wanted, reference=None):
    """Compare all numbers exactly but sums, edges of numbers with many values, and what is only bounded.

    Sums are about the origin of the reference: as exact as numbers of its size are.
    """
    origins = {column.name: column.origin for column in reference.columns} if reference else {}
    assert (found.rows, found.names, found.partitions) == (wanted.rows, wanted.names, wanted.partitions)
    for mine, theirs in zip(found.columns, wanted.columns, strict=True):
        sizes = (theirs.deviation or 0.0, theirs.mean or 0.0, origins.get(mine.name, 0.0))
        scale = max(1e-300, *map(abs, sizes))
        assert mine.mean == (None if theirs.mean is None else pytest.approx(theirs.mean, abs=1e-9 * scale))
        if theirs.deviation is not None:
            assert mine.deviation == pytest.approx(theirs.deviation, rel=1e-6, abs=1e-7 * scale), mine.name
        bounded = {"total": 0.0, "total_squares": 0.0, "heavy_hitters": {}, "heavy_hitters_error": 0}
        engines = {"registers": "", "exact_distinct": None, "arrow_type": ""}
        engines |= {"value_sample": {}, "value_hash": ""}
        if mine.edges != theirs.edges:
            assert theirs.single_values is None, mine.name
            assert_same_numbers(mine, theirs)
            engines |= {"edges": (), "counts": ()}
        assert len(mine.value_sample) == len(theirs.value_sample), mine.name
        assert replace(mine, **bounded, **engines) == replace(theirs, **bounded, **engines)


def assert_same_numbers(mine, theirs):
    """Check that as many values lie below any point, up to a bin of each."""
    points = np.unique(np.concatenate([mine.below[0], theirs.below[0]]))
    apart = read_below(*mine.below, points) - read_below(*theirs.below, points)
    assert mine.present == theirs.present
    assert np.abs(apart).max() <= 2 * BIN_SHARE * mine.present + 1


def assert_bounds_hold(profile, table):
    """Check that what an engine only bounds contains the truth."""
    for column in profile.columns:
        if column.kind is not Kind.STRING:
            continue
        counted = pc.value_counts(table.column(column.name).combine_chunks().drop_null()).to_pylist()
        truth = {entry["values"]: entry["counts"] for entry in counted}
        for name, count in column.heavy_hitters.items():
            assert count <= truth[name] <= count + column.heavy_hitters_error
        unnamed = {n: c for n, c in truth.items() if n not in (column.categories | column.heavy_hitters)}
        assert all(count <= column.heavy_hitters_error for count in unnamed.values())
        hashed = {hash_text(n, column.value_hash): truth[n] for n in truth if n not in column.categories}
        whole = dict(sorted(hashed.items())[:VALUES_SAMPLED])
        assert column.value_sample == (whole if column.samples_values else {})
        assert column.exact_distinct in (None, len(truth))
        assert column.distinct is None or column.distinct == pytest.approx(len(truth), rel=0.1)


def test_numbers_are_the_arrow_engines_when_cells_come_from_the_rows(engine):
    table = rows()
    found = engine.profile(table)
    assert_same(found, profile_table(table))
    assert_bounds_hold(found, table)
    assert found.column("bytes").kind is Kind.UNSUPPORTED
    assert found.column("far").deviation == pytest.approx(found.column("normal").deviation, rel=1e-6)


def test_numbers_are_the_arrow_engines_when_cells_come_from_a_reference(engine):
    table, reference = rows(1), profile_table(rows(2, 500, TEXTS[:5]))
    found = engine.profile(table, bins_from=reference)
    assert_same(found, profile_table(table, bins_from=reference))
    assert_bounds_hold(found, table)
    assert found.column("text").other > 0
    assert set(found.column("text").heavy_hitters) == set(TEXTS[5:])
    assert found.column('key "1"').heavy_hitters_error > 0


def test_profiles_of_halves_add_up_to_the_whole(engine):
    table = rows(3)
    reference = profile_table(rows(4))
    halves = [engine.profile(table.slice(at, 1500), bins_from=reference) for at in (0, 1500)]
    whole = engine.profile(table.slice(0, 3000), bins_from=reference)
    assert_same(merge(*halves), whole)
    assert_bounds_hold(merge(*halves), table.slice(0, 3000))


def test_sum_with_the_arrow_engines_profile_never_knows_a_distinct_count_of_one_half(engine):
    table = rows(3)
    one = profile_table(table.slice(0, 100))
    both = merge(one, engine.profile(table.slice(100), bins_from=one))
    assert_bounds_hold(both, table)
    assert both.column("large").distinct is None or both.column("large").distinct > 0.9 * ROWS


def test_profile_compares_with_one_of_the_arrow_engine(engine):
    reference = profile_table(rows(5))
    current = engine.profile(rows(6), bins_from=reference)
    report = compare_profiles(reference, current, SkewPolicy(ignore=('key "1"',)))
    assert report.not_compared == ()
    assert not [test.column for test in report.tests if test.skewed]


def test_table_without_rows_has_an_empty_profile(engine):
    table = rows().slice(0, 0)
    found = engine.profile(table)
    assert_same(found, profile_table(table))
    assert found.rows == 0


@pytest.mark.integration
def test_partition_of_a_postgres_table_is_read_by_its_uri(postgres):
    table = rows(7)
    postgres.keep("trips", table)
    year = pc.equal(pc.year(table.column("zoned")), 2001)
    for column in ("stamp", "zoned", "day"):
        window, profile = profile_table_uri(f"{postgres.url}#table=public.trips&partition={column}", ["2001"])
        wanted = table.filter(
            year if column != "stamp" else pc.fill_null(pc.equal(pc.year(table.column("stamp")), 2001), False)
        )
        assert_same(replace(profile, partitions=()), profile_table(wanted))
        assert (window.rows, window.partitions) == (wanted.num_rows, ("2001",))


@pytest.mark.integration
def test_squares_that_postgres_cannot_add_are_an_error(postgres):
    postgres.keep("huge", pa.table({"x": [1e200, 0.0]}))
    with pytest.raises(InvalidDataError, match="out of range"):
        profile_table_uri(f"{postgres.url}#table=huge")


EXTREMES = st.one_of(
    st.none(), st.floats(-1e100, 1e100), st.sampled_from([math.nan, math.inf, -math.inf, -0.0])
)
MOMENTS = st.datetimes(dt.datetime(1800, 1, 1), dt.datetime(2200, 1, 1))  # noqa: DTZ001 - naive ones
SOME = st.lists(
    st.tuples(
        EXTREMES,
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=4), st.sampled_from(TEXTS)),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), MOMENTS),
    ),
    max_size=30,
)
KINDS = {"x": pa.float64(), "i": pa.int64(), "t": pa.string(), "b": pa.bool_(), "s": pa.timestamp("us")}


def small(values):
    columns = list(zip(*values, strict=True)) or [()] * len(KINDS)
    return pa.table({n: pa.array(c, k) for (n, k), c in zip(KINDS.items(), columns, strict=True)})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=SOME, before=SOME)
def test_numbers_are_the_arrow_engines_for_any_rows(duckdb, values, before):
    table, reference = small(values), profile_table(small(before))
    assert_same(duckdb.profile(table), profile_table(table))
    found = duckdb.profile(table, bins_from=reference)
    assert_same(found, profile_table(table, bins_from=reference), reference)
    assert_bounds_hold(found, table)


@pytest.mark.slow
def test_table_of_spark_is_read_by_its_uri_and_the_session_lives_on(spark):
    table = rows(8)
    spark.keep("trips", table)
    _, profile = profile_table_uri("pyspark://#table=trips&partition=day", ["2001"])
    wanted = table.filter(pc.equal(pc.year(table.column("day")), 2001))
    assert_same(replace(profile, partitions=()), profile_table(wanted))
    assert spark.profile(table).rows == ROWS
