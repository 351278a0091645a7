"""What API servers do beside answering: start, lack kinds, deny, delete slowly, have a clock of their own."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace

import pytest
from fakes.deployments import deployment
from fakes.kubernetes_api import ApiServer, CallRefusedError
from fakes.kubernetes_client import kubernetes_connection
from fakes.remote_serving import ISVC, http_route, in_both_modes, kserve, written
from serving_contract import ME, OTHER, an_end, shape

from airflow_mlops.backends.serving.denials import repeating_denied
from airflow_mlops.backends.serving.kubernetes.http_route import HttpRoutePlatform, http_route_serving
from airflow_mlops.backends.serving.kubernetes.skew import SkewMeter
from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.backends.serving.remote.model_store import ModelStore
from airflow_mlops.core.errors import (
    AccessDeniedError,
    EndpointMissingError,
    KindNotServedError,
    LeaseLostError,
    ModelReplacedError,
    ServiceUnavailableError,
)
from airflow_mlops.core.rollout import machine
from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import Phase
from airflow_mlops.hooks.serving import ServingHook
from airflow_mlops.observe import analyse_window

LEASE = ("leases", "mlops.inferenceservices.demo")


def state_of(backend):
    return json.loads(backend.cluster.objects[LEASE]["metadata"]["annotations"]["airflow-mlops/state"])[
        "state"
    ]


@pytest.mark.parametrize("plural", ["inferenceservices", "leases"])
def test_kind_that_is_not_served_is_named_and_erases_nothing(serve, plural):
    backend = serve("Standard")
    backend.set_traffic("demo", "2", 30, holder=ME)
    before = state_of(backend)
    backend.cluster.unserved.add(plural)
    for call in (
        lambda: backend.claim("demo", ME),
        lambda: backend.traffic("demo"),
        lambda: backend.set_traffic("demo", "2", 50, holder=ME),
        lambda: backend.roll_back("demo", "2", holder=ME),
        lambda: backend.stop("demo", an_end(), now=time.time()),
    ):
        with pytest.raises(KindNotServedError, match=rf"{plural}\..* installed and served"):
            call()
    assert state_of(backend) == before
    backend.cluster.unserved.clear()
    assert backend.stop("demo", an_end(), now=time.time()).percent == 30
    assert shape(backend.traffic("demo")) == ("1", None, 0)


def test_404_that_names_the_object_is_one_that_was_deleted(serve):
    backend = serve("Standard")
    backend.cluster.delete(*ISVC)
    with pytest.raises(EndpointMissingError, match="deleted while version 1 served"):
        backend.traffic("demo")


def stepping(backend, seconds=300.0):
    """A rollout's step at 5 %, under a lease."""
    now = time.time()
    lease = backend.take_lease("demo", ME, now=now, seconds=seconds)
    backend.set_traffic("demo", "2", 5, holder=ME, lease=lease)
    begun = machine.begin(RolloutPlan(lease_seconds=seconds), "2", "1")
    return replace(machine.begin_step(begun, 5, Reading(), now=now), lease=lease)


@pytest.mark.parametrize("status", [401, 403, 429, 503])
@pytest.mark.parametrize("calls_before", range(4))
def test_denial_in_a_look_is_a_missing_reading(serve, status, calls_before):
    backend = serve("Standard")
    state = stepping(backend)
    backend.cluster.storm.extend([*[None] * calls_before, status])
    seen = analyse_window(backend, "demo", RolloutPlan(), state, now=state.step_since + 1)
    assert seen.phase is Phase.STEPPING


def test_denial_until_the_lease_has_ended_rolls_back(serve):
    backend = serve("Standard")
    state = stepping(backend, seconds=60.0)
    backend.cluster.storm.extend([403] * 50)
    seen = analyse_window(backend, "demo", RolloutPlan(), state, now=state.step_since + 61)
    assert seen.phase is Phase.ROLLED_BACK
    assert "could not be renewed" in seen.reasons[0]


@in_both_modes
def test_rollback_gets_through_a_server_that_has_just_started(serve, mode):
    backend = serve(mode)
    backend.set_traffic("demo", "2", 25, holder=ME)
    backend.cluster.restart()
    assert shape(backend.roll_back("demo", "2", holder=ME)) == ("1", None, 0)


def test_stop_gets_through_a_server_that_has_just_started(serve):
    backend = serve("Standard")
    backend.set_traffic("demo", "2", 25, holder=ME)
    backend.cluster.restart()
    assert backend.stop("demo", an_end(), now=time.time()).percent == 25
    assert shape(backend.traffic("demo")) == ("1", None, 0)


def test_claim_that_is_denied_is_told_at_once_in_a_rollouts_first_task_only(serve):
    backend = serve("Standard")
    backend.cluster.storm.append(403)
    with pytest.raises(AccessDeniedError, match="get leases"):
        backend.claim("demo", ME)
    backend.cluster.storm.extend([403] * 3)
    with repeating_denied():
        backend.claim("demo", ME)
    backend.cluster.storm.extend([403] * 9)
    with repeating_denied(), pytest.raises(ServiceUnavailableError, match=r"403 .* after 6 attempts"):
        backend.claim("demo", ME)


