"""Extras of a serving connection turned into the back end they name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.backends.serving.kubernetes.objects import KubernetesObjects
    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.backends.serving.remote.retry import Retrier

Extra = dict[str, Any]
LOCAL = "local"
SHARED = {"backend": str, "inference_log_dir": str, "inference_table": dict}
REMOTE = {"prometheus": dict, "ready_seconds": (int, float), "poll_seconds": (int, float), **SHARED}
CLUSTER = {"kubernetes_conn_id": str, "namespace": str, "names": dict, **REMOTE}
KNOWN: dict[str, dict[str, Any]] = {
    LOCAL: {"state_dir": str, "ports": dict, "workers": int, **SHARED},
    "kserve": {"models": str, "upload": bool, "predictor": dict, "mode": str, **CLUSTER},
    "http_route": {"services": str, "port": int, "replicas": int, **CLUSTER},
    "vertex": {"models": str, "endpoints": dict, "deployed_model": dict, "gcp_conn_id": str, **REMOTE},
}
NEEDED = {
    LOCAL: {"state_dir": "the folder that holds the endpoints' state"},
    "kserve": {"models": "where models are, such as s3://models/{endpoint}/{version}"},
    "http_route": {"services": "names of Services, such as {endpoint}-{version}"},
    "vertex": {
        "models": "models in Vertex's registry, such as projects/…/models/{endpoint}@{version}",
        "endpoints": "resource name per endpoint, projects/…/locations/…/endpoints/…",
    },
}


def check_extra(extra: Mapping[str, Any]) -> str:
    """Return the back end that is named, ``local`` if none is.

    :raises InvalidConfigError: an unknown back end; an unknown, missing or wrong extra.
    """
    backend = str(extra.get("backend") or LOCAL)
    if backend not in KNOWN:
        msg = f"extra 'backend' is {backend!r}; allowed: {', '.join(KNOWN)}"
        raise InvalidConfigError(msg)
    known = KNOWN[backend]
    given = {key: value for key, value in extra.items() if value not in (None, "")}
    if unknown := sorted(set(extra) - set(known)):
        msg = f"unknown extra {unknown[0]!r}; allowed: {', '.join(known)}"
        raise InvalidConfigError(msg)
    for key, meaning in NEEDED[backend].items():
        if not given.get(key):
            msg = f"extra {key!r} is missing: {meaning}"
            raise InvalidConfigError(msg)
    for key, value in given.items():
        if not isinstance(value, known[key]) or (isinstance(value, bool) and known[key] is not bool):
            kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
            msg = f"extra {key!r} is {value!r}; allowed: {' or '.join(kind.__name__ for kind in kinds)}"
            raise InvalidConfigError(msg)
    return backend


def build(extra: Extra) -> ServingBackend:
    """Return the back end; called after :func:`check_extra`.

    :raises MissingDependencyError: the provider of Kubernetes or Google is not installed.
    """
    builders = {LOCAL: _local, "kserve": _kserve, "http_route": _http_route, "vertex": _vertex}
    return builders[check_extra(extra)](
        {key: value for key, value in extra.items() if value not in (None, "")}
    )


def _local(extra: Extra) -> ServingBackend:
    from airflow_mlops.backends.serving.local.backend import LocalServing

    log_dir, workers = extra.get("inference_log_dir"), extra.get("workers", 1)
    if workers < 1:
        msg = f"extra 'workers' is {workers}; allowed: 1 or more"
        raise InvalidConfigError(msg)
    return LocalServing(
        Path(extra["state_dir"]),
        ports=extra.get("ports"),
        log_dir=Path(log_dir) if log_dir else None,
        workers=workers,
    )


def _kserve(extra: Extra) -> ServingBackend:
    from airflow_mlops.backends.serving.kubernetes.kserve import KservePlatform, kserve_serving
    from airflow_mlops.backends.serving.remote.model_store import ModelStore

    models = ModelStore(extra["models"], upload=extra.get("upload", False))
    options = {key: extra[key] for key in ("names", "predictor", "mode") if key in extra}
    return kserve_serving(KservePlatform(_objects(extra), models, **options))


def _http_route(extra: Extra) -> ServingBackend:
    from airflow_mlops.backends.serving.kubernetes.http_route import HttpRoutePlatform, http_route_serving
    from airflow_mlops.backends.serving.remote.model_store import ModelStore

    options = {key: extra[key] for key in ("names", "port", "replicas") if key in extra}
    return http_route_serving(HttpRoutePlatform(_objects(extra), ModelStore(extra["services"]), **options))


def _vertex(extra: Extra) -> ServingBackend:
    from airflow_mlops.backends.serving.remote.model_store import ModelStore
    from airflow_mlops.backends.serving.vertex.client import GoogleEndpoints
    from airflow_mlops.backends.serving.vertex.labels import region_of
    from airflow_mlops.backends.serving.vertex.platform import VertexPlatform, vertex_serving
    from airflow_mlops.backends.serving.vertex.state import VertexStateStore

    regions = {region_of(endpoint, name) for endpoint, name in extra["endpoints"].items()}
    if len(regions) != 1:
        msg = (
            f"extra 'endpoints' names regions {', '.join(sorted(regions))}; allowed: one for each connection"
        )
        raise InvalidConfigError(msg)
    client = GoogleEndpoints(_google(extra, regions.pop()))
    store = VertexStateStore(client, ModelStore(extra["models"]), _retrier(extra), extra["endpoints"])
    return vertex_serving(VertexPlatform(store, deployed_model=extra.get("deployed_model")))


def _objects(extra: Extra) -> KubernetesObjects:
    from airflow_mlops.backends.serving.kubernetes.objects import KubernetesObjects

    try:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    except ImportError as error:
        raise _missing(extra, "kubernetes") from error
    hook = KubernetesHook(conn_id=extra.get("kubernetes_conn_id", "kubernetes_default"))
    namespace = extra.get("namespace") or hook.get_namespace() or "default"
    client = hook.custom_object_client
    # urllib3's retries beneath ours would repeat each call four times, for as long as Retry-After asks
    client.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = False
    return KubernetesObjects(client, namespace, _retrier(extra))


def _google(extra: Extra, region: str) -> Any:
    try:
        from airflow.providers.google.cloud.hooks.vertex_ai.endpoint_service import EndpointServiceHook
    except ImportError as error:
        raise _missing(extra, "google") from error
    hook = EndpointServiceHook(gcp_conn_id=extra.get("gcp_conn_id", "google_cloud_default"))
    return hook.get_endpoint_service_client(region)


def _retrier(extra: Extra) -> Retrier:
    from airflow_mlops.backends.serving.remote.retry import Retrier, RetryPolicy

    default = RetryPolicy()
    ready = float(extra.get("ready_seconds", default.ready_seconds))
    poll = float(extra.get("poll_seconds", default.poll_seconds))
    return Retrier(retry_policy=replace(default, ready_seconds=ready, poll_seconds=poll))


def _missing(extra: Extra, name: str) -> MissingDependencyError:
    msg = f"back end {extra['backend']!r} needs more: pip install 'airflow-provider-mlops[{name}]'"
    return MissingDependencyError(msg)
