"""The airflow dag by which a person accepts changes of a data schema."""

from __future__ import annotations

from airflow_mlops.dag_factories.schema import accept_schema_dag

dag = accept_schema_dag()
