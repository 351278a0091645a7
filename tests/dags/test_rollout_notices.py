"""A rollout in Airflow itself tells each event once, though tasks fail after they told people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[1] / "support"
WORLD = """
from dataclasses import replace
from pathlib import Path

from airflow_mlops.backends.evidence.in_memory import InMemoryEvidence
from airflow_mlops.backends.registry.in_memory import InMemoryRegistry
from airflow_mlops.backends.registry.protocol import LedgerEntry
from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.serving import ServingHook

HOME = Path(__file__).parents[1]


class Serving(InMemoryServing):
    looks = 0

    def counters(self, endpoint):
        self.looks += 1
        meddled = {4: 40, 6: 10}.get(self.looks) if not FAILING else None
        if meddled:
            self._traffic[endpoint] = replace(self._traffic[endpoint], canary_percent=meddled)
        for version in ("1", "2"):
            self.count(endpoint, version, requests=100, errors=FAILING * (version == "2"))
        return super().counters(endpoint)


registry, evidence, serving = InMemoryRegistry(), InMemoryEvidence(), Serving()
MlflowHook.registry = lambda self: registry
MlflowHook.evidence = lambda self: evidence
MlflowHook.ui_url = lambda self, run: f"http://mlflow/{run}"
ServingHook.backend = lambda self: serving
ServingHook.metrics = lambda self, *watched: None
ServingHook.shared_backend = lambda self: serving
model = HOME / "model"
model.mkdir()
(model / "MLmodel").write_text("flavors: {}")
for number in ("1", "2"):
    registry.register("m", f"run-of-{number}", str(model), {"mlops.validation": "pass"})
registry.promote(LedgerEntry(model="m", from_version=None, to_version="1", dag_id="d", run_id="r", reason=""))
serving.claim("m", "setup")
serving.deploy("m", "1", model, holder="setup")
serving.promote("m", "1", holder="setup")
serving.release("m", "setup")
"""
DAG_FILE = """
import world
from airflow.sdk import DAG
from notifiers import BrokenNotifier, FileNotifier

from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.dag_factories.rollout import People, canary_rollout


def fail_once(context, result):
    if context["ti"].try_number == 1:
        raise RuntimeError("after the task told people")


PLAN = {"bake_seconds": 0, "window_seconds": 0.05, "deadline_seconds": 60, "burst": 1, "min_requests": 600}
with DAG("m__rollout", schedule=None, default_args={"retries": 1, "retry_delay": 0.1}) as dag:
    told = FileNotifier(world.HOME / "told.jsonl")
    people = People(notifiers=(told, BrokenNotifier(RuntimeError("no channel"))))
    plan = RolloutPlan(steps=(10,), max_error_rate=0.5, **PLAN)
    canary_rollout(model="m", version="2", plan=plan, people=people, deferrable=DEFERRABLE)
for name in ("deploy_canary", "promote", "roll_back"):
    dag.get_task(name)._post_execute_hook = fail_once
"""
RUN = """
import sys
from airflow.utils.db import initdb
initdb()
sys.path[:0] = sys.argv[1:]
import rollout_dag, world
rollout_dag.dag.test()
seen = world.serving.traffic("m")
print("ENDS", seen.stable, seen.canary, world.registry.alias("m", "champion"))
"""


@pytest.fixture
def rolled_out(tmp_path):
    """Roll out in a process of its own; return what was told, how it ended, and the log."""

    def run(*, failing=0, deferrable=True):
        (tmp_path / "dags").mkdir()
        (tmp_path / "modules").mkdir()
        (tmp_path / "modules" / "world.py").write_text(WORLD.replace("FAILING", str(failing)))
        (tmp_path / "dags" / "rollout_dag.py").write_text(DAG_FILE.replace("DEFERRABLE", str(deferrable)))
        settings = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        settings["AIRFLOW__API__BASE_URL"] = "https://airflow.example.org"
        command = [sys.executable, "-c", RUN, *map(str, (tmp_path / "dags", tmp_path / "modules", SUPPORT))]
        done = subprocess.run(
            command, env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True, timeout=240
        )
        log = done.stdout + done.stderr
        (ends,) = [line for line in done.stdout.splitlines() if line.startswith("ENDS")] or [log[-4000:]]
        told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
        return told, ends, log

    return run


@pytest.mark.parametrize("deferrable", [True, False], ids=["triggerer", "worker"])
def test_each_event_is_told_once_though_tasks_fail_after_they_told(rolled_out, deferrable):
    told, ends, log = rolled_out(deferrable=deferrable)
    assert [line["event"] for line in told] == ["started", "held", "promoted"]
    assert ends == "ENDS 2 None 2"
    start, held, promoted = told
    assert start["run"].startswith("https://airflow.example.org/dags/m__rollout/runs/manual")
    assert held["subject"] == "Rollout of m version 2 beside version 1 waits for a person at 10 %"
    assert "INTERVENED: m's canary gets 40 %" in held["reason"]
    assert (promoted["step"], promoted["weight"], promoted["champion"]) == ("1", "10", "1")
    assert log.count("after the task told people") >= 2
    assert "2 BrokenNotifier did not deliver" in log


def test_rollback_is_told_once_and_gives_traffic_back_beside_a_broken_notifier(rolled_out):
    told, ends, _ = rolled_out(failing=40)
    assert [line["event"] for line in told] == ["started", "rolled_back"]
    assert ends == "ENDS 1 None 1"
    assert "canary fails more than stable" in told[-1]["reason"]
