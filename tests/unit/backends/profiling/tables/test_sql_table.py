from __future__ import annotations

import sys
import traceback

import pytest

from airflow_mlops.backends.profiling.tables import sql
from airflow_mlops.backends.profiling.tables.sql import profile_relation
from airflow_mlops.backends.profiling.tables.sql_table import TableUri, is_table_uri, profile_table_uri
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.errors import (
    InvalidDataError,
    MissingDependencyError,
    MlopsError,
    ServiceUnavailableError,
    WindowChangedError,
)

duckdb = pytest.importorskip("duckdb")
ibis = pytest.importorskip("ibis")

ROWS = """
    CREATE TABLE trips AS SELECT range AS hour, 'k' || (range % 3) AS country,
    DATE '2013-01-01' + (range // 24)::INT AS day, TIMESTAMP '2013-01-01' + to_hours(range) AS at,
    TIMESTAMPTZ '2013-01-01 00:00:00+00' + to_hours(range) AS zoned, range % 7 = 0 AS late,
    (DATE '2013-01-01' + (range // 24)::INT)::TIMESTAMP_NS AS fine, {'a': range} AS nested
    FROM range(10000)
"""
SECRET = "s3cret"


@pytest.fixture
def url(tmp_path):
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as connection:
        connection.execute(ROWS)
    return f"duckdb://{tmp_path}/lake.duckdb"


@pytest.mark.parametrize(
    ("fragment", "keys", "rows"),
    [
        ("table=trips", [], 10000),
        ("table=main.trips", [], 10000),
        ("table=lake.main.trips", [], 10000),
        ("table=trips&partition=country", ["k1"], 3333),
        ("table=trips&partition=hour", ["5", "6"], 2),
        ("table=trips&partition=day", ["2013-01", "2013-02-03"], 32 * 24),
        ("table=trips&partition=at", ["2013"], 8760),
        ("table=trips&partition=zoned", ["2014"], 1240),
        ("table=trips&partition=fine", ["2013-12-31"], 24),
    ],
)
def test_window_is_the_rows_of_its_partitions(url, fragment, keys, rows):
    window, profile = profile_table_uri(f"{url}#{fragment}", keys)
    assert (window.rows, profile.rows, window.uri) == (rows, rows, f"{url}#{fragment}")
    assert window.partitions == profile.partitions == tuple(keys)
    assert profile.column("nested").kind is Kind.UNSUPPORTED


@pytest.mark.parametrize(
    ("fragment", "keys", "named"),
    [
        ("table=nowhere", [], "no table 'nowhere'"),
        ("table=other.trips", [], "no table 'other.trips'"),
        ("tabel=trips", [], "fragment 'tabel=trips', allowed: #table=<schema.table>"),
        ("", [], "allowed: #table=<schema.table>"),
        ("table=trips", ["k1"], "no partition column ''; columns: hour, country"),
        ("table=trips&partition=nope", ["k1"], "no partition column 'nope'"),
        ("table=trips&partition=country", ["k1' OR '1'='1"], "text of letters, digits"),
        ("table=trips&partition=hour", ["1 OR 1=1"], "whole numbers"),
        ("table=trips&partition=late", ["true"], r"'late' \(boolean\): allowed"),
        ("table=trips&partition=day", ["2013-13"], "'2013-13': allowed: 2013, 2013-01 or"),
        ("table=trips&partition=at", ["January"], "'January': allowed: 2013, 2013-01 or"),
        ("table=trips&partition=day", ["9999"], "'9999': allowed: 2013, 2013-01 or"),
        ("table=trips&partition=country", ["k9"], "window k9 has 0 rows, allowed: 1 or more"),
    ],
)
def test_window_that_cannot_be_read_is_named(url, fragment, keys, named):
    with pytest.raises(InvalidDataError, match=named) as caught:
        profile_table_uri(f"{url}#{fragment}", keys)
    assert url in str(caught.value) or "partition" in str(caught.value)


@pytest.mark.parametrize(
    ("partition", "keys", "empty"),
    [
        ("country", ["k1", "k9"], ("k9",)),
        ("day", ["2013-01", "2012-12", "2011"], ("2012-12", "2011")),
        ("hour", ["5", "6"], ()),
    ],
)
def test_partitions_without_rows_beside_others_are_named(url, partition, keys, empty):
    profile = profile_table_uri(f"{url}#table=trips&partition={partition}", keys)[1]
    assert profile.empty == empty
    assert profile.notes == ((f"no rows in {', '.join(empty)}",) if empty else ())


