"""An endpoint in Kubernetes: the object that splits traffic, and a Lease beside it that remembers.

The state is not kept in annotations of the object: KServe copies those to its pods, so that each write
would start a new revision.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.kubernetes.objects import LEASE, Json
from airflow_mlops.backends.serving.remote.retry import MovedError
from airflow_mlops.backends.serving.remote.state import RemoteState, forgotten
from airflow_mlops.core.errors import EndpointMissingError, InvalidConfigError, TrafficConflictError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_mlops.backends.serving.kubernetes.objects import KubernetesObjects, Resource

NOTE = "airflow-mlops/state"
SPLITS = "airflow-mlops/splits"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Record):
    """What the Lease carries.

    :param layouts: what the object may look like: as it was before the last write, and as written. It is
        the former if the writer died between the two writes.
    """

    state: RemoteState
    layouts: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """One look at an endpoint."""

    state: RemoteState
    layouts: tuple[Any, ...] = ()
    lease: Json | None = None
    target: Json | None = field(default=None, repr=False)

    @property
    def is_new(self) -> bool:
        """Whether the object was made by others and nothing of ours was written yet."""
        return self.target is not None and not self.layouts


class EndpointBook:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.Book`: intent first, then traffic.

    :param resource: the kind of object that splits traffic.
    :param names: object name per endpoint; the endpoint's own name otherwise.
    :param adopt: takes over an object that was made by others.
    :param found: the object has to be there before anything is deployed.
    """

    def __init__(
        self,
        objects: KubernetesObjects,
        resource: Resource,
        names: Mapping[str, str],
        adopt: Callable[[Page], Page],
        *,
        found: bool = False,
    ) -> None:
        self.objects = objects
        self.resource = resource
        self.names = dict(names)
        self.adopt = adopt
        self.found = found

    def name(self, endpoint: str) -> str:
        """Return the object's name.

        :raises InvalidConfigError: Kubernetes allows no such name.
        """
        name = self.names.get(endpoint, endpoint)
        if not NAME.fullmatch(name):
            msg = (
                f"endpoint {endpoint!r}: object name {name!r}, allowed: small letters, digits, '-', at most "
                "47; name another one in 'names'"
            )
            raise InvalidConfigError(msg)
        return name

    def endpoints(self) -> list[str]:
        """Return the endpoints whose state is kept in this namespace for this kind of object."""
        notes = [_note(lease) for lease in self.objects.listed(LEASE, f"{SPLITS}={self.resource.plural}")]
        return sorted(note.state.endpoint for note in notes if note is not None)

    def look(self, endpoint: str) -> Page:
        """Read both objects."""
        name = self.name(endpoint)
        lease = self.objects.find(LEASE, f"mlops-{name}")
        target = self.objects.find(self.resource, name)
        note = _note(lease) or Note(state=RemoteState(endpoint=endpoint))
        return Page(state=note.state, layouts=note.layouts, lease=lease, target=target)

    def load(self, endpoint: str) -> Page:
        """Read; an object made by others is taken over as it is."""
        page = self.look(endpoint)
        where = f"{self.resource.plural} {self.objects.namespace}/{self.name(endpoint)}"
        if page.target is None and page.state.stable is not None:
            msg = f"{where}: deleted while version {page.state.stable.version} served; nothing was changed"
            raise EndpointMissingError(msg)
        if page.target is None and self.found:
            msg = f"{where}: there is none; make it"
            raise EndpointMissingError(msg)
        return self.adopt(page) if page.is_new else page

    def load_or_forget(self, endpoint: str) -> Page:
        """Read; a deleted object leaves only the holder and the lease."""
        page = self.look(endpoint)
        if page.target is None:
            return replace(page, state=forgotten(page.state), layouts=())
        return self.adopt(page) if page.is_new else page

    def remember(self, sight: Page, state: RemoteState) -> None:
        """Store a state that moves no traffic."""
        self.write_note(sight, state, sight.layouts)

    def write_note(self, page: Page, state: RemoteState, layouts: tuple[Any, ...]) -> None:
        """Store state and layouts unless they are stored already.

        :raises MovedError: somebody stored another one since.
        """
        note = json.dumps(Note(state=state, layouts=layouts).to_json())
        if note == _text(page.lease):
            return
        body: Json = {
            "metadata": {"annotations": {NOTE: note}, "labels": {SPLITS: self.resource.plural}},
            "spec": {"holderIdentity": state.holder, "leaseTransitions": state.lease and state.lease.token},
        }
        if page.lease is None:
            self.objects.create(LEASE, f"mlops-{self.name(state.endpoint)}", body)
        else:
            self.objects.patch(LEASE, page.lease, body)

    def require_known(self, page: Page, seen: Any, wanted: Any) -> None:
        """Refuse an object that is neither as written, nor as before, nor as wanted.

        :raises TrafficConflictError: says what is there.
        """
        if seen not in (*page.layouts, wanted):
            written = page.layouts[-1] if page.layouts else "nothing"
            msg = (
                f"{page.state.endpoint}: {json.dumps(seen)} is there, "
                f"last written was {json.dumps(written)}; somebody changed it, nothing was overwritten"
            )
            raise TrafficConflictError(msg)

    def write_target(self, page: Page, change: Json) -> None:
        """Merge into the object that was seen.

        :raises EndpointMissingError: deleted since.
        :raises MovedError: changed since.
        """
        if page.target is None:
            raise MovedError(self.resource.plural)
        self.objects.patch(self.resource, page.target, change)


def _text(lease: Json | None) -> str:
    return str(((lease or {}).get("metadata", {}).get("annotations") or {}).get(NOTE, ""))


def _note(lease: Json | None) -> Note | None:
    text = _text(lease)
    return Note.from_json(json.loads(text)) if text else None
