"""Registered models that score rows: loaded once, with the inputs that their signature names."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import numpy as np
from mlflow.exceptions import MlflowException

from airflow_mlops.backends.training.rows import servable
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.core.validation.metrics.base import Array


class LoadedModel:
    """A model version whose scores are those of its server.

    :param features: inputs of a model without a signature.
    """

    def __init__(self, model: Any, features: Sequence[str]) -> None:
        self.model = model
        schema = model.metadata.get_input_schema()
        self.classes = _classes(model)
        self.inputs = list(schema.input_names()) if schema and schema.has_input_names() else list(features)

    def predict(self, rows: pd.DataFrame) -> Array:
        """Return probabilities of the positive class, a matrix of k > 2 classes, or predictions.

        :raises InvalidDataError: a column the model needs is missing, or predictions are no numbers.
        """
        missing = [name for name in self.inputs if name not in rows]
        if missing:
            msg = f"needs column {', '.join(missing)}, which the rows lack"
            raise InvalidDataError(msg)
        predicted = self.model.predict(servable(rows[self.inputs]))
        try:
            scores = np.asarray(predicted, dtype=float)
        except (TypeError, ValueError) as error:
            kind = np.asarray(predicted).dtype
            msg = f"predictions are {kind}, allowed: numbers"
            raise InvalidDataError(msg) from error
        return scores[:, -1] if scores.ndim == 2 and scores.shape[1] <= 2 else scores


def class_name(one: Any) -> str:
    """Return a class as text: 1, 1.0 and True are the same class."""
    if not isinstance(one, int | float | np.number | np.bool_):
        return str(one)
    return str(int(one)) if float(one).is_integer() else str(float(one))


def _classes(model: Any) -> list[str] | None:
    """Return a scikit-learn estimator's ``classes_``; ``None`` if the model has none."""
    try:
        raw = model.get_raw_model()
    except (AttributeError, NotImplementedError, MlflowException):
        return None
    raw = getattr(raw, "model", raw)
    known = getattr(raw, "classes_", None)
    return None if known is None else [class_name(one) for one in known]


@contextmanager
def loaded(
    registry: ModelRegistry, model: str, version: str, features: Sequence[str]
) -> Iterator[LoadedModel]:
    """Load a registered version for the duration of the block."""
    with tempfile.TemporaryDirectory(prefix="mlops-model-") as folder:
        found = mlflow.pyfunc.load_model(str(registry.download(model, version, Path(folder))))
        yield LoadedModel(found, features)
