"""Typed configuration in, DAGs and task groups out: the names an author's DAG file imports."""

from airflow_mlops.dag_factories.config import Data, Monitor, Reference, Retrain, Skew, Train
from airflow_mlops.dag_factories.model import ModelDag, dags_from_yaml
from airflow_mlops.dag_factories.release import Approval, Card, Load, Readiness
from airflow_mlops.dag_factories.rollout_config import Rollout
from airflow_mlops.dag_factories.validate import Validate

__all__ = [
    "Approval",
    "Card",
    "Data",
    "Load",
    "ModelDag",
    "Monitor",
    "Readiness",
    "Reference",
    "Retrain",
    "Rollout",
    "Skew",
    "Train",
    "Validate",
    "dags_from_yaml",
]
