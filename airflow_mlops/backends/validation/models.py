"""Registered models that score rows: loaded once, with the inputs that their signature names."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from airflow_mlops.backends.columns.servable import fitted, servable
from airflow_mlops.backends.validation.classes import column_order, difference, estimator_classes, oriented
from airflow_mlops.core.errors import InvalidDataError
from airflow_mlops.core.training.candidate import CLASSES_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mlops.backends.registry.protocol import ModelRegistry
    from airflow_mlops.core.validation.metrics.base import Array


class LoadedModel:
    """A model version whose scores are those of its server.

    :param features: inputs of a model without a signature.
    """

    def __init__(self, model: Any, features: Sequence[str]) -> None:
        self.model = model
        schema = model.metadata.get_input_schema()
        self.recorded = list((getattr(model.metadata, "metadata", None) or {}).get(CLASSES_KEY, ()))
        self.classes = _classes(model)
        self.order: list[int] = []
        has_names = bool(schema) and schema.has_input_names()
        self.inputs = list(schema.input_names()) if has_names else list(features)
        self.types = _declared(schema) if has_names else {}

    def predict(self, rows: pd.DataFrame) -> Array:
        """Return probabilities of the positive class, a matrix of k > 2 classes, or predictions.

        Columns are in the order of the classes given to ``expect``.

        :raises InvalidDataError: a column the model needs is missing, or predictions are no numbers.
        """
        missing = [name for name in self.inputs if name not in rows]
        if missing:
            msg = f"needs column {', '.join(missing)}, which the rows lack"
            raise InvalidDataError(msg)
        given = servable(rows[self.inputs])
        predicted = self.model.predict(
            pd.DataFrame({name: fitted(given[name], self.types.get(name, "")) for name in self.inputs})
        )
        try:
            scores = np.asarray(predicted, dtype=float)
        except (TypeError, ValueError) as error:
            kind = np.asarray(predicted).dtype
            msg = f"predictions are {kind}, allowed: numbers"
            raise InvalidDataError(msg) from error
        return oriented(scores[:, -1] if scores.ndim == 2 and scores.shape[1] <= 2 else scores, self.order)

    def expect(self, there: Sequence[str] | None) -> None:
        """Bring scores into the order of the data's classes; ``None`` if they are too many to be classes.

        :raises InvalidDataError: the model knows other classes, so its scores mean something else.
        """
        known = self.recorded or self.classes
        if known is None or there is None:
            return
        order = column_order(known, there, may_be_codes=not self.recorded)
        if order is None:
            raise InvalidDataError(difference(known, there))
        self.order = order


def _declared(schema: Any) -> dict[str, str]:
    """Return the type of each input that a signature declares."""
    types: list[Any] = getattr(schema, "input_types", list)()
    named = zip(schema.input_names(), types, strict=False)
    return {str(name): getattr(one, "name", "") for name, one in named}


def _classes(model: Any) -> list[str] | None:
    try:
        raw = model.get_raw_model()
    except (AttributeError, NotImplementedError, MlflowException):
        return None
    return estimator_classes(getattr(raw, "model", raw))


@contextmanager
def loaded(
    registry: ModelRegistry, model: str, version: str, features: Sequence[str]
) -> Iterator[LoadedModel]:
    """Load a registered version for the duration of the block."""
    with tempfile.TemporaryDirectory(prefix="mlops-model-") as folder:
        found = mlflow.pyfunc.load_model(str(registry.download(model, version, Path(folder))))
        yield LoadedModel(found, features)
