from __future__ import annotations

import copy
import re
from dataclasses import replace

import pytest
from fakes.remote_serving import http_route, written
from serving_contract import ME, shape

from airflow_mlops.core.errors import EndpointMissingError, ServiceUnavailableError, TrafficConflictError
from airflow_mlops.core.rollout.machine import begin
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.observe import intervention

ROUTE = ("httproutes", "demo")


@pytest.fixture
def serve(tmp_path):
    """A back end with version 1 stable and version 2 as canary at 0 %."""
    with http_route() as backend:
        backend.claim("demo", ME)
        for version in ("1", "2"):
            backend.deploy("demo", version, tmp_path, holder=ME)
            if version == "1":
                backend.promote("demo", "1", holder=ME)
        yield backend


def rules(backend):
    return backend.cluster.objects[ROUTE]["spec"]["rules"]


def replicas(backend, version):
    return backend.cluster.objects["deployments", f"demo-{version}"]["spec"]["replicas"]


def test_only_rules_that_lead_to_the_model_are_split(serve):
    serve.set_traffic("demo", "2", 25, holder=ME)
    health, model = rules(serve)
    assert health["backendRefs"] == [{"name": "health", "port": 8080}]
    assert model["backendRefs"] == [
        {"name": "demo-1", "port": 80, "weight": 75},
        {"name": "demo-2", "port": 80, "weight": 25},
    ]
    assert model["matches"]


def test_all_weights_are_written_in_one_patch(serve):
    before = len(written(serve.cluster, "httproutes"))
    serve.set_traffic("demo", "2", 25, holder=ME)
    (change,) = written(serve.cluster, "httproutes")[before:]
    assert list(change) == ["rules"]
    assert len(change["rules"]) == 2


def test_pods_are_started_for_a_canary_and_stopped_when_it_is_cleaned_up(serve):
    assert (replicas(serve, "1"), replicas(serve, "2"), replicas(serve, "3")) == (1, 1, 0)
    serve.promote("demo", "2", holder=ME)
    assert replicas(serve, "1") == 1
    serve.clean_up("demo", holder=ME)
    assert (replicas(serve, "1"), replicas(serve, "2")) == (0, 1)


def test_promoted_version_that_is_rolled_back_gives_way_to_the_one_before(serve):
    serve.promote("demo", "2", holder=ME)
    assert shape(serve.promote("demo", "1", holder=ME)) == ("1", None, 0)


def test_pods_that_never_come_up_leave_the_weights_as_they_were(serve, tmp_path):
    serve.roll_back("demo", "2", holder=ME)
    serve.clean_up("demo", holder=ME)
    serve.cluster.broken.add("demo-3")
    with pytest.raises(ServiceUnavailableError, match="Deployment demo-3: 0 of 1 pods can serve"):
        serve.deploy("demo", "3", tmp_path, holder=ME)
    assert rules(serve)[1]["backendRefs"] == [{"name": "demo-1", "port": 80, "weight": 100}]
    assert replicas(serve, "3") == 0


def test_version_without_a_deployment_is_named(serve, tmp_path):
    with pytest.raises(EndpointMissingError, match="deployments models/demo-9: not found; create it first"):
        serve.deploy("demo", "9", tmp_path, holder=ME)


def test_weight_changed_by_hand_is_not_overwritten(serve):
    serve.set_traffic("demo", "2", 10, holder=ME)
    changed = [rules(serve)[0], {**rules(serve)[1]}]
    changed[1]["backendRefs"] = [{**ref, "weight": 50} for ref in changed[1]["backendRefs"]]
    serve.cluster.patch(*ROUTE, {"spec": {"rules": changed}})
    with pytest.raises(TrafficConflictError, match=r"\"demo-2\": 50.*nothing was overwritten"):
        serve.set_traffic("demo", "2", 25, holder=ME)
    assert shape(serve.traffic("demo")) == ("1", "2", 50)
    assert shape(serve.roll_back("demo", "2", holder=ME)) == ("1", None, 0)


def test_deleted_route_is_named(serve):
    serve.cluster.delete(*ROUTE)
    with pytest.raises(EndpointMissingError, match="httproutes models/demo: deleted while version 1 served"):
        serve.set_traffic("demo", "2", 25, holder=ME)
    serve.claim("demo", ME)
    with pytest.raises(EndpointMissingError, match="httproutes models/demo: not found; create it first"):
        serve.traffic("demo")


def test_route_made_by_others_is_taken_over_as_it_is(tmp_path):
    with http_route() as backend:
        other = {"backendRefs": [{"name": "demo-1", "port": 9000}]}
        backend.cluster.patch(*ROUTE, {"spec": {"rules": [other]}})
        assert shape(backend.traffic("demo")) == ("1", None, 0)
        backend.claim("demo", ME)
        assert shape(backend.deploy("demo", "2", tmp_path, holder=ME)) == ("1", "2", 0)
        assert [ref["port"] for ref in rules(backend)[0]["backendRefs"]] == [9000, 9000]


def test_split_made_by_others_is_left_alone():
    with http_route() as backend:
        refs = [{"name": f"demo-{version}", "port": 80} for version in (1, 2)]
        backend.cluster.patch(*ROUTE, {"spec": {"rules": [{"backendRefs": refs}]}})
        with pytest.raises(TrafficConflictError, match="a split made by others; end it first"):
            backend.claim("demo", ME)


def test_route_that_leads_elsewhere_is_named():
    with http_route() as backend:
        backend.cluster.patch(*ROUTE, {"spec": {"rules": [{"backendRefs": [{"name": "x", "port": 80}]}]}})
        with pytest.raises(TrafficConflictError, match="no rule of the HTTPRoute leads to its Services"):
            backend.claim("demo", ME)


