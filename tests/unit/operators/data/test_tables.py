"""Tables are profiled where they lie; the connection's secrets stay in the connection."""

from __future__ import annotations

import json

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops.operators.data import CheckSkewOperator, ProfileDataOperator

duckdb = pytest.importorskip("duckdb")
TABLE = "#table=trips&partition=day"


@pytest.fixture
def warehouse(tmp_path, monkeypatch):
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute(
            "create table trips as select (i % 97) / 10.0 + 5 * (i // 3000) as x, "
            "date '2013-01-01' + (i // 1000)::int as day from range(4000) t(i)"
        )
    monkeypatch.setenv("AIRFLOW_CONN_PG", "postgresql://ann:hush-hush@127.0.0.1:9/trips")
    return f"duckdb:///{path}"


def profile(run, uri, day, **more):
    operator = ProfileDataOperator(task_id="p", model="m", uri=uri, partitions=day, **more)
    return run(operator, run_id=f"run-{day}")


def test_table_is_profiled_and_compared_with_its_own_partitions(world, warehouse, run):
    uri = warehouse + TABLE
    for day in ("2013-01-01", "2013-01-02"):
        assert profile(run, uri, day)["rows"] == 1000
    usual, moved = profile(run, uri, "2013-01-03"), profile(run, uri, "2013-01-04")
    found = [
        run(CheckSkewOperator(task_id="k", model="m", profile=ref, reference="last"))["outcome"]
        for ref in (usual, moved)
    ]
    assert found == ["pass", "fail"]
    report = world.evidence.read_json("m__stage/run-1", "skew_report.json")
    assert report["reference"]["partitions"] == ["2013-01-01", "2013-01-02", "2013-01-03"]


def test_database_that_does_not_answer_is_named_without_its_secrets(world, warehouse, run):
    with pytest.raises(Exception, match=r"127\.0\.0\.1") as caught:
        profile(run, TABLE, "2013-01-01", table_conn_id="pg")
    assert "hush" not in str(caught.value)
    assert "hush" not in json.dumps([run.tags for run in world.evidence.runs.values()])


@pytest.mark.parametrize(
    ("uri", "more", "named"),
    [
        (TABLE, {"table_conn_id": "nobody"}, "table_conn_id: .*nobody"),
        ("postgresql://ann:pw@h/d#table=t", {}, "holds a password"),
        ("duckdb:///nowhere.duckdb#table=t&colum=x", {}, "allowed: #table="),
    ],
)
def test_table_that_cannot_be_reached_fails_without_retry(world, run, uri, more, named):
    with pytest.raises(AirflowFailException, match=named):
        profile(run, uri, "2013-01-01", **more)
