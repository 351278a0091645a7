from __future__ import annotations

import copy
import re
from dataclasses import replace

import pytest
from fakes import crd_schemas
from fakes.remote_serving import ISVC, MODE_ANNOTATION, PREDICTOR, in_both_modes, kserve, uri_of, written
from serving_contract import ME, shape

from airflow_mlops.backends.serving.kubernetes.kserve_modes import rolled_out
from airflow_mlops.core.errors import (
    EndpointMissingError,
    InvalidConfigError,
    ServiceUnavailableError,
    TrafficConflictError,
)
from airflow_mlops.core.rollout.machine import begin
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.observe import intervention

PODS = ("replicas", "updatedReplicas", "availableReplicas")


def test_model_and_percent_are_written_together_when_a_canary_is_deployed(serve):
    backend = serve("Knative")
    change = written(backend.cluster)[-1]["predictor"]
    assert change == {"model": {"storageUri": "s3://models/demo/2"}, "canaryTrafficPercent": 0}
    for percent in (5, 50):
        backend.set_traffic("demo", "2", percent, holder=ME)
    assert all("canaryTrafficPercent" in spec["predictor"] for spec in written(backend.cluster)[1:])


def test_no_revision_is_made_but_for_a_deployment_or_a_restored_model(serve, tmp_path):
    backend = serve("Knative")
    for percent in (5, 50, 100):
        backend.set_traffic("demo", "2", percent, holder=ME)
    backend.release("demo", ME)
    backend.claim("demo", ME)
    assert len(backend.cluster.memory[ISVC]["revisions"]) == 2
    backend.roll_back("demo", "2", holder=ME)
    for _ in range(3):
        backend.clean_up("demo", holder=ME)
    assert len(backend.cluster.memory[ISVC]["revisions"]) == 3


@pytest.mark.parametrize("percent", [0, 25, 100])
def test_bad_canary_gets_nothing_once_it_is_rolled_back_whatever_its_share_was(serve, percent):
    backend = serve("Knative")
    backend.set_traffic("demo", "2", percent, holder=ME)
    assert shape(backend.roll_back("demo", "2", holder=ME)) == ("1", None, 0)
    bad, moment = "demo-predictor-00002", len(backend.cluster.history)
    for _ in range(5):
        backend.clean_up("demo", holder=ME)
    shares = [
        sum(t["percent"] for t in status["components"]["predictor"]["traffic"] if t["revisionName"] == bad)
        for status in backend.cluster.history[moment:]
    ]
    assert shares
    assert set(shares) == {0}
    assert uri_of(backend) == "s3://models/demo/1"
    assert "canaryTrafficPercent" not in backend.cluster.objects[ISVC]["spec"]["predictor"]


def test_next_canary_starts_at_zero_after_a_rollback(serve, tmp_path):
    backend = serve("Knative")
    backend.set_traffic("demo", "2", 25, holder=ME)
    backend.roll_back("demo", "2", holder=ME)
    assert shape(backend.deploy("demo", "3", tmp_path, holder=ME)) == ("1", "3", 0)
    assert shape(backend.set_traffic("demo", "3", 10, holder=ME)) == ("1", "3", 10)


def test_canary_at_zero_percent_has_a_pod_in_standard_mode(serve):
    backend = serve("Standard")
    (canary,) = backend.cluster.objects[ISVC]["spec"]["canary"]
    assert canary["predictor"]["minReplicas"] == 1
    assert canary["trafficPercent"] == 0
    backend.set_traffic("demo", "2", 75, holder=ME)
    assert backend.cluster.objects[ISVC]["spec"]["canary"][0]["predictor"]["minReplicas"] == 2


def test_canary_stays_until_the_stable_pods_have_its_model_when_promoted(serve):
    backend = serve("Standard")
    backend.set_traffic("demo", "2", 50, holder=ME)
    before = len(written(backend.cluster))
    backend.promote("demo", "2", holder=ME)
    first, second = written(backend.cluster)[before:]
    assert first["predictor"]["model"]["storageUri"] == "s3://models/demo/2"
    assert first["canary"][0]["trafficPercent"] == 50
    assert second["canary"] is None
    status = backend.cluster.objects["deployments", "demo-predictor"]["status"]
    assert status["updatedReplicas"] == 2


