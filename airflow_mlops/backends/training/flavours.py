"""Native models of other packages, stored in MLflow's own flavour and served as it serves them."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FLAVOURS = {"lightgbm": "lightgbm", "xgboost": "xgboost"}
"""Package of a model's class: MLflow's flavour. Their estimators are scikit-learn's, and stored as those."""


def flavour_of(model: Any) -> Any:
    """Return MLflow's module for a native model, such as a booster; ``None`` for anything else."""
    if hasattr(model, "get_params"):
        return None
    packages = (base.__module__.partition(".")[0] for base in type(model).__mro__)
    name = next((_FLAVOURS[package] for package in packages if package in _FLAVOURS), None)
    return importlib.import_module(f"mlflow.{name}") if name else None


def native_scores(flavour: Any, model: Any, features: pd.DataFrame) -> Any:
    """Return what a native model will answer once it is stored: it may not take a frame by itself."""
    import mlflow.pyfunc

    with tempfile.TemporaryDirectory(prefix="mlops-model-") as folder:
        path = str(Path(folder) / "model")
        flavour.save_model(model, path)
        return mlflow.pyfunc.load_model(path).predict(features)
