"""The format of the stored state: what earlier versions wrote is read, and written in the same way."""

from __future__ import annotations

from types import SimpleNamespace

from airflow_mlops.backends.serving.kubernetes.objects import LEASE, Resource
from airflow_mlops.backends.serving.kubernetes.state import KubernetesStateStore
from airflow_mlops.backends.serving.remote.state import Release, RemotePhase, RemoteState
from airflow_mlops.core.rollout.lease import Lease

WRITTEN_BEFORE = (
    '{"state": {"endpoint": "demo", "holder": "rollout/run-1", "stable": {"version": "1", "source": '
    '"s3://models/demo/1"}, "canary": {"version": "2", "source": "s3://models/demo/2"}, "former": '
    '[{"version": "0", "source": "s3://models/demo/0"}], "percent": 25, "phase": "promoting", "mark": '
    '"demo-predictor-00001", "lease": {"holder": "rollout/run-1", "token": 3, "expires_at": 1764500000.0}}, '
    '"layouts": [{"uri": "s3://models/demo/2", "percent": 25}, '
    '{"uri": "s3://models/demo/2", "percent": null}]}'
)
STATE = RemoteState(
    endpoint="demo",
    holder="rollout/run-1",
    stable=Release(version="1", source="s3://models/demo/1"),
    canary=Release(version="2", source="s3://models/demo/2"),
    former=(Release(version="0", source="s3://models/demo/0"),),
    percent=25,
    phase=RemotePhase.PROMOTING,
    mark="demo-predictor-00001",
    lease=Lease(holder="rollout/run-1", token=3, expires_at=1764500000.0),
)


def store_over(lease):
    """A store whose API server has one Lease and one object; a write would be an AttributeError."""
    found = {"mlops-demo": lease, "demo": {"metadata": {"name": "demo"}}}
    objects = SimpleNamespace(
        namespace="models",
        find=lambda resource, name: found.get(name),
        listed=lambda resource, labels: [lease] if labels == "airflow-mlops/splits=things" else [],
    )
    things = Resource(group="example.com", version="v1", plural="things", kind="Thing")
    return KubernetesStateStore(
        objects, things, {}, adopt=lambda snapshot: snapshot, layout_of=lambda snapshot: snapshot.layouts[-1]
    )


def test_state_written_by_an_earlier_version_is_read_and_not_written_again():
    lease = {"kind": LEASE.kind, "metadata": {"annotations": {"airflow-mlops/state": WRITTEN_BEFORE}}}
    store = store_over(lease)
    snapshot = store.load("demo")
    assert snapshot.state == STATE
    assert snapshot.layouts[-1] == {"uri": "s3://models/demo/2", "percent": None}
    assert store.endpoints() == ["demo"]
    store.save(snapshot, snapshot.state)
