"""DAGs whose training and steps last long enough to kill them; models for rollbacks and for forms."""

from __future__ import annotations

from airflow.sdk import DAG
from steady_data import DATA

from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.dag_factories import ModelDag, RetrainConfig, RolloutConfig, TrainConfig, ValidateConfig
from airflow_mlops.dag_factories.rollout import ROLLOUT_FORM, ROLLOUT_VERSION, canary_rollout

PLAN = {"steps": (20, 50), "min_requests": 20, "max_error_rate": 0.05, "burst": 1}

for model in ("steady", "restored", "forms"):
    ModelDag(
        model,
        data=DATA,
        train=TrainConfig("steady_model:fit"),
        validate=ValidateConfig(margin={"roc_auc": 0.05}),
        rollout=RolloutConfig(**PLAN, bake="8s", deadline="3m", window="1s"),
        retrain=RetrainConfig(cooldown=0, min_new_rows=100),
        retry_delay="1s",
    )

with DAG(
    "steady__rollout_on_worker",
    schedule=None,
    params=ROLLOUT_FORM,
    default_args={"retries": 2, "retry_delay": 1.0},
):
    canary_rollout(
        model="steady",
        version=ROLLOUT_VERSION,
        plan=RolloutPlan(**PLAN, bake_seconds=8, deadline_seconds=180, window_seconds=1),
        deferrable=False,
    )
