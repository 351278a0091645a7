"""The data stage in a real Airflow: a partition is waited for on the triggerer, a person accepts a schema."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from standing import wait_for_state

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SCHEMA = """\
name: plans
expectations:
# agreed with the source team
- type: expect_column_values_to_be_in_set
  kwargs: {column: plan, value_set: [a, b]}
"""


def test_unknown_value_stops_the_run_until_a_person_accepts_it(airflow):
    api, schema, lake = airflow.api, airflow.home / "lake.yaml", airflow.home / "lake"
    schema.write_text(SCHEMA)
    api.wait_for_dags("arrivals", "mlops__accept_schema")
    first = api.trigger("arrivals")
    wait_for_state(airflow, "arrivals", first, "wait", "deferred")
    pq.write_table(pa.table({"plan": ["a", "b", "c"] * 200}), lake / "2013-01.parquet")
    assert api.wait_for_run("arrivals", first)["state"] == "failed"
    assert api.xcom("arrivals", first, "wait") == ["2013-01"]
    assert api.tasks("arrivals", first)["check"]["try_number"] == 1
    report = api.get(f"dags/arrivals/dagRuns/{first}/taskInstances/check/links")
    assert report["extra_links"]["Full report"].endswith("/artifacts/schema_report.json")

    form = {"model": "plans", "schema": str(schema), "uri": str(lake)}
    accept = api.trigger("mlops__accept_schema", conf=form)
    wait_for_state(airflow, "mlops__accept_schema", accept, "approve", "awaiting_input")
    path = f"dags/mlops__accept_schema/dagRuns/{accept}/taskInstances/approve/-1/hitlDetails"
    asked = api.get(path)
    assert "expect_column_values_to_be_in_set:plan" in asked["body"]
    assert schema.read_text() == SCHEMA
    api._send("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})
    assert api.wait_for_run("mlops__accept_schema", accept)["state"] == "success"
    assert api.xcom("mlops__accept_schema", accept, "write")["accepted_by"] == "admin"
    assert "# agreed with the source team" in schema.read_text()

    api.post("dags/arrivals/clearTaskInstances", {"dag_run_id": first, "dry_run": False})
    wait_for_state(airflow, "arrivals", first, "check", "success")
