"""State store on Vertex AI: an endpoint's labels, written together with its split under one etag."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.backends.serving.remote.platform import Json
from airflow_mlops.backends.serving.remote.retry import ConflictError, RefusedError, refusal
from airflow_mlops.backends.serving.remote.state import Release, RemoteState, without_versions
from airflow_mlops.backends.serving.vertex.labels import read_labels, region_of, write_labels
from airflow_mlops.core.errors import EndpointMissingError, TrafficConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_mlops.backends.serving.remote.model_store import ModelStore
    from airflow_mlops.backends.serving.remote.retry import Retrier


class EndpointsClient(Protocol):
    """Part of Vertex AI's endpoint service that is used; refusals are raised as :class:`RefusedError`.

    An endpoint is a mapping with ``name``, ``etag``, ``labels``, ``traffic_split`` (share by deployed-model
    id) and ``deployed_models`` (each with ``id``, ``display_name``, ``model``).
    """

    def get(self, name: str) -> Json:
        """Read an endpoint."""

    def update(self, name: str, *, etag: str, labels: dict[str, str], split: dict[str, int]) -> None:
        """Replace labels and split by compare-and-set on ``etag``."""

    def deploy(self, name: str, deployed_model: Json) -> str:
        """Begin to deploy, out of traffic; return the operation's name."""

    def undeploy(self, name: str, deployed_model_id: str) -> str:
        """Begin to undeploy a model without traffic; return the operation's name."""

    def operation(self, name: str) -> tuple[bool, str]:
        """Return whether an operation has ended, and its error if it failed."""


@dataclass(frozen=True, kw_only=True)
class VertexSnapshot:
    """State of an endpoint, with the endpoint as it was read."""

    state: RemoteState
    found: Json

    def split(self) -> dict[str, int]:
        """Return the share of each deployed model, without those at 0."""
        return {key: int(share) for key, share in self.found["traffic_split"].items() if int(share)}

    def deployed(self) -> dict[str, Json]:
        """Return deployed models by id."""
        return {str(model["id"]): model for model in self.found["deployed_models"]}


class VertexStateStore:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.StateStore` with endpoints' labels.

    Labels and split are written in one compare-and-set on the etag.

    :param models: resource name per version, ``projects/…/models/{endpoint}@{version}``.
    :param names: resource name per endpoint, ``projects/…/locations/…/endpoints/…``.
    """

    def __init__(
        self, client: EndpointsClient, models: ModelStore, retrier: Retrier, names: Mapping[str, str]
    ) -> None:
        self.client = client
        self.models = models
        self.retrier = retrier
        self.names = dict(names)

    def endpoints(self) -> list[str]:
        """Return the endpoints that have a resource name."""
        return sorted(self.names)

    def name(self, endpoint: str) -> str:
        """Return the resource name.

        :raises InvalidConfigError: it is missing or malformed.
        """
        name = self.names.get(endpoint, "")
        region_of(endpoint, name)
        return name

    def load(self, endpoint: str) -> VertexSnapshot:
        """Read a snapshot; an endpoint set up by others is adopted, its only model as stable version."""
        snapshot = self._read(endpoint)
        stable = snapshot.state.stable
        if stable is not None and stable.source not in snapshot.deployed():
            msg = f"{self.name(endpoint)}: version {stable.version} was undeployed while it served"
            raise EndpointMissingError(msg)
        return snapshot

    def load_or_new(self, endpoint: str) -> VertexSnapshot:
        """Read a snapshot; without the stable version, only the holder and the lease are left."""
        snapshot = self._read(endpoint)
        stable = snapshot.state.stable
        if stable is None or stable.source in snapshot.deployed():
            return snapshot
        return replace(snapshot, state=without_versions(snapshot.state))

    def save(self, snapshot: VertexSnapshot, state: RemoteState) -> None:
        """Store a state that moves no traffic."""
        self.write(snapshot, state, snapshot.found["traffic_split"])

    def _read(self, endpoint: str) -> VertexSnapshot:
        name = self.name(endpoint)
        found = self.call(lambda: self.client.get(name), f"get {name}")
        state = read_labels(found["labels"])
        if state is not None:
            return VertexSnapshot(state=state, found=found)
        return self._adopt(VertexSnapshot(state=RemoteState(endpoint=endpoint), found=found))

    def _adopt(self, snapshot: VertexSnapshot) -> VertexSnapshot:
        endpoint, split = snapshot.state.endpoint, snapshot.split()
        if not split:
            return snapshot
        if len(split) > 1:
            msg = f"{endpoint}: split {json.dumps(split)} is there: made by others; end it first"
            raise TrafficConflictError(msg)
        key = next(iter(split))
        model = snapshot.deployed()[key]
        named = (
            model["model"]
            if "@" in model["model"]
            else f"{model['model']}@{model.get('model_version_id', '')}"
        )
        stable = Release(version=self.models.version_at(endpoint, named), source=key)
        return replace(snapshot, state=replace(snapshot.state, stable=stable))

    def write(self, snapshot: VertexSnapshot, state: RemoteState, split: Mapping[str, int]) -> None:
        """Write state and split by compare-and-set, unless they are so already.

        :raises ConflictError: the endpoint was written since the snapshot.
        """
        labels = write_labels(snapshot.found["labels"], state)
        if labels == snapshot.found["labels"] and dict(split) == snapshot.found["traffic_split"]:
            return
        name, etag = self.name(state.endpoint), snapshot.found["etag"]

        def write() -> None:
            self.client.update(name, etag=etag, labels=labels, split=dict(split))

        try:
            self.call(write, f"update {name}", raw=(400, 409, 412))
        except RefusedError as error:
            if self.call(lambda: self.client.get(name), f"get {name}")["etag"] != etag:
                raise ConflictError(name) from error
            raise refusal(error, f"update {name}") from error

    def call(
        self, call: Callable[[], Any], what: str, *, allowed: tuple[int, ...] = (), raw: tuple[int, ...] = ()
    ) -> Any:
        """Call with retries; final refusals become named errors.

        :param what: verb and object, for the message.
        :param allowed: statuses for which ``None`` is returned.
        :param raw: statuses whose :class:`RefusedError` is raised as it is.
        """
        try:
            return self.retrier.call(call, what)
        except RefusedError as error:
            if error.status in allowed:
                return None
            if error.status in raw:
                raise
            if error.status == 404:
                msg = f"{what}: endpoint not found (deleted, or never created)"
                raise EndpointMissingError(msg) from error
            raise refusal(error, what) from error
