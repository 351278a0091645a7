"""The airflow dags of the flight delay model: training, rollout, monitor."""

from __future__ import annotations

from pathlib import Path

from airflow_mlops.dag_factories import dags_from_yaml

dags = dags_from_yaml(Path(__file__).parent / "models" / "flight_delay.yaml")