@in_both_modes
def test_weight_changed_by_hand_is_not_overwritten(serve, mode):
    backend = serve(mode)
    backend.set_traffic("demo", "2", 10, holder=ME)
    spec = backend.cluster.objects[ISVC]["spec"]
    if mode == "Knative":
        backend.cluster.patch(*ISVC, {"spec": {"predictor": {"canaryTrafficPercent": 90}}})
    else:
        backend.cluster.patch(*ISVC, {"spec": {"canary": [{**spec["canary"][0], "trafficPercent": 90}]}})
    before = len(written(backend.cluster))
    for call in (backend.promote, lambda *a, **k: backend.set_traffic("demo", "2", 25, holder=ME)):
        with pytest.raises(
            TrafficConflictError, match=r"90.*changed by another writer, nothing was overwritten"
        ):
            call("demo", "2", holder=ME)
    assert len(written(backend.cluster)) == before
    assert shape(backend.roll_back("demo", "2", holder=ME)) == ("1", None, 0)


@in_both_modes
def test_model_set_by_hand_is_not_even_rolled_back_over(serve, mode):
    backend = serve(mode)
    backend.cluster.patch(*ISVC, {"spec": {"predictor": {"model": {"storageUri": "s3://models/demo/9"}}}})
    with pytest.raises(TrafficConflictError, match="demo/9"):
        backend.roll_back("demo", "2", holder=ME)
    assert uri_of(backend) == "s3://models/demo/9"


def at_thirty_percent(backend):
    backend.set_traffic("demo", "2", 30, holder=ME)
    return replace(begin(RolloutPlan(steps=(30, 50)), "2", "1"), percent=30)


@pytest.mark.parametrize(
    ("mode", "part"), [("Knative", "predictor"), ("Standard", "canary"), ("Standard", "predictor")]
)
def test_model_set_by_hand_is_seen_by_the_analysis(serve, mode, part):
    backend = serve(mode)
    state = at_thirty_percent(backend)
    assert intervention(backend.traffic("demo"), state) == ""
    spec = copy.deepcopy(backend.cluster.objects[ISVC]["spec"])
    predictor = spec["canary"][0]["predictor"] if part == "canary" else spec["predictor"]
    predictor["model"]["storageUri"] = "s3://models/demo/9"
    backend.cluster.patch(*ISVC, {"spec": spec})
    said = intervention(backend.traffic("demo"), state)
    assert re.match(
        r"INTERVENED: demo: .*demo/9.* is there, last written was .*; nothing is overwritten", said
    )


def test_canary_that_others_removed_is_seen_by_the_analysis(serve):
    backend = serve("Standard")
    state = at_thirty_percent(backend)
    backend.cluster.patch(*ISVC, {"spec": {"canary": None}})
    for _ in range(3):
        backend.cluster.get(*ISVC)
    assert '"canary": null} is there' in intervention(backend.traffic("demo"), state)


def test_first_version_that_is_rolled_back_leaves_nothing(tmp_path):
    with kserve("Standard") as backend:
        backend.claim("demo", ME)
        assert shape(backend.deploy("demo", "1", tmp_path, holder=ME)) == (None, "1", 100)
        assert shape(backend.roll_back("demo", "1", holder=ME)) == (None, None, 0)
        assert ISVC not in backend.cluster.objects


def make(backend, mode, uri="s3://models/demo/7", **spec):
    body = {
        "metadata": {"name": "demo", **({"annotations": {MODE_ANNOTATION: mode}} if mode else {})},
        "spec": {"predictor": {**PREDICTOR, "model": {**PREDICTOR["model"], "storageUri": uri}, **spec}},
    }
    backend.cluster.create("inferenceservices", body)
    for _ in range(4):
        backend.cluster.get(*ISVC)


@pytest.mark.parametrize(
    ("mode", "uri", "version"), [("Knative", "s3://models/demo/7", "7"), ("Standard", "gs://x/y", "gs://x/y")]
)
def test_service_made_by_others_is_taken_over_as_it_is(mode, uri, version, tmp_path):
    with kserve("Standard") as backend:
        make(backend, mode, uri)
        assert shape(backend.traffic("demo")) == (version, None, 0)
        backend.claim("demo", ME)
        assert shape(backend.deploy("demo", "8", tmp_path, holder=ME)) == (version, "8", 0)
        assert ("canary" in backend.cluster.objects[ISVC]["spec"]) == (mode == "Standard")


def test_canary_made_by_others_is_left_alone(tmp_path):
    with kserve("Knative") as backend:
        make(backend, "Knative", canaryTrafficPercent=150)  # the schema allows it
        with pytest.raises(TrafficConflictError, match="150"):
            backend.claim("demo", ME)


