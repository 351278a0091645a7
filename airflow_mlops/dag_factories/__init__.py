"""Typed configuration in, DAGs and task groups out: the names an author's DAG file imports."""

from airflow_mlops.dag_factories.config import (
    CsvConfig,
    DataConfig,
    MonitorConfig,
    ReferenceConfig,
    RetrainConfig,
    SkewConfig,
    TrainConfig,
)
from airflow_mlops.dag_factories.model import ModelDag, dags_from_folder, dags_from_yaml
from airflow_mlops.dag_factories.release import ApprovalConfig, CardConfig, LoadConfig, ReadinessConfig
from airflow_mlops.dag_factories.rollout_config import RolloutConfig
from airflow_mlops.dag_factories.validate import ValidateConfig
from airflow_mlops.moved import names_of

__all__ = [
    "ApprovalConfig",
    "CardConfig",
    "CsvConfig",
    "DataConfig",
    "LoadConfig",
    "ModelDag",
    "MonitorConfig",
    "ReadinessConfig",
    "ReferenceConfig",
    "RetrainConfig",
    "RolloutConfig",
    "SkewConfig",
    "TrainConfig",
    "ValidateConfig",
    "dags_from_folder",
    "dags_from_yaml",
]

__getattr__ = names_of(__name__)
