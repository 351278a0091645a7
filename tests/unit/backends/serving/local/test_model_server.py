"""Answers of the model server, through MLflow's scoring app: whose fault a failure is, and the classes."""

from __future__ import annotations

import mlflow.pyfunc
import pytest
from fastapi.testclient import TestClient
from mlflow.models import ModelSignature
from mlflow.pyfunc import scoring_server
from mlflow.types.schema import AnyType, ColSpec, Schema

from airflow_mlops.backends.serving.local.model_server import Identified, LoggedModel


class Sum(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if (model_input["a"] < 0).any():
            raise ValueError("negative")
        return (model_input["a"] + model_input["b"]).tolist()


class Written:
    def __init__(self):
        self.statuses = []

    def write(self, request_id, data, predictions, *, status):
        self.statuses.append(status)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "model"
    inputs = Schema([ColSpec("double", name, required=False) for name in ("a", "b")])
    signature = ModelSignature(inputs, Schema([ColSpec(AnyType())]))
    mlflow.pyfunc.save_model(folder, python_model=Sum(), signature=signature, pip_requirements=["mlflow"])
    return mlflow.pyfunc.load_model(str(folder))


@pytest.fixture
def written():
    return Written()


@pytest.fixture
def client(stored, written):
    app = Identified(scoring_server.init(LoggedModel(stored, written)), "3", ["in time", "spät"])
    return TestClient(app, raise_server_exceptions=False)


def ask(client, columns, row):
    return client.post("/invocations", json={"dataframe_split": {"columns": columns, "data": [row]}})


@pytest.mark.parametrize(
    ("columns", "row", "status", "statuses"),
    [
        (["a", "b"], [1, 2], 200, [200]),
        (["a", "b", "c"], [1, 2, 3], 200, [200]),
        (["a"], [1], 400, []),
        (["a", "B"], [1, 2], 400, []),
        (["a", "b"], [-1, 2], 500, [500]),
    ],
)
def test_failure_for_want_of_an_input_is_the_clients(client, written, columns, row, status, statuses):
    answer = ask(client, columns, row)
    assert (answer.status_code, written.statuses) == (status, statuses)
    assert ("lacks b, which the model needs" in answer.text) == (status == 400)


def test_answers_name_the_classes(client):
    answer = ask(client, ["a", "b"], [1, 2])
    assert answer.headers["X-Model-Classes"] == '["in time", "sp\\u00e4t"]'


def test_too_many_classes_for_a_header_are_not_sent(stored, written):
    app = Identified(scoring_server.init(LoggedModel(stored, written)), "3", [f"c{i}" for i in range(500)])
    assert "X-Model-Classes" not in ask(TestClient(app), ["a", "b"], [1, 2]).headers
