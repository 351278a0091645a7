"""The rollout: a task group with a sub-group per traffic step, and the DAG around it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier, Param, PartitionedAssetTimetable, TaskGroup, TriggerRule, chain

from airflow_mlops.assets import challenger_asset, champion_asset
from airflow_mlops.core.release.clearance import ReleaseRule
from airflow_mlops.dag_factories.dag import model_dag
from airflow_mlops.moved import names_of
from airflow_mlops.operators.rollout import (
    CleanUpRolloutOperator,
    DeployCanaryOperator,
    PromoteModelOperator,
    RollbackOperator,
    SetTrafficOperator,
)
from airflow_mlops.operators.rollout_approval import AskRolloutOperator
from airflow_mlops.sensors.canary import CanaryAnalysisSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import DAG, Asset

    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.dag_factories.config import ModelConfig

ROLLOUT_VERSION = "{{ params.version or dag_run.partition_key or '' }}"
"""Template of the version to roll out: from the form, else the challenger whose asset started the run.

Empty, and refused, if neither names one."""
ROLLOUT_OVERRIDE = "{{ params.get('override_reason') or '' }}"
"""Template of the form's reason to roll out a version that was refused; empty without one."""
ROLLOUT_FORM = {
    "version": Param(
        None, type=["null", "string"], title="Version", description="Registered version to roll out; needed."
    ),
    "override_reason": Param(
        None,
        type=["null", "string"],
        title="Override",
        description="Why, though it was not validated or approved; kept in the ledger with your name.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Approvers and notifiers of a rollout.

    :param answer_within: how long a question waits for an answer; then the rollout is rolled back.
    :param approvers: ids of the users who may answer; empty: every user who may edit the DAG.
    :param notifiers: notified when it starts, is held, is promoted or rolled back.
    :param release: what is demanded of a version before it receives traffic, and who may override it.
    :param override_reason: why a refused version is rolled out nevertheless; empty: it is not. Templated.
    :param override_by: user who overrides; empty: the user who started the run. Templated.
    """

    answer_within: timedelta = timedelta(days=1)
    approvers: tuple[str, ...] = ()
    notifiers: tuple[BaseNotifier, ...] = ()
    release: ReleaseRule = field(default_factory=ReleaseRule)
    override_reason: str = ROLLOUT_OVERRIDE
    override_by: str = ""


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
    people: People = People(),
) -> TaskGroup:
    """Build deploy → (set traffic → analyse) per step → promote → clean up, with rollback on any failure.

    A step that may need a person (``approve``, ``on_inconclusive: hold``, metric ``predictions``) has two
    more tasks: ``ask`` asks the question, if there is one, and analyses the canary on the triggerer until it
    is answered; ``conclude`` waits for the rest, such as the end of a freeze.
    After a rollback the DAG run still fails, because ``clean_up`` did not run.

    :param version: version to roll out. Templated.
    :param outlets: assets of which the promoted version becomes a partition.
    :param deferrable: analyse on the triggerer; on the worker otherwise.
    :param people: approvers, time to answer, and notifiers.
    """
    shared = {
        "serving_conn_id": serving_conn_id,
        "mlflow_conn_id": mlflow_conn_id,
        "notifiers": people.notifiers,
    }
    common: dict[str, Any] = {"model": model, "version": version, **shared}
    cleared: dict[str, Any] = {
        "plan": plan,
        "release": people.release,
        "override_reason": people.override_reason,
        "override_by": people.override_by,
        **common,
    }
    users = [{"id": user, "name": user} for user in people.approvers] or None
    asking: dict[str, Any] = {"answer_within": people.answer_within, "approvers": users}
    with TaskGroup(group_id, prefix_group_id=False) as group:
        tasks: list[Any] = [DeployCanaryOperator(task_id="deploy_canary", **cleared)]
        for number, percent in enumerate(plan.percents, start=1):
            with TaskGroup(f"step_{number}_{percent}pct"):
                setting = {"percent": percent, "state": tasks[-1].output}
                shift = SetTrafficOperator(
                    task_id="set_traffic", lease_seconds=plan.lease_seconds, **setting, **cleared
                )
                known: dict[str, Any] = {"model": model, "plan": plan, **shared}
                tasks += [shift, *_analysis(shift.output, percent, known, asking, deferrable=deferrable)]
        tasks.append(
            PromoteModelOperator(task_id="promote", state=tasks[-1].output, outlets=list(outlets), **cleared)
        )
        keep_old = plan.keep_old_seconds
        chain(*tasks, CleanUpRolloutOperator(task_id="clean_up", keep_old_seconds=keep_old, **common))
        tasks >> RollbackOperator(task_id="roll_back", trigger_rule=TriggerRule.ONE_FAILED, **common)
    return group


def _analysis(
    state: Any, percent: int, known: dict[str, Any], asking: dict[str, Any], *, deferrable: bool
) -> list[Any]:
    """Return the tasks that decide on a step; those for a person only where one may be asked."""
    plan: RolloutPlan = known["plan"]
    waiting = {**known, "deferrable": deferrable}
    if not plan.may_ask(percent):
        return [CanaryAnalysisSensor(task_id="analyse", state=state, **waiting)]
    analyse = CanaryAnalysisSensor(task_id="analyse", state=state, asks=True, **waiting)
    ask = AskRolloutOperator(task_id="ask", state=analyse.output, **known, **asking)
    conclude = CanaryAnalysisSensor(task_id="conclude", state=ask.output, **waiting)
    return [analyse, ask, conclude]


def rollout_dag(config: ModelConfig) -> DAG:
    """Build ``<model>__rollout``: started by a nominated challenger, or by its form."""
    schedule = PartitionedAssetTimetable(assets=challenger_asset(config.model))
    with model_dag(config, "rollout", schedule=schedule, params=copy.deepcopy(ROLLOUT_FORM)) as dag:
        canary_rollout(
            model=config.model,
            version=ROLLOUT_VERSION,
            plan=config.rollout.plan(),
            serving_conn_id=config.rollout.conn_id,
            mlflow_conn_id=config.mlflow_conn_id,
            outlets=[champion_asset(config.model)],
            people=People(
                answer_within=timedelta(seconds=config.rollout.answer_within),
                approvers=config.rollout.approvers,
                notifiers=config.rollout.notifiers,
                release=config.release_rule(),
            ),
        )
    return dag


__getattr__ = names_of(__name__)
