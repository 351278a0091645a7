"""What Airflow's OpenLineage provider sends for data tasks: real tasks, real client, a file as transport."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DAG_FILE = """
from pathlib import Path
from airflow.sdk import DAG
from airflow_mlops.operators.data import CheckSchemaOperator, ProfileDataOperator

home = Path(__file__).parents[1]
with DAG("lineage", schedule=None) as dag:
    profile = ProfileDataOperator(task_id="profile", model="m", uri=str(home / "lake"), partitions="2013-01")
    CheckSchemaOperator(task_id="schema", model="m", profile=profile.output, schema=str(home / "schema.yaml"))
"""
RUN = """
import sys
from airflow.utils.db import initdb
initdb()
sys.path.insert(0, sys.argv[1])
from lineage_dag import dag
dag.test()
"""
RULE = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}}


@pytest.fixture
def events(tmp_path):
    """Events of a run whose schema check fails."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "lineage_dag.py").write_text(DAG_FILE)
    (tmp_path / "lake").mkdir()
    pq.write_table(pa.table({"x": [1.0, 2.0, None]}), tmp_path / "lake" / "2013-01.parquet")
    (tmp_path / "schema.yaml").write_text(json.dumps({"name": "s", "expectations": [RULE]}))
    sent = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(sent), "append": True}
    settings = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW_CONN_MLFLOW_DEFAULT": json.dumps(
            {"conn_type": "mlflow", "host": f"sqlite:///{tmp_path}/m.db"}
        ),
    }
    command = [sys.executable, "-c", RUN, str(tmp_path / "dags")]
    done = subprocess.run(command, env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True)
    assert sent.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return [json.loads(line) for line in sent.read_text().splitlines()]


@pytest.mark.integration
def test_dataset_metrics_and_broken_rules_reach_the_lineage_backend(events, tmp_path):
    last = {event["job"]["name"]: event for event in events}
    assert [last[job]["eventType"] for job in ("lineage.profile", "lineage.schema")] == ["COMPLETE", "FAIL"]
    (profiled,), (checked,) = last["lineage.profile"]["inputs"], last["lineage.schema"]["inputs"]
    assert (profiled["namespace"], profiled["name"]) == ("file", str(tmp_path / "lake"))
    assert profiled["inputFacets"]["dataQualityMetrics"]["columnMetrics"]["x"]["nullCount"] == 1
    (broken,) = checked["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (broken["success"], broken["column"], broken["assertion"]) == (False, "x", RULE["type"])
