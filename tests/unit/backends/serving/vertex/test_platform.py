from __future__ import annotations

import pytest
from fakes.remote_serving import ENDPOINT, vertex
from serving_contract import ME, shape

from airflow_mlops.backends.serving.remote.retry import RefusedError
from airflow_mlops.backends.serving.vertex.labels import deployed_id
from airflow_mlops.core.errors import (
    EndpointBusyError,
    EndpointMissingError,
    InvalidConfigError,
    ServiceUnavailableError,
    TrafficConflictError,
)

ONE, TWO = deployed_id("demo", "1"), deployed_id("demo", "2")


@pytest.fixture
def serve(tmp_path):
    """A back end with version 1 stable."""
    with vertex() as backend:
        backend.claim("demo", ME)
        backend.deploy("demo", "1", tmp_path, holder=ME)
        backend.promote("demo", "1", holder=ME)
        yield backend


def found(backend):
    return backend.fake.endpoints[ENDPOINT]


def test_machine_is_passed_on_and_new_model_gets_no_traffic(serve, tmp_path):
    serve.deploy("demo", "2", tmp_path, holder=ME)
    model = serve.fake.deploys[-1]
    assert model["dedicated_resources"]["machine_spec"] == {"machine_type": "n1-standard-2"}
    assert model["model"] == "projects/p/locations/europe-west4/models/demo@2"
    assert found(serve)["traffic_split"] == {ONE: 100}


@pytest.mark.parametrize(("part", "step"), [("fake", "operation"), ("platform", "_mark")])
def test_retry_deploys_once_whether_the_operation_was_written_down_or_not(
    serve, tmp_path, monkeypatch, part, step
):
    serve.fake.polls = 20
    with monkeypatch.context() as patch:
        patch.setattr(getattr(serve, part), step, dies)
        with pytest.raises(KeyboardInterrupt):
            serve.deploy("demo", "2", tmp_path, holder=ME)
    assert shape(serve.deploy("demo", "2", tmp_path, holder=ME)) == ("1", "2", 0)
    assert [model["id"] for model in serve.fake.deploys] == [ONE, TWO]


def dies(*_, **__):
    raise KeyboardInterrupt


def test_failed_deployment_is_named_and_tried_anew_by_the_next_call(serve, tmp_path):
    serve.fake.broken.add("demo@2")
    with pytest.raises(ServiceUnavailableError, match="deploy version 2 on demo: model cannot be loaded"):
        serve.deploy("demo", "2", tmp_path, holder=ME)
    assert shape(serve.traffic("demo")) == ("1", None, 0)
    serve.fake.broken.clear()
    assert shape(serve.deploy("demo", "2", tmp_path, holder=ME)) == ("1", "2", 0)


def test_version_that_was_cleaned_up_can_be_deployed_again(serve, tmp_path):
    serve.deploy("demo", "2", tmp_path, holder=ME)
    serve.roll_back("demo", "2", holder=ME)
    serve.clean_up("demo", holder=ME)
    assert [model["id"] for model in found(serve)["deployed_models"]] == [ONE]
    assert shape(serve.deploy("demo", "2", tmp_path, holder=ME)) == ("1", "2", 0)
    assert len(serve.fake.deploys) == 3


def test_split_changed_by_hand_is_not_overwritten(serve, tmp_path):
    serve.deploy("demo", "2", tmp_path, holder=ME)
    serve.set_traffic("demo", "2", 10, holder=ME)
    found(serve).update(traffic_split={ONE: 10, TWO: 90}, etag="by hand")
    with pytest.raises(TrafficConflictError, match="changed by another writer, nothing was overwritten"):
        serve.set_traffic("demo", "2", 25, holder=ME)
    assert found(serve)["etag"] == "by hand"
    assert shape(serve.traffic("demo")) == ("1", "2", 90)
    assert shape(serve.roll_back("demo", "2", holder=ME)) == ("1", None, 0)


