"""The data stage in a real Airflow: a partition is waited for on the triggerer, a person accepts a schema."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from postgres_server import airflow_database

from airflow_mlops.demo.api import AirflowApi
from airflow_mlops.demo.services import Services

pytestmark = [pytest.mark.integration, pytest.mark.slow]
DAGS = """
from airflow.sdk import DAG
from airflow_mlops.dag_factories.schema import accept_schema_dag
from airflow_mlops.operators.data import CheckSchemaOperator, ProfileDataOperator
from airflow_mlops.sensors.data import NewPartitionSensor

LAKE = "{{ var.value.lake }}"
accept_schema_dag()
with DAG("arrivals", schedule=None):
    arrived = NewPartitionSensor(task_id="wait", model="plans", uri=LAKE, poll_seconds=1, timeout_seconds=120)
    profile = ProfileDataOperator(task_id="profile", model="plans", uri=LAKE, partitions=arrived.output)
    CheckSchemaOperator(
        task_id="check", model="plans", profile=profile.output, schema="{{ var.value.schema }}"
    )
"""
SCHEMA = """\
name: plans
expectations:
# agreed with the source team
- type: expect_column_values_to_be_in_set
  kwargs: {column: plan, value_set: [a, b]}
"""


@pytest.fixture
def airflow(tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "data_stage.py").write_text(DAGS)
    (tmp_path / "lake").mkdir()
    (tmp_path / "schema.yaml").write_text(SCHEMA)
    settings = {
        "AIRFLOW_VAR_LAKE": str(tmp_path / "lake"),
        "AIRFLOW_VAR_SCHEMA": str(tmp_path / "schema.yaml"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    with airflow_database() as database:
        services = Services(
            tmp_path / "services", dags_folder=tmp_path / "dags", environment=settings | database
        )
        try:
            services.start()
            api = AirflowApi(services.airflow_url)
            api.wait_for_dags("arrivals", "mlops__accept_schema")
            yield api
        finally:
            services.stop()


def wait_for_state(airflow, dag_id, run, task, state):
    def reached():
        return airflow.tasks(dag_id, run)[task]["state"] == state

    airflow.wait(reached, 120, f"{task} to be {state}")


def test_unknown_value_stops_the_run_until_a_person_accepts_it(airflow, tmp_path):
    first = airflow.trigger("arrivals")
    wait_for_state(airflow, "arrivals", first, "wait", "deferred")
    pq.write_table(pa.table({"plan": ["a", "b", "c"] * 200}), tmp_path / "lake" / "2013-01.parquet")
    assert airflow.wait_for_run("arrivals", first)["state"] == "failed"
    assert airflow.xcom("arrivals", first, "wait") == ["2013-01"]
    assert airflow.tasks("arrivals", first)["check"]["try_number"] == 1
    report = airflow.get(f"dags/arrivals/dagRuns/{first}/taskInstances/check/links")
    assert report["extra_links"]["Full report"].endswith("/artifacts/schema_report.json")

    form = {"model": "plans", "schema": str(tmp_path / "schema.yaml"), "uri": str(tmp_path / "lake")}
    accept = airflow.trigger("mlops__accept_schema", conf=form)
    wait_for_state(airflow, "mlops__accept_schema", accept, "approve", "awaiting_input")
    path = f"dags/mlops__accept_schema/dagRuns/{accept}/taskInstances/approve/-1/hitlDetails"
    asked = airflow.get(path)
    assert "expect_column_values_to_be_in_set:plan" in asked["body"]
    assert (tmp_path / "schema.yaml").read_text() == SCHEMA
    airflow._send("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})
    assert airflow.wait_for_run("mlops__accept_schema", accept)["state"] == "success"
    assert airflow.xcom("mlops__accept_schema", accept, "write")["accepted_by"] == "admin"
    assert "# agreed with the source team" in (tmp_path / "schema.yaml").read_text()

    airflow.post("dags/arrivals/clearTaskInstances", {"dag_run_id": first, "dry_run": False})
    wait_for_state(airflow, "arrivals", first, "check", "success")
