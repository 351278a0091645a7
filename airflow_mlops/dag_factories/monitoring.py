"""The monitoring DAG: inference log → drift, performance → decision → retraining request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import CronPartitionTimetable, PartitionedAssetTimetable, chain

from airflow_mlops.assets import data_asset, retraining_asset
from airflow_mlops.core.retraining.policy import Trigger
from airflow_mlops.dag_factories.dag import model_dag
from airflow_mlops.operators.data import CheckSkewOperator
from airflow_mlops.operators.monitoring import (
    CheckPerformanceOperator,
    CheckPredictionsOperator,
    ProfileInferenceLogOperator,
)
from airflow_mlops.operators.retraining import RequestRetrainingOperator, RetrainGateOperator

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseOperator

    from airflow_mlops.dag_factories.config import ModelConfig

_DECISION = "ti.xcom_pull(task_ids='retrain_gate')"


def monitor_dag(config: ModelConfig) -> DAG:
    """Build ``<model>__monitor``: started when a partition's labels arrive."""
    common: dict[str, Any] = {"model": config.model, "mlflow_conn_id": config.mlflow_conn_id}
    served: dict[str, Any] = {
        "uri": config.data.dataset,
        "partition": "{{ dag_run.partition_key }}",
        "data": config.data.spec(),
        "serving_conn_id": config.rollout.conn_id,
        **common,
    }
    schedule = PartitionedAssetTimetable(assets=data_asset(config.model))
    with model_dag(config, "monitor", schedule=schedule) as dag:
        profile = ProfileInferenceLogOperator(
            task_id="profile_inference_log", multiple_outputs=True, **served
        )
        drift = CheckSkewOperator(
            task_id="check_skew",
            profile=profile.output,
            policy=config.drift_policy(),
            calibrated=config.skew.calibrated,
            gate="drift",
            **common,
        )
        predictions = CheckPredictionsOperator(
            task_id="check_predictions", policy=config.drift_policy(), **served
        )
        checks: list[BaseOperator] = [drift, predictions]
        if (limits := config.performance_policy()) is not None:
            entity = config.validate.policy().entity
            checks.append(
                CheckPerformanceOperator(task_id="check_performance", policy=limits, entity=entity, **served)
            )
        gate = RetrainGateOperator(
            task_id="retrain_gate",
            verdicts=[check.output for check in checks],
            rows=profile.output["labelled"],
            policy=config.retrain.policy(),
            **common,
        )
        request = RequestRetrainingOperator(
            task_id="request_retraining",
            partition="{{ dag_run.partition_key }}",
            trigger=f"{{{{ {_DECISION}['trigger'] }}}}",
            reason=f"{{{{ {_DECISION}['reasons'] | join('; ') }}}}",
            outlets=[retraining_asset(config.model)],
        )
        chain(profile, checks, gate, request)
    return dag


def schedule_dag(config: ModelConfig) -> DAG:
    """Build ``<model>__schedule``: requests retraining by a cron schedule, independent of the data."""
    schedule = CronPartitionTimetable(config.schedule or "@monthly", timezone="UTC")
    with model_dag(config, "schedule", schedule=schedule) as dag:
        RequestRetrainingOperator(
            task_id="request_retraining",
            partition="{{ dag_run.partition_key }}",
            trigger=str(Trigger.SCHEDULE),
            reason=f"schedule {config.schedule}",
            outlets=[retraining_asset(config.model)],
        )
    return dag
