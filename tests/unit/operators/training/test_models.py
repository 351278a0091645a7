"""Models of other kinds and their classes: stored by training as they are, read back by validation."""

from __future__ import annotations

import lightgbm
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import xgboost
from builders import promotion
from sklearn.linear_model import LogisticRegression

from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.core.training.candidate import CLASSES_KEY
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.operators.validation import ValidateModelOperator

SPEC = DatasetSpec(target="y", key=("id",))
POLICY = ValidationPolicy(margin={"roc_auc": 0.01}, resamples=100)


class Steep(mlflow.pyfunc.PythonModel):
    """Probability of the last class, without ``classes_``."""

    def predict(self, context, model_input, params=None):
        return 1 / (1 + np.exp(-2 * model_input["x"].to_numpy()))


def fit(data, params):
    return LogisticRegression(**params).fit(data.drop(columns="y"), data["y"])


def steep(data, params):
    return Steep()


def boosted_trees(data, params):
    features, late = data.drop(columns="y"), data["y"] == "late"
    return lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(features, late), 10)


def boosted_classes(data, params):
    return lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(data.drop(columns="y"), data["y"])


def boosted_matrix(data, params):
    matrix = xgboost.DMatrix(data.drop(columns="y"), data["y"] == "late")
    return xgboost.train({"objective": "binary:logistic"}, matrix, 10)


@pytest.fixture
def lake(tmp_path):
    """Two partitions of the same rows; in the second the class "in time" is spelt "punctual"."""
    rng = np.random.default_rng(0)
    x, ids = rng.normal(size=3000), [f"r{i}" for i in range(3000)]
    is_late = x + rng.normal(size=3000) > 0
    for name, spelt in (("01", "in time"), ("02", "punctual")):
        labels = np.where(is_late, "late", spelt)
        pd.DataFrame({"id": ids, "x": x, "y": labels}).to_parquet(tmp_path / f"{name}.parquet")
    return str(tmp_path)


@pytest.fixture
def registry(world):
    world.registry, world.evidence = MlflowRegistry(world.server), MlflowEvidence(world.server)
    return world.registry


@pytest.fixture
def train(run, lake):
    def train(partition, function=fit, **params):
        window = {"uri": lake, "partitions": [partition]}
        task = TrainModelOperator(
            task_id="t", model="m", function=function, window=window, data=SPEC, train_params=params
        )
        return run(task, run_id=f"run-{partition}")

    return train


@pytest.mark.integration
def test_champion_that_knows_the_classes_by_other_names_is_not_measured(registry, run, train):
    first = train("01")
    assert (first["classes"], first["positive"]) == (["in time", "late"], "late")
    assert registry.version("m", "1").tags["mlops.positive"] == "late"
    registry.promote(promotion("m", None, "1"))
    weak = train("02", C=1e-5)
    task = ValidateModelOperator(task_id="v", model="m", candidate=weak, data=SPEC, policy=POLICY)
    verdict = run(task, run_id="run-02")
    assert verdict["outcome"] == "inconclusive"
    said = "knows the classes in time, late; the data have late, punctual"
    assert any(said in finding["reason"] for finding in verdict["findings"])


@pytest.mark.integration
def test_python_model_is_stored_as_it_is_with_inferred_requirements_and_judged(
    registry, run, train, tmp_path
):
    candidate = train("01", steep)
    assert candidate["metrics"]["roc_auc"] > 0.8
    stored = mlflow.pyfunc.load_model(str(registry.download("m", "1", tmp_path / "stored")))
    assert type(stored.unwrap_python_model()).__name__ == "Steep"
    assert stored.metadata.metadata[CLASSES_KEY] == ["in time", "late"]
    needs = next((tmp_path / "stored").rglob("requirements.txt")).read_text()
    assert {"mlflow", "scikit-learn", "pandas"} <= {line.split("==")[0] for line in needs.split()}
    task = ValidateModelOperator(task_id="v", model="m", candidate=candidate, data=SPEC, policy=POLICY)
    assert run(task, run_id="run-01")["outcome"] == "pass"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("function", "flavour"),
    [(boosted_trees, "lightgbm"), (boosted_classes, "sklearn"), (boosted_matrix, "xgboost")],
)
def test_model_of_another_package_is_stored_in_its_own_flavour_and_judged_by_probabilities(
    registry, run, train, tmp_path, function, flavour
):
    candidate = train("01", function)
    assert candidate["metrics"]["roc_auc"] > 0.8
    stored = mlflow.pyfunc.load_model(str(registry.download("m", "1", tmp_path / "stored")))
    assert flavour in stored.metadata.flavors
    needs = next((tmp_path / "stored").rglob("requirements.txt")).read_text()
    assert ("lightgbm==" in needs) or ("xgboost" in needs)
    task = ValidateModelOperator(task_id="v", model="m", candidate=candidate, data=SPEC, policy=POLICY)
    verdict = run(task, run_id="run-01")
    assert verdict["outcome"] == "pass"
    registry.promote(promotion("m", None, "1"))
    later = train("01", function)
    task = ValidateModelOperator(task_id="v", model="m", candidate=later, data=SPEC, policy=POLICY)
    assert run(task, run_id="run-01")["outcome"] == "pass"
