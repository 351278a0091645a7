"""Common parts of all DAGs of a model."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, get_parsing_context

if TYPE_CHECKING:
    from airflow_mlops.dag_factories.config import ModelConfig


def dag_id(config: ModelConfig, stage: str) -> str:
    """Return the id of one of the model's DAGs: ``<model>__<stage>``."""
    return f"{config.model}__{stage}"


def is_wanted(config: ModelConfig, stage: str) -> bool:
    """Return whether a DAG is to be built: a worker that runs one DAG skips the others of the file."""
    wanted = get_parsing_context().dag_id
    return wanted is None or wanted == dag_id(config, stage)


def model_dag(config: ModelConfig, stage: str, schedule: Any, **kwargs: Any) -> DAG:
    """Return an empty DAG of a model's stage; one run at a time, no catch-up."""
    return DAG(
        dag_id(config, stage),
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        tags={*config.tags, config.model, stage},
        default_args={"retries": config.retries, "retry_delay": timedelta(seconds=config.retry_delay)},
        **kwargs,
    )
