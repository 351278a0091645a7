from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "mlflow",
    "great_expectations",
    "pandas",
    "numpy",
    "scipy",
    "sklearn",
    "pyarrow",
    "google.auth",
    "kubernetes",
)
OPERATORS = [
    f"airflow_mlops.{path.parent.name}.{path.stem}"
    for folder in ("operators", "sensors", "triggers", "hooks", "dag_factories", "plugin")
    for path in sorted((ROOT / "airflow_mlops" / folder).glob("[a-z]*.py"))
]
DAG_FILES = sorted(path for path in (ROOT / "dags").glob("*.py") if "airflow" in path.read_text())


def loaded_by(statement):
    code = f"import sys, json\n{statement}\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "dags")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", ["airflow_mlops", "airflow_mlops.assets", "airflow_mlops.provider_info"])
def test_light_modules_load_nothing_heavy(module):
    assert loaded_by(f"import {module}") == []


def test_operators_sensors_triggers_hooks_and_factories_load_nothing_heavy():
    assert len(OPERATORS) > 15
    assert loaded_by("\n".join(f"import {module}" for module in OPERATORS)) == []


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_parsing_a_shipped_dag_file_loads_nothing_heavy(file):
    assert loaded_by(f"import {file.stem}") == []


def test_importtime_of_a_dag_file_shows_no_heavy_module():
    command = [sys.executable, "-X", "importtime", "-c", "import flight_delay"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "dags")
    assert done.returncode == 0
    modules = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "airflow" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.fixture(scope="module")
def dags():
    from airflow_mlops.dag_factories import dags_from_yaml

    return {dag.dag_id: dag for dag in dags_from_yaml(ROOT / "dags" / "models" / "flight_delay.yaml")}


def test_model_has_its_three_dags(dags):
    assert set(dags) == {"flight_delay__training", "flight_delay__rollout", "flight_delay__monitor"}


def test_training_stops_at_the_schema_and_trains_after_the_decision(dags):
    order = [task.task_id for task in dags["flight_delay__training"].topological_sort()]
    assert order == [
        "read_request",
        "profile_data",
        "check_schema",
        "check_skew",
        "retrain_gate",
        "train_model",
        "validate_model",
        "nominate_challenger",
    ]


def test_rollout_is_unrolled_per_step_and_any_failure_before_promotion_rolls_back(dags):
    dag = dags["flight_delay__rollout"]
    guarded = {
        "deploy_canary",
        "step_1_25pct.set_traffic",
        "step_1_25pct.analyse",
        "step_2_50pct.set_traffic",
        "step_2_50pct.analyse",
        "promote",
    }
    assert dag.get_task("roll_back").upstream_task_ids == guarded
    assert dag.get_task("roll_back").trigger_rule == "one_failed"
    assert dag.get_task("clean_up").upstream_task_ids == {"promote"}
    assert set(dag.task_ids) == guarded | {"roll_back", "clean_up"}


def test_loop_closes_over_the_assets(dags):
    started = {dag_id: str(dag.timetable.asset_condition) for dag_id, dag in dags.items()}
    emitted = {o.name for dag in dags.values() for task in dag.tasks for o in task.outlets}
    assert "mlops/flight_delay/challenger" in started["flight_delay__rollout"]
    assert "mlops/flight_delay/retraining" in started["flight_delay__training"]
    assert "mlops/flight_delay/data" in started["flight_delay__training"]
    assert "mlops/flight_delay/data" in started["flight_delay__monitor"]
    assert emitted == {f"mlops/flight_delay/{name}" for name in ("challenger", "champion", "retraining")}


def test_dags_survive_airflows_serialisation(dags):
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dags.values():
        back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert set(back.task_ids) == set(dag.task_ids)


def test_schedule_adds_a_dag_that_asks_for_retraining():
    from dataclasses import replace

    from airflow_mlops.dag_factories.config import load_config
    from airflow_mlops.dag_factories.model import model_dags

    config = replace(load_config(ROOT / "dags" / "models" / "flight_delay.yaml"), schedule="@weekly")
    assert {dag.dag_id.split("__")[1] for dag in model_dags(config)} == {
        "training",
        "rollout",
        "monitor",
        "schedule",
    }


def test_provider_lists_its_parts():
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    manager.initialize_providers_hooks()
    assert manager.providers["airflow-provider-mlops"].data["name"] == "MLOps"
    assert {"mlflow", "mlops_local_serving"} <= set(manager.hooks)
    assert "airflow_mlops.links.EvidenceRunLink" in manager.extra_links_class_names
    for connection in ("mlflow", "mlops_local_serving"):
        assert manager.hooks[connection] is not None
