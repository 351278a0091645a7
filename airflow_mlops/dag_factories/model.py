"""ModelDag: one call, all DAGs of a model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import InvalidConfigError, MlopsError
from airflow_mlops.dag_factories.config import ModelConfig, load_config
from airflow_mlops.dag_factories.dag import is_wanted
from airflow_mlops.dag_factories.monitoring import monitor_dag, schedule_dag
from airflow_mlops.dag_factories.rollout import rollout_dag
from airflow_mlops.dag_factories.training import training_dag, watch_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from airflow_mlops.dag_factories.config import DataConfig, TrainConfig
    from airflow_mlops.dag_factories.validate import ValidateConfig

_logger = logging.getLogger(__name__)
_SUITE = ".schema"
_BUILDERS = {
    "training": training_dag,
    "rollout": rollout_dag,
    "monitor": monitor_dag,
    "schedule": schedule_dag,
    "watch": watch_dag,
}


def model_dags(config: ModelConfig) -> list[DAG]:
    """Build the model's DAGs; Airflow finds them, wherever in a DAG file this is called."""
    asked = {"schedule": config.schedule, "watch": config.data.watch}
    stages = [stage for stage in _BUILDERS if asked.get(stage, True)]
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


def dags_from_folder(folder: Path | str) -> list[DAG]:
    """Build the DAGs of every model of a folder: one YAML file each, ``*.yaml`` or ``*.yml``.

    A file that is broken takes no other model's DAGs away: it is logged as an error, with file and key.
    Schemas may lie beside them as ``<name>.schema.yaml``.

    :raises InvalidConfigError: no such folder.
    """
    place, found = Path(folder), dict[str, Path]()
    if not place.is_dir():
        msg = f"{folder}: no such folder"
        raise InvalidConfigError(msg)
    dags: list[DAG] = []
    for path in sorted(place.iterdir()):
        if path.suffix in (".yaml", ".yml") and not path.stem.endswith(_SUITE):
            try:
                dags += _only_here(path, found)
            except MlopsError as error:
                _logger.error("%s; its DAGs are left out", error)  # noqa: TRY400 - the message says it all
            except Exception:
                _logger.exception("%s: its DAGs are left out", path)
    return dags


def _only_here(path: Path, found: dict[str, Path]) -> list[DAG]:
    """Build the DAGs of a file, unless another file has its model: two DAGs of one id cancel each other."""
    config = load_config(path)
    other = found.setdefault(config.model, path)
    if other is not path:
        msg = f"{path}: model: {config.model!r} is that of {other.name}, too; allowed: one file per model"
        raise InvalidConfigError(msg)
    return model_dags(config)
