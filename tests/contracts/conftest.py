"""Registries that the contracts of the port are run over."""

from __future__ import annotations

import pytest
from builders import promotion

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.registry.mlflow import MlflowRegistry


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory):
    return MlflowServer(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder that can be registered."""
    import mlflow.pyfunc

    class One(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [1.0] * len(model_input)

    folder = tmp_path_factory.mktemp("model") / "one"
    mlflow.pyfunc.save_model(folder, python_model=One(), pip_requirements=["mlflow"])
    return str(folder)


@pytest.fixture(params=["in_memory", "mlflow"])
def registry(request, mlflow_server):
    return InMemoryRegistry() if request.param == "in_memory" else MlflowRegistry(mlflow_server)


@pytest.fixture
def name(request):
    return f"m-{abs(hash(request.node.name)) % 10**8}"


@pytest.fixture
def two(mlflow_server, model, name):
    """A registry in MLflow with two versions of a model, the first of them champion."""
    registry = MlflowRegistry(mlflow_server)
    for run in ("run-1", "run-2", "run-3"):
        registry.register(name, run, model, {})
    registry.promote(promotion(name, None, "1"))
    return registry
