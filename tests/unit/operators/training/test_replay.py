from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from airflow.sdk.exceptions import AirflowFailException
from deltalake import write_deltalake

from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.operators.replay import ReplayTrainingOperator
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.operators.validation import ValidateModelOperator

SPEC = DatasetSpec(target="late", key=("id",))


class Shifted:
    """Answers 0.5 for everything, a little more the higher ``bias``."""

    def __init__(self, bias):
        self.bias = bias

    def get_params(self, deep=True):
        return {"bias": self.bias}

    def predict_proba(self, features):
        late = np.full(len(features), 0.5 + self.bias) + features["x"].to_numpy() / 100
        return np.column_stack([1 - late, late])

    def predict(self, features):
        return self.predict_proba(features)[:, -1]


def steady(data, params):
    return Shifted(params.get("bias", 0.0))


def other(data, params):
    return Shifted(0.2)


@pytest.fixture
def lake(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "lake").mkdir()
    x = rng.normal(size=800)
    frame = pd.DataFrame({"id": range(800), "x": x, "late": (x > 0).astype(int)})
    frame.to_parquet(tmp_path / "lake" / "2013-01.parquet")
    return tmp_path / "lake"


@pytest.fixture
def functions(world, monkeypatch):
    """The functions, importable as ``replayed``, and the real MLflow."""
    import sys
    from types import ModuleType

    module = ModuleType("replayed")
    module.steady, module.other = steady, other
    monkeypatch.setitem(sys.modules, "replayed", module)
    for function in (steady, other):
        monkeypatch.setattr(function, "__module__", "replayed")
    world.registry, world.evidence = MlflowRegistry(world.server), MlflowEvidence(world.server)
    return world


def train(run, uri):
    window = {"uri": uri, "partitions": ["2013-01"]}
    common = {"model": "m", "window": window, "data": SPEC, "train_params": {"bias": 0.01}}
    return run(TrainModelOperator(task_id="t", function="replayed:steady", **common))


@pytest.fixture
def trained(functions, run, lake):
    """Version 1, trained by :func:`steady`."""
    train(run, str(lake))
    return functions


def replay(run, **more):
    known = {"model": "m", "version": "1"}
    return run(
        ReplayTrainingOperator(task_id="replay", **known | more), dag_id="mlops__replay", run_id="replay-1"
    )


def kept(world):
    run = world.evidence.find("m", {"mlops.dag_id": "mlops__replay"})[0]
    return world.evidence.read_json(run, "replay_report.json")


def test_version_trained_again_from_its_record_is_the_same(trained, run):
    verdict = replay(run)
    assert verdict["outcome"] == "pass"
    assert {f["subject"] for f in verdict["findings"]} >= {"roc_auc", "log_loss", "brier", "accuracy"}
    assert kept(trained)["version"] == "1"
    assert trained.registry.version("m", "1").tags["mlops.replay"] == "pass"
    assert len(trained.registry.versions("m")) == 1


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_fields_mean_the_recorded_function_and_the_default_tolerance(trained, run, empty):
    assert replay(run, function=empty, tolerance=empty)["outcome"] == "pass"


def test_model_that_comes_out_different_fails_and_the_verdict_is_kept(trained, run):
    with pytest.raises(AirflowFailException, match=r"replay: fail: .*log_loss: .* recorded"):
        replay(run, function="replayed:other")
    assert kept(trained)["outcome"] == "fail"


def test_difference_within_the_tolerance_passes(trained, run):
    assert replay(run, function="replayed:other", tolerance="0.5")["outcome"] == "pass"


def test_data_that_changed_is_inconclusive_and_not_trained_on(trained, run, lake):
    pd.read_parquet(lake / "2013-01.parquet").head(700).to_parquet(lake / "2013-01.parquet")
    with pytest.raises(AirflowFailException, match=r"replay: inconclusive: .*digest"):
        replay(run, function="replayed:other")
    assert [f["check"] for f in kept(trained)["findings"]] == ["data_digest"]


def test_other_packages_warn(trained, run):
    trained.registry.set_tags("m", "1", {"mlops.versions": '{"numpy": "1.0"}'})
    verdict = replay(run)
    assert verdict["outcome"] == "warn"
    assert any(
        f["reason"].startswith("numpy: ") and "recorded 1.0" in f["reason"] for f in verdict["findings"]
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"version": "9"}, "no version '9'"),
        ({"tolerance": "much"}, "tolerance 'much', allowed: a number from 0"),
        ({"tolerance": -1.0}, "tolerance -1.0, allowed"),
        ({"function": "gone:train"}, "No module named 'gone'"),
    ],
    ids=["version", "text", "negative", "function"],
)
def test_bad_form_is_named(trained, run, more, message):
    with pytest.raises(AirflowFailException, match=message):
        replay(run, **more)


def test_version_without_a_record_is_named(trained, run):
    with trained.server.session() as client:
        client.create_model_version(
            "m", "test:/m", await_creation_for=None, tags={"mlops.evidence_run": "0" * 32}
        )
    with pytest.raises(AirflowFailException, match=r"has no document 'candidate\.json'"):
        replay(run, version="2")


def judge(run, candidate):
    policy = ValidationPolicy(floor={"roc_auc": 0.5}, resamples=100)
    return run(ValidateModelOperator(task_id="v", model="m", candidate=candidate, data=SPEC, policy=policy))


@pytest.mark.integration
def test_rows_of_an_overwritten_table_are_those_of_the_version_trained_on(functions, run, lake, tmp_path):
    rows = pa.Table.from_pandas(pd.read_parquet(lake / "2013-01.parquet")).append_column(
        "day", pa.array(["2013-01"] * 800)
    )
    write_deltalake(str(tmp_path / "t"), rows, partition_by=["day"])
    candidate = train(run, str(tmp_path / "t"))
    upside_down = rows.set_column(2, "late", pc.subtract(1, rows["late"]))
    write_deltalake(str(tmp_path / "t"), upside_down.slice(0, 400), mode="overwrite")
    assert candidate["window"]["uri"].endswith("/t#version=0")
    assert judge(run, candidate)["outcome"] == "pass"
    assert replay(run)["outcome"] == "pass"


@pytest.mark.integration
def test_csv_is_read_in_its_dialect_by_training_validation_and_replay(functions, run, lake, tmp_path):
    frame = pd.read_parquet(lake / "2013-01.parquet")
    frame.assign(id=frame["id"].astype(str).str.zfill(5)).to_csv(
        tmp_path / "2013-01.csv", sep=":", decimal=",", index=False
    )
    (tmp_path / "lake" / "2013-01.parquet").unlink()
    (tmp_path / "2013-01.csv").rename(tmp_path / "lake" / "2013-01.csv")
    candidate = train(run, f"{lake}#delimiter=:&decimal=,&dtype=text:id")
    assert candidate["trained_rows"] + candidate["holdout_rows"] == 800
    assert judge(run, candidate)["outcome"] == "pass"
    assert replay(run)["outcome"] == "pass"
