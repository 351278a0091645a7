from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from builders import candidate, comparison, promotion, report

from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.profiling.scores import profile_scores
from airflow_mlops.backends.serving.local.inference_writer import InferenceWriter
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.operators.monitoring import (
    CheckPerformanceOperator,
    CheckPredictionsOperator,
    ProfileInferenceLogOperator,
)

CLASSES = ("cat", "dog", "owl")
ROWS = 600


@pytest.fixture
def served(world, tmp_path):
    """A champion that answered every request of January: nine in ten with the right animal."""
    rng = np.random.default_rng(5)
    code = rng.integers(0, 3, ROWS)
    said = np.where(rng.random(ROWS) < 0.9, code, (code + 1) % 3)
    (tmp_path / "lake").mkdir()
    labels = pd.DataFrame({"id": [f"r{i}" for i in range(ROWS)], "animal": np.array(CLASSES)[code]})
    labels.to_parquet(tmp_path / "lake" / "2013-01.parquet")
    with InferenceWriter(world.log_dir / "m" / "1", "1") as writer:
        for name, place in zip(labels["id"], said, strict=True):
            writer.write(
                name, pd.DataFrame({"x": [1.0]}), [(np.eye(3)[place] * 0.8 + 0.2 / 3).tolist()], status=200
            )
    run = world.evidence.open(EvidenceKey(model="m", dag_id="m__training", run_id="first"))
    world.evidence.write_json(run, "candidate.json", candidate(classes=CLASSES).to_json())
    version = world.registry.register("m", run, "models:/m-1", {})
    world.registry.promote(promotion("m", None, version.version))
    return lambda accuracy: world.evidence.write_json(
        run, "validation_report.json", report(comparison(metric="accuracy", challenger=accuracy)).to_json()
    )


@pytest.fixture
def check(run, tmp_path):
    def execute():
        return run(
            CheckPerformanceOperator(
                task_id="t",
                model="m",
                uri=str(tmp_path / "lake"),
                partition="2013-01",
                data=DatasetSpec(target="animal", key=("id",)),
                policy=PerformancePolicy(metric="accuracy", max_drop=0.02, resamples=200),
            )
        )

    return execute


@pytest.mark.parametrize(("promised", "outcome"), [(0.9, "pass"), (0.99, "fail")])
def test_classes_in_words_are_compared_with_what_validation_measured(served, check, promised, outcome):
    served(promised)
    verdict = check()
    assert verdict["outcome"] == outcome
    assert f"validation {promised:.4f}" in verdict["findings"][0]["reason"]


def test_labels_of_classes_that_training_never_saw_decide_nothing(served, check, tmp_path):
    served(0.9)
    path = tmp_path / "lake" / "2013-01.parquet"
    pd.read_parquet(path).replace({"animal": {"owl": "yak"}}).to_parquet(path)
    verdict = check()
    assert verdict["outcome"] == "inconclusive"
    assert "of 600 labelled requests lack a prediction or a known class" in verdict["findings"][0]["reason"]


KEYS = DatasetSpec(target="y", key=("id",))
SERVED = 600


@pytest.fixture
def binary(world, tmp_path):
    """A champion that answered 600 requests; write(ids) stores their labels under those ids."""
    rng = np.random.default_rng(0)
    share = rng.random(SERVED)
    labels = (rng.random(SERVED) < share).astype(int)
    (tmp_path / "lake").mkdir()
    run = world.evidence.open(EvidenceKey(model="m", dag_id="m__training", run_id="first"))
    trained = candidate(metrics={"roc_auc": 0.83}, classes=())
    world.evidence.write_json(run, "candidate.json", trained.to_json())
    world.evidence.write_json(run, "score_profile.json", profile_scores(share).to_json())
    tags = {"mlops.partitions": '["2012-12"]', "mlops.uri": str(tmp_path / "lake")}
    version = world.registry.register("m", run, "models:/m-1", tags)
    world.registry.promote(promotion("m", None, version.version))

    def write(ids, feature="x", repeat=0):
        table = pa.table({"id": ids, "y": labels})
        table = pa.concat_tables([table, table.slice(0, repeat)])
        pq.write_table(table, tmp_path / "lake" / "2013-01.parquet")
        with InferenceWriter(world.log_dir / "m" / "1", "1") as writer:
            for number, score in enumerate(share):
                data = pd.DataFrame({"x": [1.0], feature: ["a"]})
                writer.write(str(1000 + number), data, [[1 - score, score]], status=200)

    return write


