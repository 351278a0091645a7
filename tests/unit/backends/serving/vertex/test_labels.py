from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.backends.serving.remote.state import Release, RemotePhase, RemoteState
from airflow_mlops.backends.serving.vertex.labels import deployed_id, read_labels, write_labels
from airflow_mlops.core.rollout.end import EndKind, RolloutEnd
from airflow_mlops.core.rollout.lease import Lease

WRITTEN_BEFORE = {
    "mlops-state-00": "pdnilegnb3bcaeeel7c6zwkklp7rex6fdcbwkvjcwbskcrwt6towk254pbie4mh",
    "mlops-state-01": "ztcm52aj2du2d6yjxdmqfdty5syv2jzkoffhqmxksay62sfxggo4cgj2ligabnr",
    "mlops-state-02": "rcmayjc3giuiecnuez3arrozp72oyp4mvmme6bjzkkzzgl7aojhhvlhyr6ksg4a",
    "mlops-state-03": "dtvykusopvcmvgeolobzv3lgwwxoilpk34djq3zjlffkt3zu3473jkwinfwzpcj",
    "mlops-state-04": "l6cmodcne7e2vro4x472b2d4rzbj3nybckdfpvzpq33xzxl2qdmm4mf6hqdswe",
}


def test_state_written_by_an_earlier_version_is_read():
    assert read_labels(WRITTEN_BEFORE) == RemoteState(
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


text = st.text(min_size=1, max_size=250)
release = st.builds(Release, version=st.text(max_size=64), source=st.just(deployed_id("demo", "1")))


@given(
    st.builds(
        RemoteState,
        endpoint=st.text(max_size=64),
        holder=st.none() | text,
        stable=st.none() | release,
        canary=st.none() | release,
        former=st.lists(release, max_size=3).map(tuple),
        percent=st.integers(0, 100),
        phase=st.sampled_from(RemotePhase),
        mark=st.text(max_size=120),
    )
)
def test_state_survives_in_labels_that_vertex_allows(state):
    labels = write_labels({"team": "flights"}, state)
    assert read_labels(labels) == state
    assert write_labels(labels, state) == labels
    assert labels["team"] == "flights"
    assert len(labels) <= 64
    assert all(len(value) <= 63 and value == value.lower() for value in labels.values())


def ends_of(reason, actor="eve@example.com"):
    return tuple(
        RolloutEnd(
            id=hashlib.sha256(str(number).encode()).hexdigest()[:32],
            model="demo",
            kind=EndKind.STOPPED,
            version=str(number),
            champion="1",
            reason=reason,
            actor=actor,
            percent=number,
            holder=f"demo__rollout/manual__2026-11-{number:02}T00:00:00+00:00",
            at=1764500000.0 + number,
        )
        for number in range(20)
    )


def test_pending_ends_are_shortened_so_that_labels_hold_the_last_twenty():
    state = RemoteState(endpoint="demo", ends=ends_of("errors on checkout, see the dashboard " * 9))
    labels = write_labels({"team": "flights"}, state)
    assert len(labels) <= 64
    kept = read_labels(labels).ends
    assert [(e.id, e.kind, e.version, e.percent, e.at) for e in kept] == [
        (e.id, e.kind, e.version, e.percent, e.at) for e in state.ends[-len(kept) :]
    ]
    assert len(kept) == 20
    assert all(len(e.reason) <= 60 and e.reason.startswith("errors on checkout") for e in kept)
    assert write_labels(labels, read_labels(labels)) == labels


def test_oldest_ends_give_way_to_labels_of_others():
    others = {f"label-{number}": "x" for number in range(45)}
    labels = write_labels(others, RemoteState(endpoint="demo", ends=ends_of("r")))
    assert len(labels) == 64
    kept = read_labels(labels).ends
    assert 0 < len(kept) < 20
    assert kept[-1].version == "19"


def test_ids_of_deployed_models_are_allowed_and_differ():
    ids = {deployed_id(endpoint, str(version)) for endpoint in ("a", "b") for version in range(500)}
    assert len(ids) == 1000
    assert {len(found) for found in ids} == {10}
