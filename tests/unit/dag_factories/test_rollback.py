from __future__ import annotations

import pytest
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from airflow_mlops.dag_factories.replay import replay_dag
from airflow_mlops.dag_factories.rollback import rollback_dag


def test_form_asks_for_model_version_and_reason_and_survives_serialisation():
    dag = rollback_dag()
    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert set(back.params) == {"model", "version", "reason", "force"}
    assert back.params["force"] is False
    assert set(dag.get_task("restore").template_fields) == {"model", "version", "reason", "force"}


@pytest.mark.parametrize("version", ["", "latest", "v1"])
def test_form_refuses_what_is_no_version(version):
    with pytest.raises(ParamValidationError, match="does not match"):
        rollback_dag().params.get_param("version").resolve(version)


def test_replay_is_started_by_its_form_and_survives_serialisation():
    back = DagSerialization.from_dict(DagSerialization.to_dict(replay_dag()))
    assert set(back.params) == {"model", "version", "tolerance", "function"}
    assert replay_dag().task_ids == ["replay"]
