from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time.xcom import XCom
from fakes.task_instance import TaskInstance

from airflow_mlops.links import EvidenceRunLink, FullReportLink, UpdateReportLink


@pytest.mark.parametrize("kind", [EvidenceRunLink, FullReportLink, UpdateReportLink])
def test_link_leads_to_what_the_task_recorded_while_it_ran(kind, monkeypatch):
    task_instance = TaskInstance()
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: ti_key.xcoms.get(key))
    assert kind().get_link(None, ti_key=task_instance) == ""
    kind().record({"ti": task_instance}, "https://mlflow/1")
    assert kind().get_link(None, ti_key=task_instance) == "https://mlflow/1"


def test_store_without_pages_records_no_link():
    task_instance = TaskInstance()
    EvidenceRunLink().record({"ti": task_instance}, "")
    assert task_instance.xcoms == {}


def _refuses(key, value):
    raise RuntimeError("the execution API does not answer")


@pytest.mark.parametrize(
    "context",
    [{}, {"ti": None}, {"ti": SimpleNamespace(try_number=1)}, {"ti": SimpleNamespace(xcom_push=_refuses)}],
    ids=["no task instance", "none", "a namespace, as in a notebook", "the push fails"],
)
def test_link_that_cannot_be_recorded_does_not_fail_the_task(context):
    assert EvidenceRunLink().record(context, "https://mlflow/1") is None
