"""The cluster that KUBECONFIG leads to, reached by Airflow's connections and hooks and nothing of the fakes.

``MLOPS_TEST_NAMESPACE`` names a namespace that may be written to; without it no cluster is touched. See
docs/how-to/serving-backends.md for what has to be in it.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from functools import partial

import pytest
from fakes.remote_serving import no_counts

from airflow_mlops.backends.serving.kubernetes.objects import LEASE

MODELS = os.environ.get("MLOPS_TEST_MODELS", "s3://models/{endpoint}/{version}")
FORMAT = os.environ.get("MLOPS_TEST_MODEL_FORMAT", "mlflow")
POLL = float(os.environ.get("MLOPS_TEST_POLL_SECONDS", "2"))
PREDICTOR = {"model": {"modelFormat": {"name": FORMAT}, "protocolVersion": "v2"}, "minReplicas": 1}
KSERVE = {"backend": "kserve", "models": MODELS, "predictor": PREDICTOR}
EXTRAS = {
    "cluster-kserve-knative": {**KSERVE, "mode": "Knative"},
    "cluster-kserve-standard": {**KSERVE, "mode": "Standard"},
    "cluster-http_route": {"backend": "http_route", "services": "{endpoint}-{version}"},
}


@contextmanager
def connected(extra):
    """Yield the back end of an Airflow connection; what it wrote is deleted afterwards."""
    from airflow_mlops.hooks.serving import ServingHook

    namespace = os.environ["MLOPS_TEST_NAMESPACE"]
    cluster = {"kube_config_path": os.environ["KUBECONFIG"], "namespace": namespace}
    serving = {"conn_type": "mlops_serving", "extra": {**extra, "poll_seconds": POLL}}
    with pytest.MonkeyPatch.context() as patch:
        kubernetes = {"conn_type": "kubernetes", "extra": cluster}
        patch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(kubernetes))
        patch.setenv("AIRFLOW_CONN_MLOPS_SERVING", json.dumps(serving))
        backend = ServingHook().backend()
    backend.counts = no_counts
    remove(backend.platform.store)
    yield backend
    remove(backend.platform.store)
    backend.platform.objects.client.api_client.close()


def remove(store):
    """Delete the endpoint's state, and the endpoint itself where the back end made it."""
    snapshot = store.read("demo")
    if snapshot.lease is not None:
        store.objects.delete(LEASE, snapshot.lease)
    if snapshot.target is None:
        return
    if store.must_exist:
        rules = snapshot.target["spec"]["rules"]
        rules[1]["backendRefs"] = []
        store.objects.patch(store.resource, snapshot.target, {"spec": {"rules": rules}})
        return
    store.objects.delete(store.resource, snapshot.target)
    while store.read("demo").going:
        time.sleep(POLL)


def found():
    if not (os.environ.get("KUBECONFIG") and os.environ.get("MLOPS_TEST_NAMESPACE")):
        return {}
    wanted = os.environ.get("MLOPS_TEST_BACKENDS", ",".join(EXTRAS)).split(",")
    return {name: partial(connected, EXTRAS[name]) for name in wanted}


CLUSTER = found()
