"""A model that is quick and never fails: what fails in a chaos run was killed."""

from __future__ import annotations

import mlflow


class Constant(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [0.5] * len(model_input)


mlflow.models.set_model(Constant())
