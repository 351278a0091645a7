"""Remote serving back ends over fakes of their platforms."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from fakes.clock import FakeClock
from fakes.deployments import deployment
from fakes.kubernetes_api import ApiServer
from fakes.kubernetes_client import objects_client
from fakes.serving_faults import ClusterFaults, VertexFaults
from fakes.vertex import FakeEndpoints
from fakes.vertex_grpc import google_client

from airflow_mlops.backends.serving.kubernetes.http_route import HttpRoutePlatform, http_route_serving
from airflow_mlops.backends.serving.kubernetes.kserve import KservePlatform, kserve_serving
from airflow_mlops.backends.serving.kubernetes.objects import KubernetesObjects
from airflow_mlops.backends.serving.protocol import Count, Counters
from airflow_mlops.backends.serving.remote.model_store import ModelStore
from airflow_mlops.backends.serving.remote.retry import Retrier, RetryPolicy
from airflow_mlops.backends.serving.vertex.client import GoogleEndpoints
from airflow_mlops.backends.serving.vertex.platform import VertexPlatform, vertex_serving
from airflow_mlops.backends.serving.vertex.state import VertexStateStore

ENDPOINT = "projects/p/locations/europe-west4/endpoints/7"
PREDICTOR = {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}, "minReplicas": 2}
RETRY_POLICY = RetryPolicy(ready_seconds=60)
ISVC = ("inferenceservices", "demo")
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"

in_both_modes = pytest.mark.parametrize("mode", ["Knative", "Standard"])


def no_counts(endpoint, releases):
    return Counters(endpoint=endpoint, generation="1", versions={r.version: Count() for r in releases})


@contextmanager
def kubernetes():
    with ApiServer() as server:
        client = objects_client(server.url)
        server.objects = KubernetesObjects(client, "models", Retrier(FakeClock(), RETRY_POLICY))
        yield server
        client.api_client.close()


@contextmanager
def kserve(mode, predictor=PREDICTOR):
    with kubernetes() as server:
        models = ModelStore("s3://models/{endpoint}/{version}")
        backend = kserve_serving(
            KservePlatform(server.objects, models, predictor=predictor, mode=mode), counts=no_counts
        )
        backend.cluster, backend.faults = server.cluster, ClusterFaults(server.cluster, "inferenceservices")
        yield backend


def deploy_demo(cluster, versions=("1", "2", "3")):
    """Create what an HTTPRoute endpoint needs: a Deployment per version, and the route."""
    for version in versions:
        replicas = 0 if version != "1" else 1
        cluster.create("deployments", deployment(f"demo-{version}", f"demo:{version}", replicas=replicas))
    health = {"path": {"type": "PathPrefix", "value": "/healthz"}}
    rules = [
        {"matches": [health], "backendRefs": [{"name": "health", "port": 8080}]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": []},
    ]
    spec = {"parentRefs": [{"name": "gateway"}], "hostnames": ["demo.example.com"], "rules": rules}
    cluster.create("httproutes", {"metadata": {"name": "demo"}, "spec": spec})


@contextmanager
def http_route():
    with kubernetes() as server:
        deploy_demo(server.cluster)
        backend = http_route_serving(
            HttpRoutePlatform(server.objects, ModelStore("{endpoint}-{version}")), counts=no_counts
        )
        backend.cluster, backend.faults = server.cluster, ClusterFaults(server.cluster, "httproutes")
        yield backend


def vertex_over(client, endpoints):
    machine = {"machine_spec": {"machine_type": "n1-standard-2"}, "min_replica_count": 1}
    models = ModelStore("projects/p/locations/europe-west4/models/{endpoint}@{version}")
    store = VertexStateStore(client, models, Retrier(FakeClock(), RETRY_POLICY), {"demo": ENDPOINT})
    platform = VertexPlatform(store, deployed_model={"dedicated_resources": machine})
    backend = vertex_serving(platform, counts=no_counts)
    backend.fake, backend.faults = endpoints, VertexFaults(endpoints, ENDPOINT)
    return backend


@contextmanager
def vertex():
    endpoints = FakeEndpoints()
    endpoints.make(ENDPOINT)
    yield vertex_over(endpoints, endpoints)


@contextmanager
def vertex_grpc():
    endpoints = FakeEndpoints()
    endpoints.make(ENDPOINT)
    with google_client(endpoints) as client:
        yield vertex_over(GoogleEndpoints(client), endpoints)


REMOTE = {
    "kserve-knative": lambda: kserve("Knative"),
    "kserve-standard": lambda: kserve("Standard"),
    "http_route": http_route,
    "vertex": vertex,
    "vertex-grpc": vertex_grpc,
}


def written(cluster, plural="inferenceservices"):
    """Return the specs that were written, oldest first."""
    changes = [call for call in cluster.calls if call[1] == plural and call[0] in ("POST", "PATCH")]
    return [json.loads(json.dumps(body["spec"])) for *_, body in changes]


def uri_of(backend):
    return backend.cluster.objects[ISVC]["spec"]["predictor"]["model"]["storageUri"]


def pauses(backend):
    return backend.platform.retrier.clock.slept
