"""A partition is waited for and checked; people accept what its schema refuses."""

from __future__ import annotations

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
        task_id="check", model="plans", profile=profile.output, schema="{{ var.value.lake_schema }}"
    )
