"""ModelDag: one call, all DAGs of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.dag_factories.config import ModelConfig, load_config
from airflow_mlops.dag_factories.dag import is_wanted
from airflow_mlops.dag_factories.monitoring import monitor_dag, schedule_dag
from airflow_mlops.dag_factories.rollout import rollout_dag
from airflow_mlops.dag_factories.training import training_dag

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

    from airflow_mlops.dag_factories.config import DataConfig, TrainConfig
    from airflow_mlops.dag_factories.validate import ValidateConfig

_BUILDERS = {
    "training": training_dag,
    "rollout": rollout_dag,
    "monitor": monitor_dag,
    "schedule": schedule_dag,
}


def model_dags(config: ModelConfig) -> list[DAG]:
    """Build the model's DAGs; Airflow finds them, wherever in a DAG file this is called."""
    stages = [stage for stage in _BUILDERS if stage != "schedule" or config.schedule]
    return [_BUILDERS[stage](config) for stage in stages if is_wanted(config, stage)]


def ModelDag(  # noqa: N802 - reads as what it makes
    model: str, *, data: DataConfig, train: TrainConfig, validate: ValidateConfig, **options: Any
) -> list[DAG]:
    """Build a model's DAGs from typed configuration.

    :param options: the other fields of ``ModelConfig``: ``rollout``, ``monitor``, ``retrain``, ``skew``, …
    :raises InvalidConfigError: an unknown key or a wrong value.
    """
    return model_dags(ModelConfig(model=model, data=data, train=train, validate=validate, **options))


def dags_from_yaml(path: Path | str) -> list[DAG]:
    """Build a model's DAGs from a YAML file with the same keys.

    :raises InvalidConfigError: an unknown key or a wrong value.
    """
    return model_dags(load_config(path))