@in_both_modes
def test_service_that_is_being_deleted_is_waited_out_and_made_again(serve, mode):
    backend = serve(mode)
    backend.cluster.objects[ISVC]["metadata"]["finalizers"] = ["inferenceservice.finalizers"]
    backend.cluster.delete(*ISVC)
    with pytest.raises(EndpointMissingError, match="deleted while version 1 served"):
        backend.traffic("demo")
    backend.claim("demo", ME)
    assert shape(backend.traffic("demo")) == (None, None, 0)
    reads, found = [], backend.cluster.get

    def getting(plural, name):
        if (plural, name) == ISVC:
            reads.append(name)
            if len(reads) == 12:
                backend.cluster.finalize(*ISVC)
        return found(plural, name)

    backend.cluster.get = getting
    assert shape(backend.deploy("demo", "2", None, holder=ME)) == (None, "2", 100)
    assert len(reads) > 12
    assert "deletionTimestamp" not in backend.cluster.objects[ISVC]["metadata"]


def test_service_that_is_never_gone_is_named(serve):
    backend = serve("Standard")
    backend.cluster.objects[ISVC]["metadata"]["finalizers"] = ["stuck"]
    backend.cluster.delete(*ISVC)
    backend.claim("demo", ME)
    with pytest.raises(ServiceUnavailableError, match="the InferenceService is being deleted"):
        backend.deploy("demo", "2", None, holder=ME)


def test_deployment_that_is_being_deleted_is_no_server():
    with http_route() as backend:
        backend.claim("demo", ME)
        backend.cluster.objects["deployments", "demo-1"]["metadata"]["finalizers"] = ["foreground"]
        backend.cluster.delete("deployments", "demo-1")
        with pytest.raises(ServiceUnavailableError, match=r"Deployment demo-1.*being deleted"):
            backend.deploy("demo", "1", None, holder=ME)


def test_first_version_of_a_knative_service_is_rolled_back_by_deleting_it():
    with kserve("Knative") as backend:
        backend.claim("demo", ME)
        backend.deploy("demo", "1", None, holder=ME)
        assert shape(backend.roll_back("demo", "1", holder=ME)) == (None, None, 0)
        assert ISVC not in backend.cluster.objects
        assert shape(backend.deploy("demo", "2", None, holder=ME)) == (None, "2", 100)


@in_both_modes
def test_read_that_another_writer_tears_apart_is_read_again(serve, mode):
    backend = serve(mode)
    backend.set_traffic("demo", "2", 10, holder=ME)
    other, find, torn = RemoteServing(backend.platform), backend.platform.objects.find, []

    def tearing(resource, name):
        found = find(resource, name)
        if resource.plural == "leases" and not torn:
            torn.append(True)
            other.set_traffic("demo", "2", 25, holder=ME)
        return found

    backend.platform.objects.find = tearing
    assert shape(backend.set_traffic("demo", "2", 50, holder=ME)) == ("1", "2", 50)
    torn.clear()
    assert shape(backend.traffic("demo")) == ("1", "2", 25)


def test_two_back_ends_of_one_name_in_one_namespace_share_no_lease():
    with http_route() as routes, kserve("Standard") as services:
        services.platform.objects.client = routes.platform.objects.client
        services.cluster = routes.cluster
        routes.claim("demo", ME)
        services.claim("demo", OTHER)
        assert (routes.traffic("demo").holder, services.traffic("demo").holder) == (ME, OTHER)
        assert {name for plural, name in routes.cluster.objects if plural == "leases"} == {
            "mlops.httproutes.demo",
            "mlops.inferenceservices.demo",
        }


def test_lease_that_an_earlier_version_named_is_used_on_by_its_own_kind_only(serve):
    backend = serve("Standard")
    lease = backend.cluster.objects.pop(LEASE)
    lease["metadata"]["name"] = "mlops-demo"
    backend.cluster.objects["leases", "mlops-demo"] = lease
    assert shape(backend.set_traffic("demo", "2", 10, holder=ME)) == ("1", "2", 10)
    assert LEASE not in backend.cluster.objects
    objects = backend.platform.objects
    backend.cluster.create("deployments", deployment("demo-1"))
    rules = [{"backendRefs": []}]
    route = {"metadata": {"name": "demo"}, "spec": {"parentRefs": [{"name": "gateway"}], "rules": rules}}
    backend.cluster.create("httproutes", route)
    routes = http_route_serving(HttpRoutePlatform(objects, ModelStore("{endpoint}-{version}")))
    routes.claim("demo", OTHER)
    assert backend.traffic("demo").holder == ME


