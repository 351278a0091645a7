from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.release.readiness import Reply
from airflow_mlops.core.verdict import Outcome
from airflow_mlops.dag_factories import ApprovalConfig, CardConfig, ReadinessConfig
from airflow_mlops.dag_factories.config import load_config
from airflow_mlops.dag_factories.model import model_dags

TEXT = """
model: churn
data: {uri: /lake/churn, target: churned, schema: churn.yaml}
train: {function: "churn_model:fit"}
validate: {margin: {roc_auc: 0.002}}
"""
READINESS = (
    "readiness: {max_p99_ms: 50, nulls: predict, differences: fail, load: {per_second: 20, seconds: 5s}}\n"
)
CARD = "card: {required: [limitations, Ethics], limitations: [Not for cargo.], more: {Ethics: None.}}\n"
APPROVAL = "approval: {when: on_warning, approvers: [ann, bob], timeout: 2h, default: approve}\n"


@pytest.fixture
def training(tmp_path):
    def from_text(text):
        (tmp_path / "churn.yaml").write_text(TEXT + text)
        (dag,) = (
            d for d in model_dags(load_config(tmp_path / "churn.yaml")) if d.dag_id.endswith("training")
        )
        return dag

    return from_text


def after_validation(dag):
    order = [task.task_id for task in dag.topological_sort()]
    return order[order.index("validate_model") + 1 :]


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("", []),
        ("approval: auto\n", []),
        ("approval: required\n", ["approve_model"]),
        (READINESS, ["check_readiness"]),
        (CARD, ["write_model_card"]),
        (READINESS + CARD + APPROVAL, ["check_readiness", "write_model_card", "approve_model"]),
    ],
)
def test_tasks_between_validation_and_nomination_are_those_that_are_configured(training, text, tasks):
    dag = training(text)
    assert after_validation(dag) == [*tasks, "nominate_challenger"]
    nominate = dag.get_task("nominate_challenger")
    assert nominate.trigger_rule == ("none_failed_min_one_success" if tasks else "all_success")
    assert (tasks or ["validate_model"])[-1] in nominate.upstream_task_ids


def test_limits_and_approvers_reach_the_operators(training):
    dag = training(READINESS + CARD + APPROVAL)
    policy = dag.get_task("check_readiness").policy
    assert (policy.max_p99_ms, policy.nulls, policy.differences) == (50, Reply.PREDICT, Outcome.FAIL)
    assert (policy.load.per_second, policy.load.seconds) == (20, 5)
    card = dag.get_task("write_model_card")
    assert (card.required, card.statement.limitations) == (("limitations", "Ethics"), ("Not for cargo.",))
    approve = dag.get_task("approve_model")
    assert approve.assigned_users == [{"id": "ann", "name": "ann"}, {"id": "bob", "name": "bob"}]
    assert (approve.response_timeout, approve.defaults) == (timedelta(hours=2), ["Approve"])
    assert approve.upstream_task_ids == {
        "validate_model",
        "check_readiness",
        "write_model_card",
        "train_model",
    }


def test_dag_with_all_of_it_survives_airflows_serialisation(training):
    from airflow.serialization.serialized_objects import DagSerialization

    dag = training(READINESS + CARD + APPROVAL)
    assert set(DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_ids) == set(dag.task_ids)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("readiness: {max_p99: 5}\n", "unknown key 'readiness.max_p99'; one of: .*did you mean 'max_p99_ms'"),
        (
            "readiness: {nulls: maybe}\n",
            "readiness.nulls: 'maybe', one of: predict, refuse, either, untested",
        ),
        ("readiness: {load: {rate: 5}}\n", r"readiness\.load\.(per_second|rate)"),
        ("approval: never\n", "approval.when: 'never', one of: required, auto, on_warning"),
        ("approval: {default: maybe}\n", "approval.default: 'maybe', one of: approve, reject"),
        ("card: {owner: ann}\n", "unknown key 'card.owner'.*did you mean 'owners'"),
    ],
)
def test_mistake_in_yaml_is_named_with_what_is_allowed(training, text, named):
    with pytest.raises(InvalidConfigError, match=named):
        training(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("card: {required: [limits]}\n", "card.required: 'limits', one of: overview, owners, .*limitations"),
        ("readiness: {load: {per_second: 5, seconds: 1h}}\n", "readiness.load.seconds: 3600, allowed"),
        ("approval: {when: required, timeout: 0}\n", "approval.timeout: 0 s, allowed: above 0"),
    ],
)
def test_value_that_cannot_be_meant_is_refused_when_the_file_is_read(training, text, named):
    with pytest.raises(InvalidConfigError, match=named):
        training(text)


def test_python_takes_the_same():
    assert ApprovalConfig("required", approvers={"7": "Ann"}).approvers == {"7": "Ann"}
    assert ReadinessConfig().policy().load is None
    assert CardConfig(owners=("ops",)).statement().owners == ("ops",)


@pytest.mark.parametrize("text", [CARD, READINESS + CARD, CARD + APPROVAL])
def test_version_whose_card_lacks_a_required_section_cannot_be_nominated(training, text):
    dag = training(text)
    after = ["write_model_card", *dag.get_task("write_model_card").get_flat_relative_ids()]
    assert "nominate_challenger" in after
    between = [
        dag.get_task(name) for name in after if name not in ("write_model_card", "nominate_challenger")
    ]
    assert all(task.trigger_rule == "all_success" for task in between)
    assert dag.get_task("nominate_challenger").trigger_rule == "none_failed_min_one_success"
