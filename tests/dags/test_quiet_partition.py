"""A partition that asks for no training ends as skipped in Airflow itself, whatever the release demands."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow
WORLD = """
import json
import sys

from airflow.utils.db import initdb

initdb()
from airflow_mlops.backends.evidence.in_memory import InMemoryEvidence
from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.registry.protocol import LedgerEntry
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.verdict import Finding, Outcome, Verdict
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.operators.validation import ValidateModelOperator

home, validation = sys.argv[1:]
registry, evidence = InMemoryRegistry(), InMemoryEvidence()
MlflowHook.registry = lambda self: registry
MlflowHook.evidence = lambda self: evidence
MlflowHook.ui_url = lambda self, run: f"http://mlflow/{run}"
window = {"mlops.uri": f"{home}/lake", "mlops.partitions": '["2013-01"]', "mlops.partition": "2013-01"}
registry.register("m", "run-of-1", home, window)
registry.promote(LedgerEntry(model="m", from_version=None, to_version="1", dag_id="d", run_id="r", reason=""))


def train(self, context):
    registry.register("m", "run-of-2", home, {})
    known = Window(uri="/lake", partitions=("2013-02",))
    made = {"model": "m", "version": "2", "evidence_run": "run-of-2", "window": known}
    return Candidate(**made, trained_rows=9, holdout_rows=3).to_json()


def validate(self, context):
    found = Finding(check="floor", subject="auc", outcome=Outcome(validation), reason=f"auc {validation}")
    return Verdict.of("validation", [found]).to_json()


TrainModelOperator.execute, ValidateModelOperator.execute = train, validate
sys.path.insert(0, f"{home}/dags")
import of_m

run = of_m.dag.test()
states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
print("ENDS", json.dumps({"run": str(run.state), **states}))
"""
DAG_FILE = """
from pathlib import Path

from airflow_mlops.dag_factories.config import load_config
from airflow_mlops.dag_factories.training import training_dag

dag = training_dag(load_config(Path(__file__).parents[1] / "m.yaml"))
"""
CONFIG = """
model: m
data: {{uri: {home}/lake, target: y, schema: {home}/schema.yaml, history: 1}}
train: {{function: "math:sqrt"}}
validate: {{margin: {{roc_auc: 0.01}}}}
retrain: {{triggers: [{trigger}], cooldown: 0, min_new_rows: 10}}
retries: 0
{release}
"""
CARD = "card: {required: [owners], owners: [ann]}\n"


@pytest.fixture
def trained(tmp_path):
    """Run the training DAG for the newest of two like partitions; return the states and the log."""
    rng = np.random.default_rng(0)
    (tmp_path / "lake").mkdir()
    for month in ("2013-01", "2013-02"):
        frame = pd.DataFrame({"x": rng.normal(size=500), "y": rng.integers(0, 2, 500)})
        frame.to_parquet(tmp_path / "lake" / f"{month}.parquet")
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}}
    (tmp_path / "schema.yaml").write_text(json.dumps({"name": "m", "expectations": [rule]}))

    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "of_m.py").write_text(DAG_FILE)

    def run(release, *, trigger="skew", validation="pass"):
        config = CONFIG.format(home=tmp_path, trigger=trigger, release=release)
        (tmp_path / "m.yaml").write_text(config)
        settings = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        command = [sys.executable, "-c", WORLD, str(tmp_path), validation]
        done = subprocess.run(
            command, env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True, timeout=240
        )
        log = done.stdout + done.stderr
        ends = [line for line in done.stdout.splitlines() if line.startswith("ENDS ")]
        assert ends, log[-4000:]
        return json.loads(ends[0].removeprefix("ENDS ")), log

    return run


@pytest.mark.parametrize(
    "release",
    ["approval: required\n", "readiness: {}\n" + CARD + "approval: on_warning\n"],
    ids=["approval", "readiness, card and approval"],
)
def test_quiet_partition_is_a_success_whose_later_tasks_are_skipped(trained, release):
    states, log = trained(release)
    assert states.pop("run") == "success", log[-4000:]
    checked = ("read_request", "profile_data", "check_schema", "check_skew")
    assert {states.pop(name) for name in checked} == {"success"}
    assert "nominate_challenger" in states
    assert set(states.values()) == {"skipped"}


def test_candidate_that_validation_refused_is_told_though_the_tasks_between_were_skipped(trained):
    states, log = trained("approval: required\n", trigger="manual", validation="fail")
    assert (states["run"], states["train_model"], states["validate_model"]) == ("success",) * 3
    assert (states["approve_model"], states["nominate_challenger"]) == ("skipped", "skipped")
    assert "version 2 is no challenger: validation: fail: auc fail" in log