def test_storm_that_outlasts_the_lease_raises_no_traffic(serve):
    backend = serve("Standard")
    clock = backend.platform.retrier.clock
    backend.wall = lambda: 1e9 + clock.now()
    lease = backend.take_lease("demo", ME, now=backend.wall(), seconds=10)
    backend.set_traffic("demo", "2", 5, holder=ME, lease=lease)
    backend.cluster.storm.extend([429] * 5)
    with pytest.raises(LeaseLostError, match="ran out"):
        backend.set_traffic("demo", "2", 50, holder=ME, lease=lease)
    assert shape(backend.traffic("demo")) == ("1", "2", 5)
    assert shape(backend.set_traffic("demo", "2", 1, holder=ME, lease=lease)) == ("1", "2", 1)


def test_one_read_at_429_is_six_calls_in_production_wiring(monkeypatch):
    extra = {"backend": "kserve", "models": "s3://m/{endpoint}/{version}", "mode": "Standard"}
    with ApiServer() as server:
        serving = {"conn_type": "mlops_serving", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", kubernetes_connection(server.url))
        monkeypatch.setenv("AIRFLOW_CONN_MLOPS_SERVING", json.dumps(serving))
        backend, pauses = ServingHook().backend(), []
        backend.platform.retrier.clock.sleep = pauses.append
        server.cluster.storm = [429] * 99
        with pytest.raises(ServiceUnavailableError, match=r"429 .* after 6 attempts"):
            backend.traffic("demo")
        assert len(server.cluster.calls) == 6
        assert pauses == [3, 3, 3, 4, 8]
        backend.platform.objects.client.api_client.close()


@pytest.mark.parametrize(("ahead", "said"), [(-300.0, "300 s ahead of"), (300.0, "300 s behind")])
def test_clock_that_differs_from_the_servers_is_told_once(serve, caplog, ahead, said):
    backend = serve("Standard")
    caplog.clear()
    backend.cluster.ahead = ahead
    with caplog.at_level(logging.WARNING):
        backend.traffic("demo")
        backend.traffic("demo")
    assert abs(backend.platform.objects.skew.seconds + ahead) < 3
    assert len([record for record in caplog.records if "clock is" in record.message]) == 1
    assert said[-8:] in caplog.text


def test_date_that_cannot_be_read_measures_nothing():
    meter = SkewMeter()
    for date in (None, "", "yesterday"):
        meter.see(date)
    assert meter.seconds is None


def test_reaper_ahead_of_everybody_leaves_the_rollout_its_rollback(serve):
    backend = serve("Standard")
    now = time.time()
    lease = backend.take_lease("demo", ME, now=now, seconds=300)
    backend.set_traffic("demo", "2", 30, holder=ME, lease=lease)
    assert backend.stop_unwatched("demo", now=now + 306).holder == ME
    with pytest.raises(LeaseLostError, match=r"was to last \d+ s more: compare the clocks"):
        backend.keep_lease("demo", lease, now=now + 1, seconds=300)
    with pytest.raises(LeaseLostError, match="airflow-mlops reap"):
        backend.set_traffic("demo", "2", 50, holder=ME, lease=lease)
    backend.claim("demo", ME, now=now + 1)
    again = backend.take_lease("demo", ME, now=now + 1, seconds=300)
    assert shape(backend.roll_back("demo", "2", holder=ME, lease=again)) == ("1", None, 0)


def a_model(folder, number):
    folder.mkdir()
    (folder / "MLmodel").write_text(f"model_uuid: {number}\n")
    return folder


def test_version_that_was_made_again_is_refused_while_the_old_one_serves(tmp_path):
    old, new = a_model(tmp_path / "old", 1), a_model(tmp_path / "new", 2)
    with kserve("Standard") as backend:
        backend.claim("demo", ME)
        backend.deploy("demo", "1", old, holder=ME)
        backend.promote("demo", "1", holder=ME)
        before = len(written(backend.cluster))
        with pytest.raises(ModelReplacedError, match="version 1 is another model"):
            backend.deploy("demo", "1", new, holder=ME)
        assert len(written(backend.cluster)) == before
        assert shape(backend.deploy("demo", "1", old, holder=ME)) == ("1", None, 0)
        assert shape(backend.deploy("demo", "2", new, holder=ME)) == ("1", "2", 0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"selector": None}, "spec.selector: Required"),
        ({"replicas": -1}, "spec.replicas"),
        ({"template": {"metadata": {"labels": {"app": "x"}}}}, "does not match template"),
        ({"template": {"spec": {"containers": []}}}, "containers: Required"),
        (
            {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}}},
            "field is immutable",
        ),
    ],
)
def test_deployment_that_an_api_server_refuses_is_refused_by_the_fake(change, why):
    with ApiServer() as server:
        server.cluster.create("deployments", deployment("d"))
        with pytest.raises(CallRefusedError, match=why):
            server.cluster.patch("deployments", "d", {"spec": change})
