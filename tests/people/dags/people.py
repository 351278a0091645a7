"""Rollouts that people lay hands on, named by the file's stem, so that a copy of it can be deleted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_mlops.core.rollout.plan import RolloutPlan, Step
from airflow_mlops.dag_factories.rollout import ROLLOUT_FORM, ROLLOUT_VERSION, canary_rollout

PLAN = {
    "bake_seconds": 4,
    "deadline_seconds": 120,
    "window_seconds": 1,
    "min_requests": 20,
    "max_error_rate": 0.3,
    "burst": 1,
    "lease_seconds": 15,
}
STEPS = {"rollout": (20, 50), "asking": (Step(percent=20, approve=True), 50)}
RETRIES = {"retries": 3, "retry_delay": timedelta(seconds=1)}

for name, steps in STEPS.items():
    with DAG(f"{Path(__file__).stem}__{name}", schedule=None, params=ROLLOUT_FORM, default_args=RETRIES):
        canary_rollout(model="chaos", version=ROLLOUT_VERSION, plan=RolloutPlan(steps=steps, **PLAN))
