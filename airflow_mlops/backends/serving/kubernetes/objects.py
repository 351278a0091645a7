"""Objects of a Kubernetes API server: read, created, and written by compare-and-set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.backends.serving.kubernetes.skew import SkewMeter
from airflow_mlops.backends.serving.remote.retry import NO_ANSWER, ConflictError, RefusedError, refusal
from airflow_mlops.core.errors import EndpointMissingError, KindNotServedError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.backends.serving.remote.platform import Json
    from airflow_mlops.backends.serving.remote.retry import Retrier

_CALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Record):
    """A kind of object, and its place in the API."""

    group: str
    version: str
    plural: str
    kind: str

    def place(self, namespace: str) -> Json:
        """Return the arguments that name the collection, and the time-out of a call."""
        names = {"group": self.group, "version": self.version, "plural": self.plural}
        return {**names, "namespace": namespace, "_request_timeout": _CALL_SECONDS}

    @property
    def api_version(self) -> str:
        """Return the value of an object's ``apiVersion``."""
        return f"{self.group}/{self.version}"


LEASE = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
DEPLOYMENT = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")


class ObjectsClient(Protocol):
    """Part of ``kubernetes.client.CustomObjectsApi`` that is used; it serves all groups but the core one.

    Errors carry the HTTP status as ``status``. Patches are JSON merge patches. The option
    ``_request_timeout`` is in seconds; without it the client sets no time-out.
    """

    def get_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, name: str, **options: Any
    ) -> Any:
        """Read an object."""

    def list_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, **options: Any
    ) -> Any:
        """List the objects that match the option ``label_selector``."""

    def create_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, body: Json, **options: Any
    ) -> Any:
        """Create an object."""

    def patch_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, name: str, body: Json, **options: Any
    ) -> Any:
        """Patch an object; refused with 409 when ``metadata.resourceVersion`` is outdated."""

    def delete_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, name: str, body: Json, **options: Any
    ) -> Any:
        """Delete an object; refused with 409 when a precondition does not hold."""


class KubernetesObjects:
    """Objects of one namespace; calls are retried, and final refusals become named errors."""

    def __init__(self, client: ObjectsClient, namespace: str, retrier: Retrier) -> None:
        self.client = client
        self.namespace = namespace
        self.retrier = retrier
        self.skew = SkewMeter()

    def find(self, resource: Resource, name: str) -> Json | None:
        """Return an object, ``None`` if it does not exist; one that is being deleted still does.

        :raises KindNotServedError: the API server does not know the kind, so that nothing is known.
        """
        where = resource.place(self.namespace)
        try:
            return self._call(
                "get", resource, name, lambda: self.client.get_namespaced_custom_object(name=name, **where)
            )
        except EndpointMissingError:
            return None

    def listed(self, resource: Resource, labels: str) -> list[Json]:
        """Return the objects that match a label selector (``key=value``)."""
        where = {**resource.place(self.namespace), "label_selector": labels}
        found = self._call("list", resource, "", lambda: self.client.list_namespaced_custom_object(**where))
        items: list[Json] = found["items"]
        return items

    def create(self, resource: Resource, name: str, body: Json) -> Json:
        """Create an object.

        :raises ConflictError: it exists already.
        """
        where = resource.place(self.namespace)
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            **body,
            "metadata": {"name": name, "namespace": self.namespace, **body.get("metadata", {})},
        }
        return self._call(
            "create", resource, name, lambda: self.client.create_namespaced_custom_object(body=body, **where)
        )

    def patch(self, resource: Resource, seen: Json, change: Json) -> Json:
        """Merge ``change`` into an object by compare-and-set.

        :param seen: the object as it was read.
        :raises ConflictError: it changed since.
        """
        name, where = seen["metadata"]["name"], resource.place(self.namespace)
        meta = {**change.get("metadata", {}), "resourceVersion": seen["metadata"]["resourceVersion"]}
        body = {**change, "metadata": meta}
        return self._call(
            "patch",
            resource,
            name,
            lambda: self.client.patch_namespaced_custom_object(name=name, body=body, **where),
        )

    def delete(self, resource: Resource, seen: Json) -> None:
        """Delete an object by compare-and-set.

        :param seen: the object as it was read.
        :raises ConflictError: it changed since.
        """
        name, where = seen["metadata"]["name"], resource.place(self.namespace)
        body = {"preconditions": {"resourceVersion": seen["metadata"]["resourceVersion"]}}
        self._call(
            "delete",
            resource,
            name,
            lambda: self.client.delete_namespaced_custom_object(name=name, body=body, **where),
        )

    def _call(self, verb: str, resource: Resource, name: str, call: Callable[[], Any]) -> Json:
        what = f"{verb} {resource.plural} {self.namespace}/{name}"
        try:
            found: Json = self.retrier.call(lambda: _translated(call), what)
            self.skew.see(_date(self.client))
        except RefusedError as error:
            if error.status == 404:
                raise _not_found(error, resource, name, what) from error
            if error.status == 409:
                raise ConflictError(what) from error
            raise refusal(error, what) from error
        return found


def is_going(found: Json | None) -> bool:
    """Whether an object is being deleted: it is still there until its finalizers have run."""
    return found is not None and bool(found["metadata"].get("deletionTimestamp"))


def _not_found(error: RefusedError, resource: Resource, name: str, what: str) -> Exception:
    """Tell an object that is gone from a kind that is not served: only the former names the object."""
    said = error.document
    details = said.get("details") or {}
    names_it = (details.get("kind"), details.get("name")) == (resource.plural, name)
    if said.get("kind") == "Status" and said.get("reason") == "NotFound" and names_it:
        return EndpointMissingError(f"{what}: not found (deleted, or never created)")
    kind = f"{resource.plural}.{resource.group}/{resource.version}"
    return KindNotServedError(
        f"{what}: 404 that names no such object ({error}): is {kind} installed and served, and the namespace "
        "there? nothing was concluded from it"
    )


def _translated(call: Callable[[], Any]) -> Any:
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except HTTPError as error:
        raise RefusedError(NO_ANSWER, str(error)) from error
    except Exception as error:
        status = getattr(error, "status", None)
        if not isinstance(status, int):
            raise
        said, headers = _document(error), getattr(error, "headers", None) or {}
        message = str(said.get("message") or getattr(error, "body", None) or error).strip()
        raise RefusedError(status, message, retry_after=_seconds(headers), document=said) from error


def _document(error: Exception) -> Json:
    try:
        found = json.loads(getattr(error, "body", None) or "")
    except (ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(headers: Any) -> float:
    asked = str(headers.get("Retry-After", ""))
    return float(asked) if asked.isdigit() else 0.0


def _date(client: ObjectsClient) -> str | None:
    """Return the ``Date`` of the last answer; the client keeps it beside what it returns."""
    answer = getattr(getattr(client, "api_client", None), "last_response", None)
    return answer.getheader("Date") if answer is not None else None
