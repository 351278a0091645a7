"""Libraries that scheduler and DAG processor import once, before they fork per task and per DAG file.

Otherwise each process imports MLflow, pandas and scikit-learn again, which takes longer than most tasks.
Airflow imports ``airflow_local_settings`` from its ``config`` folder when a component starts.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SETTINGS = """\
from airflow_mlops.demo.preload import preload

__all__ = []  # overrides no settings of Airflow
preload()
"""
_OURS = ("airflow_mlops.dag_factories", "airflow_mlops.operators", "airflow_mlops.sensors")
_LIBRARIES = (
    "airflow.sdk.execution_time.task_runner",
    "great_expectations.expectations",
    "matplotlib.figure",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "numba",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.linear_model",
)


def write_settings(airflow_home: Path) -> None:
    """Configure an Airflow home so that its components preload libraries before they fork."""
    folder = airflow_home / "config"
    folder.mkdir(exist_ok=True)
    (folder / "airflow_local_settings.py").write_text(_SETTINGS)


def preload() -> None:
    """Import the libraries that the children of this component need."""
    component = sys.argv[1] if len(sys.argv) > 1 else ""
    if component not in ("scheduler", "dag-processor"):
        return
    for package in map(importlib.import_module, _OURS):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    if component == "scheduler":
        for library in _LIBRARIES:
            importlib.import_module(library)
