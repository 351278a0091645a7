"""The airflow dag of a rollout that asks people, freezes, keeps the old version: for tests that answer it.

What differs from test to test is read from ``GUARDED_PLAN`` whenever the file is parsed, in each task too.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.dag_factories.rollout import ROLLOUT_FORM, ROLLOUT_VERSION, People, canary_rollout

QUICK = {"window_seconds": 1.0, "bake_seconds": 3.0, "min_requests": 10, "max_error_rate": 0.2, "burst": 1}
PLANS = Path(os.environ.get("GUARDED_PLANS", "/nonexistent"))

for path in sorted(PLANS.glob("*.json")):
    given = json.loads(path.read_text())
    people = People(answer_within=timedelta(seconds=given.pop("answer_within", 3600)))
    tried = {"retries": 2, "retry_delay": timedelta(seconds=1)}  # Airflow may drop what a task waited for
    with DAG(f"guarded__{path.stem}", schedule=None, params=ROLLOUT_FORM, default_args=tried):
        plan = RolloutPlan.from_json(QUICK | given)
        canary_rollout(model="guarded", version=ROLLOUT_VERSION, plan=plan, people=people)
