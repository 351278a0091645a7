"""The airflow dag by which a person takes a promotion back."""

from __future__ import annotations

from airflow_mlops.dag_factories.rollback import rollback_dag

dag = rollback_dag()
