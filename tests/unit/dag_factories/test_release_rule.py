"""What a rollout demands of a version is what the model's training DAG is configured to do."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG

from airflow_mlops.core.release.clearance import ReleaseGate, ReleaseRule
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.dag_factories.config import DataConfig, ModelConfig, RolloutConfig, TrainConfig
from airflow_mlops.dag_factories.release import ApprovalConfig, CardConfig, ReadinessConfig
from airflow_mlops.dag_factories.rollout import ROLLOUT_OVERRIDE, People, canary_rollout, rollout_dag
from airflow_mlops.dag_factories.validate import ValidateConfig

CLEARED = {"deploy_canary", "promote", "step_1_5pct.set_traffic"}


def model(**more):
    data = DataConfig(uri="/lake", target="y", schema="/lake.yaml")
    required = {
        "data": data,
        "train": TrainConfig("m:fit"),
        "validate": ValidateConfig(margin={"roc_auc": 0.01}),
    }
    return ModelConfig("m", **required | more)


def cleared(dag):
    return {task.task_id: task for task in dag.tasks if hasattr(task, "override_reason")}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, ReleaseRule()),
        ({"readiness": ReadinessConfig()}, ReleaseRule(required=(ReleaseGate.READINESS,))),
        ({"card": CardConfig()}, ReleaseRule(required=(ReleaseGate.CARD,))),
        (
            {"approval": ApprovalConfig("required", approvers={"17": "Ann"})},
            ReleaseRule(required=(ReleaseGate.APPROVAL,), approvers=("17", "Ann")),
        ),
        (
            {"approval": ApprovalConfig("on_warning"), "rollout": RolloutConfig(approvers=("bob",))},
            ReleaseRule(required=(ReleaseGate.APPROVAL,), approvers=("bob",)),
        ),
    ],
    ids=["nothing", "readiness", "card", "approval", "rollout's approvers"],
)
def test_configured_gates_are_required_and_approvers_may_override(given, rule):
    assert model(**given).release_rule() == rule


def test_every_task_that_gives_traffic_asks_and_knows_the_forms_override():
    tasks = cleared(rollout_dag(model(card=CardConfig())))
    assert set(tasks) >= CLEARED
    assert {task.release.required for task in tasks.values()} == {(ReleaseGate.CARD,)}
    assert {task.override_reason for task in tasks.values()} == {ROLLOUT_OVERRIDE}


@pytest.mark.parametrize(
    ("params", "said"),
    [({}, ""), ({"override_reason": None}, ""), ({"override_reason": "hotfix"}, "hotfix")],
    ids=["no such field", "left empty", "filled"],
)
def test_override_is_read_from_the_form_if_it_has_one(params, said):
    with DAG("d", schedule=None) as dag:
        canary_rollout(
            model="m", version="2", plan=RolloutPlan(steps=(5,), max_error_rate=0.5), people=People()
        )
    task = dag.get_task("deploy_canary")
    task.render_template_fields({"params": params})
    assert task.override_reason == said
