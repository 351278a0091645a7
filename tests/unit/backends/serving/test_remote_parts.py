from __future__ import annotations

import pytest
from fakes.clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.backends.serving.kubernetes.knative import KnativeMode
from airflow_mlops.backends.serving.kubernetes.standard import StandardMode
from airflow_mlops.backends.serving.remote import state as move
from airflow_mlops.backends.serving.remote.model_store import ModelStore
from airflow_mlops.backends.serving.remote.retry import (
    NO_ANSWER,
    Patience,
    RefusedError,
    SystemClock,
    Waiting,
)
from airflow_mlops.backends.serving.remote.state import Release, RemoteState
from airflow_mlops.core.errors import InvalidConfigError, InvalidDataError, ServiceUnavailableError


def test_pauses_grow_and_stop_growing():
    patience = Patience(first_seconds=1, longest_seconds=10)
    assert [patience.pause(attempt) for attempt in range(6)] == [1, 2, 4, 8, 10, 10]
    assert patience.pause(0, asked=7) == 7
    assert patience.pause(0, asked=3600) == 10


def test_no_answer_is_asked_again_and_a_refusal_is_not():
    waiting, calls = Waiting(FakeClock(), Patience(attempts=3)), []

    def call(status):
        calls.append(status)
        raise RefusedError(status, "down")

    with pytest.raises(ServiceUnavailableError, match=r"read: no answer \(down\) after 3 attempts"):
        waiting.insist(lambda: call(NO_ANSWER), "read")
    assert len(calls) == 3
    assert waiting.clock.slept == [0.5, 1.0]
    with pytest.raises(RefusedError):
        waiting.insist(lambda: call(404), "read")
    assert len(calls) == 4


def test_storm_is_given_up_when_its_time_is_over():
    waiting, calls = Waiting(FakeClock(), Patience(attempts=99, longest_seconds=30, storm_seconds=70)), []

    def slow():
        calls.append(waiting.clock.now())
        waiting.clock.sleep(20)
        raise RefusedError(429, "slow down", retry_after=30)

    with pytest.raises(ServiceUnavailableError, match=r"read: 429 \(slow down\) after 2 attempts"):
        waiting.insist(slow, "read")
    assert calls == [0, 50]


def test_system_clock_goes_on():
    clock = SystemClock()
    before = clock.now()
    clock.sleep(0)
    assert clock.now() >= before


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "data" / "model.bin").write_bytes(b"weights")
    return folder


def test_model_is_copied_once_and_its_last_file_says_that_all_are_there(model, tmp_path):
    store = ModelStore(f"file://{tmp_path}/store/{{endpoint}}/{{version}}", upload=True)
    target = tmp_path / "store" / "demo" / "1"
    target.mkdir(parents=True)
    (target / "data").mkdir()
    (target / "data" / "model.bin").write_bytes(b"half")  # of an upload that died
    assert store.publish("demo", "1", model) == Release(version="1", source=f"file://{target}")
    assert (target / "data" / "model.bin").read_bytes() == b"weights"
    (model / "data" / "model.bin").write_bytes(b"other")
    store.publish("demo", "1", model)
    assert (target / "data" / "model.bin").read_bytes() == b"weights"


def test_folder_without_a_model_is_not_copied(tmp_path):
    store = ModelStore(f"file://{tmp_path}/store/{{endpoint}}/{{version}}", upload=True)
    with pytest.raises(InvalidDataError, match="no MLflow model"):
        store.publish("demo", "1", tmp_path)
    assert not (tmp_path / "store").exists()


def test_versions_are_found_in_locations_and_others_are_not():
    store = ModelStore("s3://models/{endpoint}/{version}/model")
    assert store.version_at("demo", "s3://models/demo/12/model") == "12"
    assert store.version_at("other", "s3://models/demo/12/model") == "s3://models/demo/12/model"


@pytest.mark.parametrize(
    "template", ["s3://models", "s3://{model}/{version}", "s3://{version", "{0}/{version}"]
)
def test_location_that_cannot_be_filled_in_is_refused(template):
    with pytest.raises(InvalidConfigError, match="allowed: a text with"):
        ModelStore(template)


@pytest.mark.parametrize("version", ["", "../1", "a/b", "x" * 65])
def test_version_that_cannot_be_part_of_a_location_is_refused(version):
    with pytest.raises(InvalidConfigError, match="are allowed"):
        ModelStore("s3://models/{version}").release("demo", version)


VERSIONS = [Release(version=str(number), source=f"s3://m/{number}") for number in range(4)]
STEPS = st.one_of(
    st.sampled_from(VERSIONS).map(lambda release: lambda state: move.deployed(state, release)),
    st.integers(0, 100).map(lambda percent: lambda state: move.shifted(state, percent)),
    st.sampled_from(
        [move.promoting, move.promoted, move.draining, move.rolled_back, move.restored, move.cleaned]
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