def test_digest_follows_what_is_counted(url, tmp_path):
    uri = f"{url}#table=trips&partition=day"
    window, profile = profile_table_uri(uri, ["2013-01"])
    assert profile_table_uri(uri, ["2013-01"])[0].digest == window.digest
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as connection:
        connection.execute("UPDATE trips SET country = 'k7' WHERE hour = 3")
    assert profile_table_uri(uri, ["2013-01"], bins_from=profile)[0].digest != window.digest
    assert window.digest.startswith("profile:sha256:")


@pytest.mark.parametrize(
    "connection",
    [
        f"postgresql://tester:{SECRET}@127.0.0.1:1/lake?connect_timeout=1&application_name={SECRET}",
        f"postgresql://tester:{SECRET}%40@127.0.0.1:notaport/lake",
        f"postgresql://tester:{SECRET}@127.0.0.1:1/lake?{SECRET}=1",
        f"duckdb:///nowhere/lake.duckdb?access_mode={SECRET}",
        f"mysql://tester:{SECRET}@127.0.0.1/lake",
        f"snowflake://tester:{SECRET}@account/lake?token={SECRET}",
    ],
)
def test_credentials_are_never_shown(connection):
    with pytest.raises(MlopsError) as caught:
        profile_table_uri("#table=trips", connection=connection)
    said = "".join(traceback.format_exception(caught.value))
    assert SECRET not in said.replace(connection, "")  # the test's own line names it
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(TableUri(connection=connection, table="trips"))


@pytest.mark.parametrize(
    "password",
    [
        f"{SECRET}#more",
        f"more#{SECRET}",
        f"[{SECRET}",
        f"{SECRET}\u2100",
        f"{SECRET}/x",
        f"{SECRET}?",
        f"1/{SECRET}",
        f"1?{SECRET}",
    ],
)
def test_password_that_is_not_quoted_is_not_shown(password):
    with pytest.raises(MlopsError) as caught:
        profile_table_uri(f"postgresql://tester:{password}@127.0.0.1:1/lake#table=trips")
    assert SECRET not in str(caught.value)


def test_connection_takes_the_place_of_the_uris_own(url):
    window, _ = profile_table_uri("warehouse#table=trips", connection=url)
    assert window.uri == f"{url}#table=trips"


def test_database_that_is_away_may_come_back():
    with pytest.raises(ServiceUnavailableError, match="OperationalError"):
        profile_table_uri("postgresql://tester@127.0.0.1:1/lake?connect_timeout=1#table=trips")


def test_wrong_path_makes_no_empty_database(tmp_path):
    with pytest.raises(MlopsError, match="does not exist"):
        profile_table_uri(f"duckdb://{tmp_path}/wrong.duckdb#table=trips")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "uri", "named"),
    [
        ("ibis", "duckdb:///lake.duckdb", "pip install 'airflow-provider-mlops\\[sql\\]'"),
        ("snowflake", "snowflake://account/lake", "pip install 'ibis-framework\\[snowflake\\]'"),
    ],
)
def test_missing_driver_says_what_to_install(monkeypatch, module, uri, named):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=named):
        profile_table_uri(f"{uri}#table=trips")


def test_files_are_no_tables():
    assert is_table_uri("postgresql://h/d#table=t")
    assert is_table_uri("#table=trips")
    assert not is_table_uri("s3://lake/trips")
    assert not is_table_uri("/lake/trips")


def test_wide_table_is_read_in_parts_with_the_same_numbers(url, monkeypatch):
    whole, _ = profile_table_uri(f"{url}#table=trips")
    monkeypatch.setattr(sql, "STATEMENT_COLUMNS", 3)
    assert profile_table_uri(f"{url}#table=trips")[0].digest == whole.digest


def test_rows_that_change_while_they_are_read_are_an_error():
    connection = ibis.duckdb.connect()
    query = "CREATE VIEW shaky AS SELECT range AS a, range % 7 AS b FROM range(10000) WHERE random() < 0.5"
    connection.raw_sql(query)
    with pytest.raises(WindowChangedError, match="columns a, b"):
        profile_relation(connection.table("shaky"))


def test_query_that_fails_is_an_error_of_the_data(tmp_path):
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'x' AS word")
        connection.execute("CREATE VIEW broken AS SELECT word::INT AS number FROM t")
    with pytest.raises(InvalidDataError, match=r"ConversionException: .*Could not convert string"):
        profile_table_uri(f"duckdb://{tmp_path}/lake.duckdb#table=broken")