def test_url_is_the_routes_host(serve):
    assert serve.url("demo") == "http://demo.example.com"


def edit(backend, version="2", **container):
    template = copy.deepcopy(backend.cluster.objects["deployments", f"demo-{version}"]["spec"]["template"])
    template["spec"]["containers"][0].update(container)
    backend.cluster.patch("deployments", f"demo-{version}", {"spec": {"template": template}})


def rising(backend, percent):
    return lambda: backend.set_traffic("demo", "2", percent, holder=ME)


def seen_by_analysis(backend, percent):
    state = begin(RolloutPlan(steps=(30, 50)), "2", "1")
    return intervention(backend.traffic("demo"), replace(state, percent=percent))


def test_canary_whose_pods_others_changed_is_seen_and_gets_no_more_requests(serve):
    serve.set_traffic("demo", "2", 30, holder=ME)
    assert seen_by_analysis(serve, 30) == ""
    edit(serve, image="demo:other")
    said = (
        r"Deployment demo-2 has another pod template \(image demo:other\).*with which version 2 was deployed"
    )
    assert re.search(f"INTERVENED: demo: {said}; nothing is overwritten", seen_by_analysis(serve, 30))
    for call in (rising(serve, 50), lambda: serve.promote("demo", "2", holder=ME)):
        with pytest.raises(TrafficConflictError, match=f"{said}; changed by another writer"):
            call()
    assert shape(serve.traffic("demo")) == ("1", "2", 30)
    edit(serve, image="demo:2")
    assert seen_by_analysis(serve, 30) == ""
    assert shape(rising(serve, 50)()) == ("1", "2", 50)


@pytest.mark.parametrize("less", [10, 0])
def test_canary_whose_pods_others_changed_can_always_get_less(serve, less):
    serve.set_traffic("demo", "2", 30, holder=ME)
    edit(serve, image="demo:other")
    assert shape(rising(serve, less)()) == ("1", "2", less)


@pytest.mark.parametrize("end", ["roll_back", "stop"])
def test_canary_whose_pods_others_changed_can_be_taken_out(serve, end):
    serve.set_traffic("demo", "2", 30, holder=ME)
    edit(serve, image="demo:other")
    if end == "roll_back":
        serve.roll_back("demo", "2", holder=ME)
    else:
        serve.stop("demo", None, now=0.0)
    assert shape(serve.traffic("demo")) == ("1", None, 0)
    assert rules(serve)[1]["backendRefs"] == [{"name": "demo-1", "port": 80, "weight": 100}]


def test_restarted_and_scaled_pods_are_the_same_ones(serve):
    serve.set_traffic("demo", "2", 30, holder=ME)
    restarted = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-12-01T04:00:00Z"}}}
    serve.cluster.patch("deployments", "demo-2", {"spec": {"replicas": 3, "template": restarted}})
    assert seen_by_analysis(serve, 30) == ""
    assert shape(rising(serve, 50)()) == ("1", "2", 50)


def test_canary_that_is_deployed_again_has_the_pods_that_there_are(serve, tmp_path):
    edit(serve, image="demo:fixed")
    serve.deploy("demo", "2", tmp_path, holder=ME)
    assert shape(rising(serve, 30)()) == ("1", "2", 30)


def test_pods_of_a_version_that_serves_alone_may_be_changed(serve):
    serve.promote("demo", "2", holder=ME)
    edit(serve, "1", image="demo:1-fixed")
    edit(serve, "2", image="demo:2-fixed")
    assert shape(serve.promote("demo", "1", holder=ME)) == ("1", None, 0)


def test_backend_of_others_that_gets_requests_is_seen_by_the_analysis(serve):
    serve.set_traffic("demo", "2", 30, holder=ME)
    changed = [rules(serve)[0], {**rules(serve)[1]}]
    weights = {"demo-1": 60, "demo-2": 30, "legacy": 10}
    changed[1]["backendRefs"] = [
        {"name": name, "port": 80, "weight": weight} for name, weight in weights.items()
    ]
    serve.cluster.patch(*ROUTE, {"spec": {"rules": changed}})
    assert "legacy gets requests beside versions that were deployed" in seen_by_analysis(serve, 30)


def test_canary_has_its_share_of_the_champions_pods_before_it_gets_requests(serve):
    serve.cluster.patch("deployments", "demo-1", {"spec": {"replicas": 10}})
    had = []

    def look(verb, plural):
        if plural == "httproutes":
            status = serve.cluster.objects["deployments", "demo-2"]["status"]
            had.append(status["availableReplicas"])

    serve.cluster.before_write = look
    for percent in (5, 25, 100, 50):
        serve.set_traffic("demo", "2", percent, holder=ME)
    assert had == [1, 3, 10, 10]


def test_promoted_version_has_the_champions_replicas(serve):
    serve.cluster.patch("deployments", "demo-1", {"spec": {"replicas": 10}})
    serve.promote("demo", "2", holder=ME)
    serve.clean_up("demo", holder=ME)
    assert (replicas(serve, "1"), replicas(serve, "2")) == (0, 10)


def test_weights_wait_for_pods_that_do_not_come_up(serve):
    serve.set_traffic("demo", "2", 30, holder=ME)
    serve.cluster.broken.add("demo-2")
    serve.cluster.patch("deployments", "demo-1", {"spec": {"replicas": 10}})
    with pytest.raises(ServiceUnavailableError, match="Deployment demo-2: 0 of 5 pods can serve"):
        rising(serve, 50)()
    assert shape(serve.traffic("demo")) == ("1", "2", 30)
    assert shape(rising(serve, 0)()) == ("1", "2", 0)
