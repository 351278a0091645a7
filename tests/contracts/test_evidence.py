"""What every evidence store must do; run over memory and over MLflow."""

from __future__ import annotations

import os
import socket

import pytest

from airflow_mlops.backends.evidence.in_memory import InMemoryEvidence
from airflow_mlops.backends.evidence.mlflow import MlflowEvidence
from airflow_mlops.backends.evidence.protocol import EvidenceKey
from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError, ServiceUnavailableError


@pytest.fixture(params=["in_memory", "mlflow"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if request.param == "in_memory":
        return InMemoryEvidence()
    return MlflowEvidence(MlflowServer(f"sqlite:///{tmp_path}/mlflow.db"))


def key(run="run-1"):
    return EvidenceKey(model="flights", dag_id="flights__training", run_id=run)


def test_every_task_and_try_of_a_dag_run_finds_the_same_evidence_run(store):
    first = store.open(key(), {"mlops.partition": "2013-01"})
    assert store.open(key()) == first
    assert store.open(key("run-2")) != first
    assert store.tags(first)["mlops.partition"] == "2013-01"


def test_documents_are_kept_replaced_and_read_back(store):
    run = store.open(key())
    store.write_json(run, "canary/5pct.json", {"e_value": 1.5})
    store.write_json(run, "canary/5pct.json", {"e_value": 2.5, "reasons": ["é"]})
    store.write_text(run, "schema.yaml", "name: s")
    assert store.read_json(run, "canary/5pct.json") == {"e_value": 2.5, "reasons": ["é"]}


def test_document_that_is_not_there_is_named(store):
    run = store.open(key())
    with pytest.raises(InvalidRecordError, match=r"profile\.json"):
        store.read_json(run, "profile.json")


def test_runs_are_found_by_all_their_tags_newest_first(store):
    runs = [store.open(key(f"run-{n}"), {"kind": "profile", "month": str(n % 2)}) for n in range(3)]
    assert store.find("flights", {"kind": "profile"}) == runs[::-1]
    assert store.find("flights", {"kind": "profile", "month": "0"}) == [runs[2], runs[0]]
    assert store.find("flights", {"kind": "profile"}, limit=1) == [runs[2]]
    assert store.find("flights", {"kind": "other"}) == []
    assert store.find("nowhere", {"kind": "profile"}) == []
    found = store.search("flights", {"kind": "profile"}, limit=2)
    assert [(run, tags["month"]) for run, tags in found] == [(runs[2], "0"), (runs[1], "1")]
    assert store.search("nowhere", {"kind": "profile"}) == []


@pytest.mark.parametrize(("limit", "kept"), [(None, 5), (3, 3), (9, 5)])
def test_search_goes_on_to_the_last_page_or_the_limit(store, monkeypatch, limit, kept):
    monkeypatch.setattr("airflow_mlops.backends.evidence.mlflow._PAGE", 2)
    runs = [store.open(key(f"run-{n}"), {"kind": "profile"}) for n in range(5)]
    assert store.find("flights", {"kind": "profile"}, limit=limit) == runs[::-1][:kept]


def test_tags_metrics_and_end_are_accepted(store):
    run = store.open(key())
    store.set_tags(run, {"mlops.schema": "pass"})
    store.log_metrics(run, {"roc_auc": 0.9}, step=5)
    store.close(run, succeeded=False)
    assert store.tags(run)["mlops.schema"] == "pass"
    assert store.open(key()) == run


def test_quote_in_a_name_is_refused_not_sent(tmp_path):
    store = MlflowEvidence(MlflowServer(f"sqlite:///{tmp_path}/mlflow.db"))
    with pytest.raises(InvalidConfigError, match="quote"):
        store.open(EvidenceKey(model="m", dag_id="d", run_id="it's"))


def test_server_that_is_down_is_named_at_once():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ServiceUnavailableError, match=address):
        MlflowEvidence(MlflowServer(address)).open(key())


def test_credentials_are_in_the_environment_only_while_needed(tmp_path):
    server = MlflowServer(f"sqlite:///{tmp_path}/mlflow.db", username="me", password="secret")
    with server.session():
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "secret"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
