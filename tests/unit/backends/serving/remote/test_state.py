from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.backends.serving.kubernetes.kserve_modes import KnativeMode, StandardMode
from airflow_mlops.backends.serving.remote import state as transitions
from airflow_mlops.backends.serving.remote.state import Release, RemoteState

VERSIONS = [Release(version=str(number), source=f"s3://m/{number}") for number in range(4)]
STEPS = st.one_of(
    st.sampled_from(VERSIONS).map(lambda release: lambda state: transitions.deployed(state, release)),
    st.integers(0, 100).map(lambda percent: lambda state: transitions.shifted(state, percent)),
    st.sampled_from(
        [
            transitions.promoting,
            transitions.promoted,
            transitions.draining,
            transitions.rolled_back,
            transitions.restored,
            transitions.cleaned,
        ]
    ).map(lambda step: step),
)


@given(st.lists(STEPS, max_size=12))
def test_no_history_gives_a_version_two_roles_or_a_new_canary_traffic(steps):
    state = RemoteState(endpoint="demo")
    for step in steps:
        before, state = state, step(state)
        names = [release.version for release in state.releases()]
        assert len(names) == len(set(names))
        new = state.version_of(state.canary) != before.version_of(before.canary)
        assert not (new and state.percent)
        for mode in (KnativeMode(), StandardMode()):
            wanted = mode.layout(state)
            assert (wanted is None) == (state.stable is None and state.canary is None)
            if wanted is not None:
                assert mode.sources(wanted) <= {release.source for release in state.releases()}