def test_raw_deployment_without_the_standard_annotation_is_refused_before_anything_is_written(tmp_path):
    with kserve("Standard") as backend:
        make(backend, "RawDeployment")
        backend.claim("demo", ME)
        with pytest.raises(
            InvalidConfigError, match=r"only with annotation .*: Standard; it is 'RawDeployment'"
        ):
            backend.deploy("demo", "8", tmp_path, holder=ME)
        assert shape(backend.traffic("demo")) == ("7", None, 0)


def test_cluster_that_does_not_know_canaries_is_named(serve, monkeypatch, tmp_path):
    backend = serve("Standard", canary=False)
    pruned = crd_schemas.pruned

    def older(plural, body):
        kept = pruned(plural, body)
        kept["spec"].pop("canary", None)
        return kept

    monkeypatch.setattr(crd_schemas, "pruned", older)
    with pytest.raises(InvalidConfigError, match=r"dropped the canary; .* KServe 0.20"):
        backend.deploy("demo", "2", tmp_path, holder=ME)


def test_impossible_names_are_refused(tmp_path):
    with (
        kserve("Knative") as backend,
        pytest.raises(InvalidConfigError, match="'Demo_1', allowed: lower-case"),
    ):
        backend.claim("Demo_1", ME)
    with pytest.raises(InvalidConfigError, match="mode 'Raw'; allowed: Knative"), kserve("Raw"):
        pass


def test_url_is_the_one_kserve_reports(serve):
    assert serve("Knative").url("demo") == "http://demo.example.com"


@pytest.mark.parametrize(
    ("model", "status", "why"),
    [
        ("s3://models/demo/1", {"observedGeneration": 1}, "0 of 2 pods are new, 0 can serve"),
        ("s3://models/demo/1", {}, "the Deployment's last change is not observed yet"),
        ("s3://models/demo/10", {"observedGeneration": 1}, "the Deployment has another model"),
        ("s3://models/demo/1", {"observedGeneration": 1, **dict.fromkeys(PODS, 2)}, ""),
        ("s3://models/demo/1", {"observedGeneration": 1, **dict.fromkeys(PODS, 3)}, "3 of 2 pods are new"),
    ],
)
def test_deployment_serves_a_model_when_all_its_pods_do(model, status, why):
    template = {"metadata": {"annotations": {"source": model}}}
    body = {"metadata": {"generation": 1}, "spec": {"replicas": 2, "template": template}, "status": status}
    assert rolled_out(body, "s3://models/demo/1").startswith(why)
    assert bool(rolled_out(body, "s3://models/demo/1")) == bool(why)
    assert rolled_out(None, "s3://models/demo/1") == "there is no Deployment yet"


def test_version_that_is_not_up_is_not_promoted(serve):
    with pytest.raises(TrafficConflictError, match="version 5 is not deployed; deployed: 1, 2"):
        serve("Knative").promote("demo", "5", holder=ME)


def test_back_end_without_a_source_of_counts_names_what_to_do(serve):
    backend = serve("Knative")
    backend.counts = None
    with pytest.raises(InvalidConfigError, match=r"counts no requests; say where .*prometheus"):
        backend.counters("demo")


def test_inference_service_that_does_not_exist_is_named(tmp_path):
    with kserve("Knative", predictor=None) as backend:
        backend.claim("demo", ME)
        with pytest.raises(EndpointMissingError, match="models/demo: not found; create it, or give"):
            backend.deploy("demo", "1", tmp_path, holder=ME)
        with pytest.raises(ServiceUnavailableError, match="has no URL yet in namespace models"):
            backend.url("demo")


def test_service_of_another_kind_is_left_alone(tmp_path):
    with kserve("Knative") as backend:
        old_style = {"predictor": {"sklearn": {"storageUri": "s3://models/demo/1"}}}
        backend.cluster.create("inferenceservices", {"metadata": {"name": "demo"}, "spec": old_style})
        with pytest.raises(InvalidConfigError, match=r"no spec.predictor.model.storageUri"):
            backend.claim("demo", ME)
    with kserve("Knative") as backend:
        spec = {"predictor": {"model": {**PREDICTOR["model"], "storageUri": "s3://models/demo/1"}}}
        meta = {"name": "demo", "annotations": {MODE_ANNOTATION: "ModelMesh"}}
        backend.cluster.create("inferenceservices", {"metadata": meta, "spec": spec})
        with pytest.raises(InvalidConfigError, match=r"'ModelMesh'; allowed: Knative"):
            backend.claim("demo", ME)
