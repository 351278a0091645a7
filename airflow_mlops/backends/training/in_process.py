"""Training in the task's own process by the author's plain function."""

from __future__ import annotations

import importlib
import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.training.flavours import flavour_of, native_scores
from airflow_mlops.core.errors import InvalidConfigError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.training.job import DatasetSpec

_logger = logging.getLogger(__name__)
_MOST_NAMED = 10


def load_function(function: Callable[..., Any] | str, where: str = "train.function") -> Callable[..., Any]:
    """Return the author's function, imported from ``module:name`` if given as text.

    :param where: the configuration key, for the error.
    :raises InvalidConfigError: no such module or name.
    """
    if callable(function):
        return function
    module, _, name = str(function).partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"{where} {function!r}: {error}; allowed: 'module:function' importable by the worker"
        raise InvalidConfigError(msg) from error
    return found


def address(function: Callable[..., Any]) -> str:
    """Return the import address of a function: ``module:name``."""
    return f"{function.__module__}:{getattr(function, '__qualname__', type(function).__name__)}"


def fit(function: Callable[..., Any], rows: Rows, spec: DatasetSpec, params: dict[str, Any]) -> Any:
    """Call ``function(data, params)`` with the training rows (features and target) and return its model.

    :raises TrainingError: it raised, or returned something without ``predict``.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    try:
        model = function(rows.training[[*rows.features, spec.target]].copy(), dict(params))
    except Exception as error:
        _logger.exception("training function failed")
        msg = f"{name} raised {type(error).__name__}: {error}{_likely_causes(rows)}"
        raise TrainingError(msg) from error
    if not callable(getattr(model, "predict", None)):
        msg = f"{name} returned {type(model).__name__}, allowed: a model with a predict method, or an "
        msg += "mlflow.pyfunc.PythonModel around it"
        raise TrainingError(msg)
    return model


def _likely_causes(rows: Rows) -> str:
    """Name features without values, and text: most often, one of them is why training fails."""
    empty = [name for name in rows.features if rows.training[name].isna().all()]
    text = [name for name in rows.features if name not in empty and rows.frame[name].dtype == object]
    said = ""
    if empty:
        said += f"; features without any value: {', '.join(empty[:_MOST_NAMED])}; name them in data.exclude"
    if text:
        said += f"; text among the features: {', '.join(text[:_MOST_NAMED])}; encode it, or name it in "
        said += "data.exclude"
    return said


def scores(model: Any, features: pd.DataFrame) -> Any:
    """Return a model's scores: the second class's probability, a matrix of k > 2, or the prediction."""
    import numpy as np

    predicted = np.asarray(_predicted(model, features), dtype=float)
    return predicted[:, -1] if predicted.ndim == 2 and predicted.shape[1] <= 2 else predicted


def _predicted(model: Any, features: pd.DataFrame) -> Any:
    flavour = flavour_of(model)
    if flavour is not None:
        return native_scores(flavour, model, features)
    predict = getattr(model, "predict_proba", None) or model.predict
    return predict(*((None,) if _wants_context(model) else ()), features)


def _wants_context(model: Any) -> bool:
    """Return whether it is an MLflow ``PythonModel`` of the form ``predict(context, model_input)``."""
    from mlflow.pyfunc import PythonModel

    return isinstance(model, PythonModel) and "context" in inspect.signature(model.predict).parameters


def source_file(function: Callable[..., Any]) -> list[str]:
    """Return the author's file, stored with the model so that its code is there when it is loaded."""
    if function.__module__ == "__main__":
        return []
    try:
        path = inspect.getsourcefile(function)
    except TypeError:
        return []
    return [path] if path and "site-packages" not in Path(path).parts else []
