"""Every form can be submitted with each optional field left empty."""

from __future__ import annotations

import pytest
from airflow.sdk.definitions.param import ParamsDict

from airflow_mlops.dag_factories.replay import replay_dag
from airflow_mlops.dag_factories.rollback import rollback_dag
from airflow_mlops.dag_factories.rollout import ROLLOUT_FORM
from airflow_mlops.dag_factories.schema import accept_schema_dag
from airflow_mlops.dag_factories.training import TRAINING_FORM

FORMS = {
    "training": (TRAINING_FORM, {}),
    "rollout": (ROLLOUT_FORM, {}),
    "replay": (replay_dag("a").params, {"model": "m", "version": "1"}),
    "rollback": (rollback_dag("b").params, {"model": "m", "version": "1", "reason": "complaints"}),
    "accept schema": (accept_schema_dag("c").params, {"model": "m", "schema": "/s.yaml", "uri": "/lake"}),
}
TASKS = {
    "replay": (replay_dag("d"), "replay", {"tolerance": "", "function": ""}),
    "accept schema": (accept_schema_dag("e"), "propose", {"partition": "", "changes": ""}),
}


def filled(form, **values):
    params = ParamsDict(
        {name: form.get_param(name) if isinstance(form, ParamsDict) else form[name] for name in form}
    )
    params.update(values)
    return params


def optional(form, required):
    return {name for name in form if name not in required}


@pytest.mark.parametrize(("form", "required"), FORMS.values(), ids=FORMS)
def test_form_is_valid_with_what_is_required_alone(form, required):
    assert set(filled(form, **required).validate()) == set(form)


@pytest.mark.parametrize(("form", "required"), FORMS.values(), ids=FORMS)
def test_optional_text_may_be_emptied(form, required):
    whole = filled(form, **required)
    emptied = {
        name: None for name in optional(form, required) if "string" in whole.get_param(name).schema["type"]
    }
    assert filled(form, **required, **emptied).validate().items() >= emptied.items()


@pytest.mark.parametrize(("form", "required"), FORMS.values(), ids=FORMS)
def test_required_field_may_not_be_empty(form, required):
    for name in required:
        with pytest.raises(Exception, match="Invalid input for param"):
            filled(form, **required | {name: ""}).validate()


@pytest.mark.parametrize(("dag", "task_id", "expected"), TASKS.values(), ids=TASKS)
def test_emptied_field_reaches_the_task_as_empty_text(dag, task_id, expected):
    task = dag.get_task(task_id)
    known = {"model": "m", "version": "1", "schema": "/s.yaml", "uri": "/lake"}
    task.render_template_fields({"params": known | dict.fromkeys(expected)})
    assert {name: getattr(task, name) for name in expected} == expected
