from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.backends.serving.remote.state import Release, RemotePhase, RemoteState
from airflow_mlops.backends.serving.vertex.labels import deployed_id, read_labels, write_labels
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


def test_ids_of_deployed_models_are_allowed_and_differ():
    ids = {deployed_id(endpoint, str(version)) for endpoint in ("a", "b") for version in range(500)}
    assert len(ids) == 1000
    assert {len(found) for found in ids} == {10}
