"""State store in Kubernetes: a Lease beside the object that splits traffic.

The state is not stored in annotations of the object itself: KServe copies those to its pods, so that each
write would start a new revision.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.kubernetes.objects import LEASE, is_going
from airflow_mlops.backends.serving.remote.platform import Json
from airflow_mlops.backends.serving.remote.retry import ConflictError
from airflow_mlops.backends.serving.remote.state import RemoteState, without_versions
from airflow_mlops.core.errors import (
    EndpointMissingError,
    InvalidConfigError,
    MlopsError,
    TrafficConflictError,
)
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_mlops.backends.serving.kubernetes.objects import KubernetesObjects, Resource

_STATE_ANNOTATION = "airflow-mlops/state"
_KIND_LABEL = "airflow-mlops/splits"
_READS = 4
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState(Record):
    """JSON document in the Lease's annotation.

    :param layouts: layouts (models and shares) the object may have: before the last write, and as written.
        It still has the former if the writer died between writing the Lease and the object.
    """

    state: RemoteState
    layouts: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KubernetesSnapshot:
    """State of an endpoint, with its Lease and its object as they were read.

    :param target: the object that splits traffic; ``None`` if it is gone, or being deleted.
    :param going: whether it is being deleted; one of its name cannot be created yet.
    """

    state: RemoteState
    layouts: tuple[Any, ...] = ()
    lease: Json | None = None
    target: Json | None = field(default=None, repr=False)
    going: bool = False

    @property
    def is_new(self) -> bool:
        """Whether the object was created by others and has no stored state yet."""
        return self.target is not None and not self.layouts


class KubernetesStateStore:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.StateStore` with Leases.

    The Lease is written first (the intent), the object that splits traffic second, each by compare-and-set.
    It is called ``mlops.<resource>.<name>``: two back ends may have endpoints of one name in one namespace.
    One that an earlier version called ``mlops-<name>`` is used on, if it is of this kind of object.

    :param resource: kind of the object that splits traffic.
    :param names: object name per endpoint; the endpoint's own name otherwise.
    :param adopt: gives a snapshot of an object that was created by others its state.
    :param layout_of: returns the layout that the object of a snapshot has.
    :param must_exist: whether the object must exist before anything is deployed.
    """

    def __init__(
        self,
        objects: KubernetesObjects,
        resource: Resource,
        names: Mapping[str, str],
        adopt: Callable[[KubernetesSnapshot], KubernetesSnapshot],
        *,
        layout_of: Callable[[KubernetesSnapshot], Any],
        must_exist: bool = False,
    ) -> None:
        self.objects = objects
        self.resource = resource
        self.names = dict(names)
        self.adopt = adopt
        self.layout_of = layout_of
        self.must_exist = must_exist

    def name(self, endpoint: str) -> str:
        """Return the object's name.

        :raises InvalidConfigError: Kubernetes does not allow it.
        """
        name = self.names.get(endpoint, endpoint)
        if not _NAME.fullmatch(name):
            msg = (
                f"endpoint {endpoint!r}: object name {name!r}, allowed: lower-case letters, digits, '-', "
                "at most 47; name another one in 'names'"
            )
            raise InvalidConfigError(msg)
        return name

    def endpoints(self) -> list[str]:
        """Return the endpoints with a state in this namespace, for this kind of object."""
        leases = self.objects.listed(LEASE, f"{_KIND_LABEL}={self.resource.plural}")
        found = [_stored(lease) for lease in leases]
        return sorted(stored.state.endpoint for stored in found if stored is not None)

    def read(self, endpoint: str) -> KubernetesSnapshot:
        """Read Lease and object as they are.

        Two reads are no transaction: when the object is not as the Lease says, and the Lease was written
        meanwhile, both are read again before anybody takes the difference for another writer's.
        """
        name = self.name(endpoint)
        for _ in range(_READS):
            lease = self._find_lease(name)
            target = self.objects.find(self.resource, name)
            snapshot = _snapshot(endpoint, lease, target)
            if self._is_known(snapshot) or _version(self._find_lease(name)) == _version(lease):
                break
        return snapshot

    def load(self, endpoint: str) -> KubernetesSnapshot:
        """Read a snapshot; an object created by others is adopted as it is."""
        snapshot = self.read(endpoint)
        where = f"{self.resource.plural} {self.objects.namespace}/{self.name(endpoint)}"
        if snapshot.target is None and snapshot.state.stable is not None:
            msg = (
                f"{where}: deleted while version {snapshot.state.stable.version} served; nothing was changed"
            )
            raise EndpointMissingError(msg)
        if snapshot.target is None and self.must_exist:
            msg = f"{where}: {'is being deleted' if snapshot.going else 'not found'}; create it first"
            raise EndpointMissingError(msg)
        return self.adopt(snapshot) if snapshot.is_new else snapshot

    def load_or_new(self, endpoint: str) -> KubernetesSnapshot:
        """Read a snapshot; a deleted object leaves only the holder and the lease."""
        snapshot = self.read(endpoint)
        if snapshot.target is None:
            return replace(snapshot, state=without_versions(snapshot.state), layouts=())
        return self.adopt(snapshot) if snapshot.is_new else snapshot

    def save(self, snapshot: KubernetesSnapshot, state: RemoteState) -> None:
        """Store a state that moves no traffic."""
        self.write_state(snapshot, state, snapshot.layouts)

    def write_state(self, snapshot: KubernetesSnapshot, state: RemoteState, layouts: tuple[Any, ...]) -> None:
        """Store state and layouts unless they are stored already.

        :raises ConflictError: the Lease was written since the snapshot.
        """
        wanted = StoredState(state=state, layouts=layouts)
        if wanted == _stored(snapshot.lease):
            return
        text = json.dumps(wanted.to_json())
        labels = {_KIND_LABEL: self.resource.plural}
        body: Json = {
            "metadata": {"annotations": {_STATE_ANNOTATION: text}, "labels": labels},
            "spec": {"holderIdentity": state.holder, "leaseTransitions": state.lease and state.lease.token},
        }
        if snapshot.lease is None:
            self.objects.create(LEASE, f"mlops.{self.resource.plural}.{self.name(state.endpoint)}", body)
        else:
            self.objects.patch(LEASE, snapshot.lease, body)

    def _find_lease(self, name: str) -> Json | None:
        lease = self.objects.find(LEASE, f"mlops.{self.resource.plural}.{name}")
        if lease is not None:
            return lease
        old = self.objects.find(LEASE, f"mlops-{name}")
        labels = (old or {}).get("metadata", {}).get("labels") or {}
        return old if labels.get(_KIND_LABEL, self.resource.plural) == self.resource.plural else None

    def _is_known(self, snapshot: KubernetesSnapshot) -> bool:
        """Whether the object has a layout that the Lease knows; what cannot be read is judged later."""
        if snapshot.target is None or snapshot.is_new:
            return True
        try:
            return self.layout_of(snapshot) in snapshot.layouts
        except MlopsError:
            return True

    def require_known(self, snapshot: KubernetesSnapshot, seen: Any, wanted: Any) -> None:
        """Refuse an object whose layout is not the one written, the one before, or the one wanted.

        :raises TrafficConflictError: names the layout found and the one last written.
        """
        if seen not in (*snapshot.layouts, wanted):
            written = snapshot.layouts[-1] if snapshot.layouts else "nothing"
            msg = (
                f"{snapshot.state.endpoint}: {json.dumps(seen)} is there, "
                f"last written was {json.dumps(written)}; changed by another writer, nothing was overwritten"
            )
            raise TrafficConflictError(msg)

    def write_target(self, snapshot: KubernetesSnapshot, change: Json) -> None:
        """Merge ``change`` into the object that splits traffic.

        :raises EndpointMissingError: it was deleted since the snapshot.
        :raises ConflictError: it was written since the snapshot.
        """
        if snapshot.target is None:
            raise ConflictError(self.resource.plural)
        self.objects.patch(self.resource, snapshot.target, change)


def _snapshot(endpoint: str, lease: Json | None, target: Json | None) -> KubernetesSnapshot:
    stored = _stored(lease) or StoredState(state=RemoteState(endpoint=endpoint))
    going = is_going(target)
    return KubernetesSnapshot(
        state=stored.state,
        layouts=stored.layouts,
        lease=lease,
        target=None if going else target,
        going=going,
    )


def _version(lease: Json | None) -> str:
    return "" if lease is None else str(lease["metadata"].get("resourceVersion", ""))


def _text(lease: Json | None) -> str:
    return str(((lease or {}).get("metadata", {}).get("annotations") or {}).get(_STATE_ANNOTATION, ""))


def _stored(lease: Json | None) -> StoredState | None:
    text = _text(lease)
    return StoredState.from_json(json.loads(text)) if text else None
