"""The real client of a cluster that listens somewhere, and a kubeconfig that leads to it."""

from __future__ import annotations

import json

from kubernetes import client


def objects_client(url):
    settings = client.Configuration(host=url)
    settings.retries = False  # urllib3 would wait as long as Retry-After asks, in real seconds
    return client.CustomObjectsApi(client.ApiClient(settings))


def kube_config(url):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }


def kubernetes_connection(url, namespace="models"):
    """Return an Airflow connection as it stands in an environment variable."""
    extra = {"kube_config": json.dumps(kube_config(url)), "namespace": namespace}
    return json.dumps({"conn_type": "kubernetes", "extra": extra})