@pytest.fixture
def monitored(run, tmp_path):
    def execute(operator, data=KEYS, **more):
        where = {"uri": str(tmp_path / "lake"), "partition": "2013-01"}
        return run(operator(task_id="t", model="m", data=data, **where, **more), run_id=operator.__name__)

    return execute


POLICY = PerformancePolicy(metric="roc_auc", resamples=100)


def notes(verdict):
    return [finding["reason"] for finding in verdict["findings"] if finding["check"] == "note"]


IDS = list(range(1000, 1000 + SERVED))


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([*IDS[:-1], None]),
        pa.array([*map(float, IDS[:-1]), None]),
        pa.array([*map(str, IDS[:-1]), None]),
        pa.array([*IDS[:-1], None]).cast(pa.decimal128(20, 1)),
    ],
    ids=lambda ids: str(ids.type),
)
def test_request_without_id_is_left_out_and_told_and_the_others_are_judged(binary, monitored, ids):
    binary(ids)
    verdict = monitored(CheckPerformanceOperator, policy=POLICY)
    assert verdict["outcome"] == "pass"
    assert "on 599 labelled requests" in verdict["findings"][0]["reason"]
    assert notes(verdict) == ["1 of 600 rows have no request id and are left out"]
    assert monitored(ProfileInferenceLogOperator)["rows"] == 599


def test_repeated_labels_are_told(binary, monitored):
    binary(pa.array(IDS), repeat=3)
    verdict = monitored(CheckPerformanceOperator, policy=POLICY)
    assert "on 600 labelled requests" in verdict["findings"][0]["reason"]
    assert notes(verdict) == ["3 of 603 rows repeat a request id: its last label counts"]


def test_partition_without_any_id_says_so(binary, monitored):
    binary(pa.nulls(SERVED, pa.string()))
    said = "600 of 600 rows have no request id and are left out"
    verdict = monitored(CheckPerformanceOperator, policy=POLICY)
    assert (verdict["outcome"], notes(verdict)) == ("inconclusive", [said])
    with pytest.raises(AirflowSkipException, match=f"no request of partition 2013-01 was served; {said}"):
        monitored(ProfileInferenceLogOperator)


def test_model_without_key_is_told_what_monitoring_needs(binary, monitored):
    binary(pa.array(IDS))
    with pytest.raises(AirflowFailException, match=r"data\.key: empty, allowed: a column of request ids"):
        monitored(CheckPerformanceOperator, data=DatasetSpec(target="y"), policy=POLICY)


@pytest.mark.parametrize(
    "name", ["status", "time", "version", "prediction", "scores", "request_id", "inputs", "label"]
)
def test_feature_may_have_the_name_of_a_column_of_the_log(binary, monitored, world, name):
    binary(pa.array(IDS), feature=name)
    reference = monitored(ProfileInferenceLogOperator)
    assert (reference["rows"], reference["labelled"]) == (SERVED, SERVED)
    profile = world.evidence.read_json(reference["evidence_run"], reference["path"])
    assert [column["name"] for column in profile["columns"]] == ["x", name]
    assert profile["columns"][1]["categories"] == {"a": SERVED}
    verdict = monitored(CheckPerformanceOperator, policy=POLICY)
    assert (verdict["outcome"], "on 600 labelled" in verdict["findings"][0]["reason"]) == ("pass", True)
    assert monitored(CheckPredictionsOperator)["outcome"] == "pass"