def test_model_of_others_that_gets_requests_is_told_beside_the_canarys_share(serve, tmp_path):
    serve.deploy("demo", "2", tmp_path, holder=ME)
    assert serve.set_traffic("demo", "2", 10, holder=ME).changed == ""
    found(serve).update(traffic_split={ONE: 60, TWO: 10, "77": 30}, etag="by hand")
    seen = serve.traffic("demo")
    assert (shape(seen), seen.changed) == (
        ("1", "2", 10),
        "77 gets requests beside versions that were deployed",
    )


def test_write_in_between_is_read_again_and_other_labels_stay(serve, tmp_path):
    serve.deploy("demo", "2", tmp_path, holder=ME)
    left = [2]

    def relabel():
        if left[0]:
            left[0] -= 1
            found(serve)["labels"]["by"] = f"another-{left[0]}"
            serve.fake.touch(found(serve))

    serve.fake.before_write = relabel
    assert shape(serve.set_traffic("demo", "2", 5, holder=ME)) == ("1", "2", 5)
    assert left == [0]
    assert {"team": "flights", "by": "another-0"}.items() <= found(serve)["labels"].items()


def test_refusal_that_is_no_conflict_is_not_taken_for_one(serve, monkeypatch):
    def refuse(*_, **__):
        raise RefusedError(400, "labels are not allowed here")

    monkeypatch.setattr(serve.fake, "update", refuse)
    with pytest.raises(InvalidConfigError, match="refused with 400: labels are not allowed here"):
        serve.release("demo", ME)


def test_second_claim_is_refused_by_the_holders_name(serve):
    with pytest.raises(EndpointBusyError, match="held by rollout/run-1"):
        serve.claim("demo", "rollout/run-2")


@pytest.mark.parametrize("storm", [[429], [503, 500, 429]])
def test_storm_that_passes_is_waited_out(serve, tmp_path, storm):
    serve.fake.storm.extend(storm)
    assert shape(serve.deploy("demo", "2", tmp_path, holder=ME)) == ("1", "2", 0)
    serve.fake.storm.extend([503] * 50)
    with pytest.raises(ServiceUnavailableError, match=r"503 .storm. after 6 attempts"):
        serve.traffic("demo")


def test_deleted_endpoint_and_undeployed_model_are_named(serve, tmp_path):
    found(serve).update(deployed_models=[], traffic_split={})
    with pytest.raises(EndpointMissingError, match="version 1 was undeployed while it served"):
        serve.traffic("demo")
    serve.claim("demo", ME)
    assert shape(serve.traffic("demo")) == (None, None, 0)
    assert shape(serve.deploy("demo", "1", tmp_path, holder=ME)) == (None, "1", 100)
    serve.fake.endpoints.clear()
    with pytest.raises(EndpointMissingError, match="endpoint not found"):
        serve.set_traffic("demo", "1", 5, holder=ME)


def test_endpoint_set_up_by_others_is_taken_over_as_it_is(tmp_path):
    with vertex() as backend:
        model = {"id": "77", "display_name": "x", "model": "projects/p/locations/europe-west4/models/demo"}
        found(backend).update(deployed_models=[{**model, "model_version_id": "4"}], traffic_split={"77": 100})
        assert shape(backend.traffic("demo")) == ("4", None, 0)
        backend.claim("demo", ME)
        assert shape(backend.deploy("demo", "5", tmp_path, holder=ME)) == ("4", "5", 0)
        found(backend)["labels"].clear()
        found(backend)["traffic_split"] = {"77": 50, deployed_id("demo", "5"): 50}
        with pytest.raises(TrafficConflictError, match="made by others; end it first"):
            backend.claim("demo", ME)


def test_endpoint_without_a_resource_name_is_refused():
    with vertex() as backend, pytest.raises(InvalidConfigError, match="endpoint 'other': ''; allowed: proj"):
        backend.traffic("other")
