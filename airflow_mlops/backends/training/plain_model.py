"""Any object with ``predict`` as an MLflow model; stored models refer to this module by its name."""

from __future__ import annotations

from typing import Any

import mlflow.pyfunc


class PlainModel(mlflow.pyfunc.PythonModel):
    """Wraps an author's object: returns probabilities if it has them, else predictions."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Score a frame of features."""
        return (getattr(self.model, "predict_proba", None) or self.model.predict)(model_input)
