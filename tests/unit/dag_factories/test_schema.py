from __future__ import annotations

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from airflow_mlops.dag_factories.schema import accept_schema_dag


@pytest.fixture
def dag():
    return accept_schema_dag(approvers=[{"id": "ann", "name": "Ann"}])


def test_nothing_is_written_before_a_person_approved(dag):
    assert [task.task_id for task in dag.topological_sort()] == ["propose", "approve", "write"]
    assert dag.get_task("approve").assigned_users == [{"id": "ann", "name": "Ann"}]
    assert dag.get_task("approve").response_timeout.days == 7
    assert set(dag.get_task("approve").template_fields) >= {"subject", "body"}


def test_form_asks_for_what_is_needed_and_survives_serialisation(dag):
    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert set(back.params) == {"model", "schema", "uri", "partition", "changes"}
    assert back.params["changes"] == "needed"


def test_what_one_dag_was_started_with_is_no_default_of_the_next(dag):
    dag.params["changes"] = None
    assert accept_schema_dag("another").params["changes"] == "needed"
