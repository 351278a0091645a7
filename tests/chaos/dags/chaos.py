"""Rollouts to kill processes in: the same airflow dag twice, analysed on the triggerer and on the worker."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.dag_factories.rollout import ROLLOUT_FORM, ROLLOUT_VERSION, canary_rollout

PLAN = RolloutPlan(
    steps=(20, 50),
    bake_seconds=6,
    deadline_seconds=120,
    window_seconds=1,
    min_requests=50,
    max_error_rate=0.05,
    burst=1,
    lease_seconds=60,
)
RETRIES = {"retries": 5, "retry_delay": timedelta(seconds=1)}

for name, deferrable in (("chaos__rollout", True), ("chaos__rollout_on_worker", False)):
    with DAG(name, schedule=None, params=ROLLOUT_FORM, default_args=RETRIES):
        canary_rollout(model="chaos", version=ROLLOUT_VERSION, plan=PLAN, deferrable=deferrable)
