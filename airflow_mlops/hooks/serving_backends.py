"""Extras of a serving connection: checked, and turned into the back end that they describe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError
from airflow_mlops.core.input_errors import explain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.backends.serving.kubernetes.objects import KubernetesObjects
    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.backends.serving.remote.retry import Retrier

LOCAL_BACKEND = "local"
_Port = Annotated[int, Field(ge=1, le=65535)]
_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _Extra(BaseModel):
    """Extras of every back end; an empty value counts as absent."""

    model_config = _STRICT
    backend: str = LOCAL_BACKEND
    inference_log_dir: str = ""
    inference_table: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _present(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in given.items() if value not in (None, "")}


class LocalExtra(_Extra):
    """Extras of serving on this machine."""

    state_dir: str = Field(description="the folder that holds the endpoints' state")
    ports: dict[str, _Port] = Field(default_factory=dict)
    workers: int = Field(default=1, ge=1)
    timeout_seconds: float = Field(default=10.0, gt=0)
    max_body_mb: float = Field(default=10.0, gt=0)

    def build(self) -> ServingBackend:
        """Return the back end."""
        from airflow_mlops.backends.serving.local.backend import LocalServing
        from airflow_mlops.backends.serving.local.state import Limits

        log_dir = Path(self.inference_log_dir) if self.inference_log_dir else None
        return LocalServing(
            Path(self.state_dir),
            ports=self.ports,
            log_dir=log_dir,
            workers=self.workers,
            limits=Limits(timeout_seconds=self.timeout_seconds, max_body_mb=self.max_body_mb),
        )


def _headers(given: Any) -> Any:
    """Refuse what is no mapping of texts without repeating it: headers may hold credentials."""
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        msg = "allowed: a mapping of names to texts"
        raise ValueError(msg)
    return given


class PrometheusExtra(BaseModel):
    """Where Prometheus is, and the selectors of ``PrometheusSelectors``."""

    model_config = _STRICT
    url: str
    requests: str
    errors: str
    fast: str | None = None
    headers: Annotated[dict[str, str], BeforeValidator(_headers)] | None = None


class _RemoteExtra(_Extra):
    """Extras of all other back ends."""

    prometheus: PrometheusExtra | None = None
    ready_seconds: float | None = None
    poll_seconds: float | None = None

    def retrier(self) -> Retrier:
        """Return how long and how often the platform is asked."""
        from airflow_mlops.backends.serving.remote.retry import Retrier, RetryPolicy

        waits = {"ready_seconds": self.ready_seconds, "poll_seconds": self.poll_seconds}
        given: dict[str, Any] = {name: seconds for name, seconds in waits.items() if seconds is not None}
        return Retrier(retry_policy=replace(RetryPolicy(), **given))


class _ClusterExtra(_RemoteExtra):
    kubernetes_conn_id: str = "kubernetes_default"
    namespace: str = ""
    names: dict[str, str] = Field(default_factory=dict)

    def objects(self) -> KubernetesObjects:
        """Return the client of the connection's cluster.

        :raises MissingDependencyError: Airflow's provider of Kubernetes is not installed.
        """
        from airflow_mlops.backends.serving.kubernetes.objects import KubernetesObjects

        try:
            from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
        except ImportError as error:
            raise _missing(self.backend, "kubernetes") from error
        hook = KubernetesHook(conn_id=self.kubernetes_conn_id)
        namespace = self.namespace or hook.get_namespace() or "default"
        client = hook.custom_object_client
        # urllib3's retries beneath ours would repeat each call four times, for as long as Retry-After asks
        client.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = False
        return KubernetesObjects(client, namespace, self.retrier())


class KserveExtra(_ClusterExtra):
    """Extras of KServe."""

    models: str = Field(description="where models are, such as s3://models/{endpoint}/{version}")
    upload: bool = False
    predictor: dict[str, Any] | None = None
    mode: str | None = None

    def build(self) -> ServingBackend:
        """Return the back end.

        :raises MissingDependencyError: Airflow's provider of Kubernetes is not installed.
        """
        from airflow_mlops.backends.serving.kubernetes.kserve import KservePlatform, kserve_serving
        from airflow_mlops.backends.serving.remote.model_store import ModelStore

        models = ModelStore(self.models, upload=self.upload)
        given = self.model_dump(include={"names", "predictor", "mode"}, exclude_none=True)
        return kserve_serving(KservePlatform(self.objects(), models, **given))


class HttpRouteExtra(_ClusterExtra):
    """Extras of Services behind an HTTPRoute."""

    services: str = Field(description="names of Services, such as {endpoint}-{version}")
    port: int | None = None
    replicas: int | None = None

    def build(self) -> ServingBackend:
        """Return the back end.

        :raises MissingDependencyError: Airflow's provider of Kubernetes is not installed.
        """
        from airflow_mlops.backends.serving.kubernetes.http_route import HttpRoutePlatform, http_route_serving
        from airflow_mlops.backends.serving.remote.model_store import ModelStore

        given = self.model_dump(include={"names", "port", "replicas"}, exclude_none=True)
        return http_route_serving(HttpRoutePlatform(self.objects(), ModelStore(self.services), **given))


class VertexExtra(_RemoteExtra):
    """Extras of Vertex AI."""

    models: str = Field(
        description="models in Vertex's registry, such as projects/…/models/{endpoint}@{version}"
    )
    endpoints: dict[str, str] = Field(
        min_length=1, description="resource name per endpoint, projects/…/locations/…/endpoints/…"
    )
    deployed_model: dict[str, Any] | None = None
    gcp_conn_id: str = "google_cloud_default"

    def build(self) -> ServingBackend:
        """Return the back end.

        :raises InvalidConfigError: endpoints of several regions.
        :raises MissingDependencyError: Airflow's provider of Google is not installed.
        """
        from airflow_mlops.backends.serving.remote.model_store import ModelStore
        from airflow_mlops.backends.serving.vertex.client import GoogleEndpoints
        from airflow_mlops.backends.serving.vertex.platform import VertexPlatform, vertex_serving
        from airflow_mlops.backends.serving.vertex.state import VertexStateStore

        client = GoogleEndpoints(self._client(self._region()))
        store = VertexStateStore(client, ModelStore(self.models), self.retrier(), self.endpoints)
        return vertex_serving(VertexPlatform(store, deployed_model=self.deployed_model))

    def _region(self) -> str:
        from airflow_mlops.backends.serving.vertex.labels import region_of

        regions = {region_of(endpoint, name) for endpoint, name in self.endpoints.items()}
        if len(regions) != 1:
            msg = f"extra: endpoints: regions {', '.join(sorted(regions))}, allowed: one for each connection"
            raise InvalidConfigError(msg)
        return regions.pop()

    def _client(self, region: str) -> Any:
        try:
            from airflow.providers.google.cloud.hooks.vertex_ai.endpoint_service import EndpointServiceHook
        except ImportError as error:
            raise _missing(self.backend, "google") from error
        return EndpointServiceHook(gcp_conn_id=self.gcp_conn_id).get_endpoint_service_client(region)


ServingExtra = LocalExtra | KserveExtra | HttpRouteExtra | VertexExtra
EXTRAS: dict[str, type[ServingExtra]] = {
    LOCAL_BACKEND: LocalExtra,
    "kserve": KserveExtra,
    "http_route": HttpRouteExtra,
    "vertex": VertexExtra,
}


def read_extra(given: Mapping[str, Any]) -> ServingExtra:
    """Return a connection's extras, checked; without a back end they are ``local``'s.

    :raises InvalidConfigError: an unknown back end; an unknown, missing or wrong extra.
    """
    backend = given.get("backend") or LOCAL_BACKEND
    if backend not in EXTRAS:
        msg = f"extra: backend: {backend!r}, one of: {', '.join(EXTRAS)}{did_you_mean(backend, EXTRAS)}"
        raise InvalidConfigError(msg)
    try:
        return EXTRAS[backend].model_validate(dict(given))
    except ValidationError as error:
        msg = f"extra: {explain(error, EXTRAS[backend])}"
        raise InvalidConfigError(msg) from error


def _missing(backend: str, package: str) -> MissingDependencyError:
    msg = f"back end {backend!r} needs more: pip install 'airflow-provider-mlops[{package}]'"
    return MissingDependencyError(msg)
