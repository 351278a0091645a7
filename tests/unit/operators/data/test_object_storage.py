"""The data stage on object storage: the connection before the ``@`` is all that is ever handed over."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from windows import count_reads

from airflow_mlops.operators.data import CheckSchemaOperator, CheckSkewOperator, ProfileDataOperator
from airflow_mlops.operators.retraining import ReadTrainingRequestOperator

URI = "s3://lake@bucket/churn"
RULES = [
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}},
    {"type": "expect_column_pair_values_to_be_equal", "kwargs": {"column_A": "x", "column_B": "y"}},
]


@pytest.fixture
def lake(bucket):
    for month, shift in (("2013-01", 0.0), ("2013-02", 5.0)):
        numbers = [shift + i % 97 / 10 for i in range(1000)]
        with bucket.open(f"bucket/churn/month={month}/part-0.parquet", "wb") as file:
            pq.write_table(pa.table({"x": numbers, "y": numbers}), file)
    bucket.pipe_file("bucket/schema.yaml", json.dumps({"name": "m", "expectations": RULES}).encode())
    return bucket


def profile(run, month):
    operator = ProfileDataOperator(task_id="p", model="m", uri=URI, partitions=month)
    return run(operator, run_id=f"run-{month}")


def test_window_on_object_storage_is_profiled_checked_and_compared(world, lake, run):
    first, second = profile(run, "2013-01"), profile(run, "2013-02")
    assert (first["rows"], first["window"]["uri"]) == (1000, URI)
    schema = "s3://lake@bucket/schema.yaml"
    verdict = run(CheckSchemaOperator(task_id="s", model="m", profile=second, schema=schema))
    assert (verdict["outcome"], verdict["findings_total"]) == ("pass", 2)
    moved = run(CheckSkewOperator(task_id="k", model="m", profile=second, reference="last"))
    assert moved["outcome"] == "fail"
    kept = [json.dumps([r.tags, r.documents]) for r in world.evidence.runs.values()]
    assert "hush" not in "".join([*kept, *map(json.dumps, (first, second, verdict, moved))])


def test_csv_is_read_once_for_profile_schema_and_skew(world, bucket, run, monkeypatch):
    files = {f"/bucket/churn/month=2013-0{i}/part-0.csv": csv_of(i) for i in (1, 2)}
    for path, data in files.items():
        bucket.pipe_file(path, data)
    bucket.pipe_file("bucket/schema.yaml", json.dumps({"name": "m", "expectations": RULES[:1]}).encode())
    reads = count_reads(monkeypatch)
    ref = profile(run, "2013-02")
    schema = "s3://lake@bucket/schema.yaml"
    assert run(CheckSchemaOperator(task_id="s", model="m", profile=ref, schema=schema))["outcome"] == "pass"
    named = {"rule": "partitions", "partitions": ["2013-01"]}  # never profiled, so it is read for this
    skew = CheckSkewOperator(task_id="k", model="m", profile=ref, reference=named)
    assert run(skew, run_id="run-2013-02")["outcome"] == "fail"
    assert {path: reads[path] for path in files} == {path: len(data) for path, data in files.items()}


def csv_of(shift):
    rows = [f'{5 * shift + i % 97 / 10},"name, {i}"\n' for i in range(100_000)]
    return ("x,name\n" + "".join(rows)).encode()


def test_partitions_on_object_storage_are_listed_with_the_connection(world, lake, run):
    operator = ReadTrainingRequestOperator(task_id="r", model="m", uri=URI, history=2)
    assert run(operator, partition=None)["partitions"] == ["2013-01", "2013-02"]


def test_partition_that_is_not_there_names_what_is(world, lake, run):
    with pytest.raises(AirflowFailException, match="no partition '2013-09'; partitions: 2013-01, 2013-02"):
        profile(run, "2013-09")


def test_schema_that_is_not_on_the_bucket_says_how_to_get_one(world, lake, run):
    operator = CheckSchemaOperator(
        task_id="s", model="m", profile=profile(run, "2013-01"), schema="s3://lake@bucket/none.yaml"
    )
    with pytest.raises(AirflowFailException, match=r"schema s3://lake@bucket/none\.yaml: .*schema infer"):
        run(operator)
