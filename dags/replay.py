"""The airflow dag that trains a registered version again."""

from __future__ import annotations

from airflow_mlops.dag_factories.replay import replay_dag

dag = replay_dag()
