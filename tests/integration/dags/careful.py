"""A model whose candidates are tried, described and approved before they become challengers."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from steady_data import DATA

from airflow_mlops.dag_factories import (
    ApprovalConfig,
    CardConfig,
    ModelDag,
    ReadinessConfig,
    RetrainConfig,
    TrainConfig,
    ValidateConfig,
)
from airflow_mlops.operators.approval import ApproveModelOperator

ModelDag(
    "careful",
    data=DATA,
    train=TrainConfig("steady_model:fit"),
    validate=ValidateConfig(margin={"roc_auc": 0.05}),
    readiness=ReadinessConfig(nulls="untested", max_p99_ms=5000, requests=30),
    card=CardConfig(required=("limitations", "metrics", "serving"), limitations=("A test.",)),
    approval=ApprovalConfig("required", approvers=("admin",)),
    retrain=RetrainConfig(cooldown=0, min_new_rows=100),
    retry_delay="1s",
)

with DAG("careful__unanswered", schedule=None, render_template_as_native_obj=True):
    ApproveModelOperator(
        task_id="approve_model",
        model="careful",
        candidate="{{ dag_run.conf['candidate'] }}",
        verdicts=["{{ dag_run.conf['verdict'] }}"],
        approvers={"admin": "Ann"},
        timeout=timedelta(seconds=1),
        retry_delay=timedelta(seconds=1),  # Airflow may drop the answer; the next try finds it
    )
