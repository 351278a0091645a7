from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from builders import candidate, comparison, promotion, report

from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.serving.local.inference_writer import InferenceWriter
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.operators.monitoring import CheckPerformanceOperator

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
