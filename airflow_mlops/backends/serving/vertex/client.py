"""Client of Vertex AI's endpoint service, over Google's library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.remote.retry import NO_ANSWER, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.backends.serving.remote.platform import Json


class GoogleEndpoints:
    """Implements :class:`~airflow_mlops.backends.serving.vertex.state.EndpointsClient`.

    :param client: ``google.cloud.aiplatform_v1.EndpointServiceClient`` of the endpoints' region. Its own
        retries are disabled in favour of the back end's.
    :param timeout_seconds: time-out of one call.
    """

    def __init__(self, client: Any, *, timeout_seconds: float = 60.0) -> None:
        self.client = client
        self.options: Json = {"retry": None, "timeout": timeout_seconds}

    def get(self, name: str) -> Json:
        """Read an endpoint."""
        found = _translated(lambda: self.client.get_endpoint(request={"name": name}, **self.options))
        as_dict: Json = type(found).to_dict(found, use_integers_for_enums=False)
        return {
            key: as_dict.get(key) or empty
            for key, empty in (
                *(("name", ""), ("etag", ""), ("labels", {})),
                *(("traffic_split", {}), ("deployed_models", [])),
            )
        }

    def update(self, name: str, *, etag: str, labels: dict[str, str], split: dict[str, int]) -> None:
        """Replace labels and split by compare-and-set on ``etag``."""
        request = {
            "endpoint": {"name": name, "etag": etag, "labels": labels, "traffic_split": split},
            "update_mask": {"paths": ["labels", "traffic_split"]},
        }
        _translated(lambda: self.client.update_endpoint(request=request, **self.options))

    def deploy(self, name: str, deployed_model: Json) -> str:
        """Begin to deploy out of traffic; no split is sent, so that the current one is kept."""
        request = {"endpoint": name, "deployed_model": deployed_model}
        begun = _translated(lambda: self.client.deploy_model(request=request, **self.options))
        return str(begun.operation.name)

    def undeploy(self, name: str, deployed_model_id: str) -> str:
        """Begin to undeploy."""
        request = {"endpoint": name, "deployed_model_id": deployed_model_id}
        begun = _translated(lambda: self.client.undeploy_model(request=request, **self.options))
        return str(begun.operation.name)

    def operation(self, name: str) -> tuple[bool, str]:
        """Return whether an operation has ended, and its error."""
        found = _translated(lambda: self.client.get_operation({"name": name}, **self.options))
        return bool(found.done), str(found.error.message) if found.HasField("error") else ""


def _translated(call: Callable[[], Any]) -> Any:
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    try:
        return call()
    except GoogleAPICallError as error:
        raise RefusedError(int(error.code or NO_ANSWER), str(error.message)) from error
    except RetryError as error:
        raise RefusedError(NO_ANSWER, str(error)) from error
