"""The rollout: a task group with one sub-group per traffic step, and the DAG around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, PartitionedAssetTimetable, TaskGroup, TriggerRule, chain

from airflow_mlops.assets import challenger_asset, champion_asset
from airflow_mlops.dag_factories.dag import model_dag
from airflow_mlops.operators.rollout import (
    CleanUpRolloutOperator,
    DeployCanaryOperator,
    PromoteModelOperator,
    RollbackOperator,
    SetTrafficOperator,
)
from airflow_mlops.sensors.canary import CanaryAnalysisSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import DAG, Asset

    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.dag_factories.config import ModelConfig

VERSION = "{{ params.version or dag_run.partition_key }}"
FORM = {
    "version": Param(
        None, type=["null", "string"], title="Version", description="Registered version to roll out."
    )
}


def canary_rollout(
    *,
    model: str,
    version: str,
    plan: RolloutPlan,
    serving_conn_id: str = "mlops_serving",
    mlflow_conn_id: str = "mlflow_default",
    outlets: Sequence[Asset] = (),
    deferrable: bool = True,
    group_id: str = "canary",
) -> TaskGroup:
    """Build deploy → (set traffic → analyse) per step → promote → clean up, with rollback on any failure.

    After a rollback the run still ends failed: ``clean_up`` never ran.

    :param version: version to roll out. Templated.
    :param outlets: assets that announce the promoted version as their partition.
    :param deferrable: analyse on the triggerer; on the worker otherwise.
    """
    connections = {"serving_conn_id": serving_conn_id, "mlflow_conn_id": mlflow_conn_id}
    common: dict[str, Any] = {"model": model, "version": version, **connections}
    with TaskGroup(group_id, prefix_group_id=False) as group:
        tasks: list[Any] = [DeployCanaryOperator(task_id="deploy_canary", plan=plan, **common)]
        for number, percent in enumerate(plan.percents, start=1):
            with TaskGroup(f"step_{number}_{percent}pct"):
                before = tasks[-1].output
                setting = {"percent": percent, "state": before, "lease_seconds": plan.lease_seconds}
                shift = SetTrafficOperator(task_id="set_traffic", **setting, **common)
                waiting: dict[str, Any] = {
                    "model": model,
                    "plan": plan,
                    "deferrable": deferrable,
                    **connections,
                }
                tasks += [shift, CanaryAnalysisSensor(task_id="analyse", state=shift.output, **waiting)]
        tasks.append(
            PromoteModelOperator(task_id="promote", state=tasks[-1].output, outlets=list(outlets), **common)
        )
        chain(*tasks, CleanUpRolloutOperator(task_id="clean_up", **common))
        tasks >> RollbackOperator(task_id="roll_back", trigger_rule=TriggerRule.ONE_FAILED, **common)
    return group


def rollout_dag(config: ModelConfig) -> DAG:
    """Build ``<model>__rollout``: started by a nominated challenger, or by its form."""
    schedule = PartitionedAssetTimetable(assets=challenger_asset(config.model))
    with model_dag(config, "rollout", schedule=schedule, params=FORM) as dag:
        canary_rollout(
            model=config.model,
            version=VERSION,
            plan=config.rollout.plan(),
            serving_conn_id=config.rollout.conn_id,
            mlflow_conn_id=config.mlflow_conn_id,
            outlets=[champion_asset(config.model)],
        )
    return dag
