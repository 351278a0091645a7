"""Serving by Vertex AI: one endpoint, one deployed model per version, traffic split with its etag."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.backends.serving.patience import MovedError, RefusedError, Waiting, refusal
from airflow_mlops.backends.serving.remote import RemoteServing
from airflow_mlops.backends.serving.remote_state import Release, RemoteState
from airflow_mlops.backends.serving.vertex_state import (
    deployed_id,
    layout,
    read_labels,
    region_of,
    write_labels,
)
from airflow_mlops.core.errors import (
    EndpointMissingError,
    ServiceUnavailableError,
    TrafficConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_mlops.backends.serving.model_store import ModelStore
    from airflow_mlops.backends.serving.remote import CountSource

Json = dict[str, Any]


class EndpointsClient(Protocol):
    """What is used of Vertex AI's endpoint service; refusals are :class:`RefusedError`.

    An endpoint is a mapping with ``name``, ``etag``, ``labels``, ``traffic_split`` (share by deployed-model
    id) and ``deployed_models`` (each with ``id``, ``display_name``, ``model``).
    """

    def get(self, name: str) -> Json:
        """Read an endpoint."""

    def update(self, name: str, *, etag: str, labels: dict[str, str], split: dict[str, int]) -> None:
        """Replace labels and split if ``etag`` is the current one."""

    def deploy(self, name: str, deployed_model: Json) -> str:
        """Begin to deploy, out of traffic; return the operation's name."""

    def undeploy(self, name: str, deployed_model_id: str) -> str:
        """Begin to undeploy what has no traffic; return the operation's name."""

    def operation(self, name: str) -> tuple[bool, str]:
        """Return whether an operation ended, and its error if it failed."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One look at an endpoint."""

    state: RemoteState
    found: Json

    def split(self) -> dict[str, int]:
        """Return the shares above 0."""
        return {key: int(share) for key, share in self.found["traffic_split"].items() if int(share)}

    def deployed(self) -> dict[str, Json]:
        """Return deployed models by id."""
        return {str(model["id"]): model for model in self.found["deployed_models"]}


class VertexSite:
    """Implements :class:`~airflow_mlops.backends.serving.remote.Site` over Vertex AI endpoints.

    Roles and holder live in the endpoint's labels, so that they change together with the split, under one
    etag. The id of a deployed model follows from endpoint and version: no retry can deploy twice.

    :param names: resource name per endpoint, ``projects/…/locations/…/endpoints/…``.
    :param models: resource name per version, ``projects/…/models/{endpoint}@{version}``.
    :param deployed_model: passed on as it is: machine, replicas, accelerators, service account.
    """

    def __init__(
        self,
        client: EndpointsClient,
        models: ModelStore,
        waiting: Waiting,
        *,
        names: Mapping[str, str],
        deployed_model: Json | None = None,
    ) -> None:
        self.client = client
        self.models = models
        self.waiting = waiting
        self.names = dict(names)
        self.deployed_model = dict(deployed_model or {})

    def load(self, endpoint: str) -> Sight:
        """Read; an endpoint set up by others serves the version of its only deployed model."""
        sight = self._look(endpoint)
        stable = sight.state.stable
        if stable is not None and stable.source not in sight.deployed():
            msg = f"{self._name(endpoint)}: version {stable.version} was undeployed while it served"
            raise EndpointMissingError(msg)
        return sight

    def load_or_forget(self, endpoint: str) -> Sight:
        """Read; versions that others undeployed are forgotten."""
        sight = self._look(endpoint)
        stable = sight.state.stable
        if stable is None or stable.source in sight.deployed():
            return sight
        return replace(sight, state=RemoteState(endpoint=endpoint, holder=sight.state.holder))

    def remember(self, sight: Sight, state: RemoteState) -> None:
        """Store a state that moves no traffic."""
        self._write(sight, state, sight.found["traffic_split"])

    def declare(self, sight: Sight, state: RemoteState, *, force: bool = False) -> None:
        """Write state and split in one update."""
        seen, wanted = sight.split(), layout(state)
        known = {release.source for release in (*sight.state.releases(), *state.releases())}
        if seen not in (layout(sight.state), wanted) and not (force and set(seen) <= known):
            msg = (
                f"{state.endpoint}: split {json.dumps(seen)} is there, last written was "
                f"{json.dumps(layout(sight.state))}; somebody changed it, nothing was overwritten"
            )
            raise TrafficConflictError(msg)
        self._write(sight, state, wanted)

    def missing(self, sight: Sight) -> str:
        """Say what is not so yet."""
        up = sight.deployed()
        gone = [r.version for r in (sight.state.stable, sight.state.canary) if r and r.source not in up]
        if gone:
            return f"version {gone[0]} is not deployed"
        wanted = layout(sight.state)
        return "" if sight.split() == wanted else f"split is {sight.split()}, {wanted} is asked for"

    def percent(self, sight: Sight) -> int:
        """Return the canary's share."""
        canary = sight.state.canary
        return sight.split().get(canary.source, 0) if canary else 0

    def label(self, sight: Sight, release: Release) -> str:
        """Return the deployed model's id."""
        return release.source

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Return the deployed model of a version; the model has to be in Vertex's registry."""
        return Release(version=version, source=deployed_id(endpoint, version))

    def start(self, sight: Sight, release: Release) -> None:
        """Deploy out of traffic, or go on waiting for a deployment begun before."""
        endpoint = sight.state.endpoint
        if release.source in sight.deployed():
            return
        what = f"deploy version {release.version} on {endpoint}"
        begun, _, operation = sight.state.mark.partition(" ")
        if begun == release.source:
            self._wait(operation, what, forget=endpoint)
            if release.source in self.load(endpoint).deployed():
                return
        if operation := self._deploy(endpoint, release):
            self._wait(operation, what, forget=endpoint)
        self.waiting.until(
            lambda: "" if release.source in self.load(endpoint).deployed() else "it is not deployed yet", what
        )

    def stop(self, sight: Sight, releases: tuple[Release, ...]) -> None:
        """Undeploy versions that are out of traffic."""
        name = self._name(sight.state.endpoint)
        for release in releases:
            if release.source not in sight.deployed():
                continue
            what = f"undeploy version {release.version} from {name}"
            undeploy = partial(self.client.undeploy, name, release.source)
            operation = self._call(undeploy, what, allowed=(404,))
            if operation:
                self._wait(operation, what)

    def url(self, endpoint: str) -> str:
        """Return the URL of predictions."""
        name = self._name(endpoint)
        return f"https://{region_of(endpoint, name)}-aiplatform.googleapis.com/v1/{name}:predict"

    def _look(self, endpoint: str) -> Sight:
        name = self._name(endpoint)
        found = self._call(lambda: self.client.get(name), f"get {name}")
        state = read_labels(found["labels"])
        if state is not None:
            return Sight(state=state, found=found)
        return self._adopt(Sight(state=RemoteState(endpoint=endpoint), found=found))

    def _adopt(self, sight: Sight) -> Sight:
        endpoint, split = sight.state.endpoint, sight.split()
        if not split:
            return sight
        if len(split) > 1:
            msg = f"{endpoint}: split {json.dumps(split)} is there: made by others; end it first"
            raise TrafficConflictError(msg)
        key = next(iter(split))
        model = sight.deployed()[key]
        named = (
            model["model"]
            if "@" in model["model"]
            else f"{model['model']}@{model.get('model_version_id', '')}"
        )
        stable = Release(version=self.models.version_at(endpoint, named), source=key)
        return replace(sight, state=replace(sight.state, stable=stable))

    def _write(self, sight: Sight, state: RemoteState, split: Mapping[str, int]) -> None:
        labels = write_labels(sight.found["labels"], state)
        if labels == sight.found["labels"] and dict(split) == sight.found["traffic_split"]:
            return
        name, etag = self._name(state.endpoint), sight.found["etag"]

        def write() -> None:
            self.client.update(name, etag=etag, labels=labels, split=dict(split))

        try:
            self._call(write, f"update {name}", raw=(400, 409, 412))
        except RefusedError as error:
            if self._call(lambda: self.client.get(name), f"get {name}")["etag"] != etag:
                raise MovedError(name) from error
            raise refusal(error, f"update {name}") from error

    def _deploy(self, endpoint: str, release: Release) -> str:
        name = self._name(endpoint)
        body = {
            **self.deployed_model,
            "id": release.source,
            "display_name": f"{endpoint} {release.version}",
            "model": self.models.release(endpoint, release.version).source,
        }
        what = f"deploy version {release.version} on {name}"
        operation = str(self._call(lambda: self.client.deploy(name, body), what, allowed=(409,)) or "")
        if operation:
            self._mark(endpoint, f"{release.source} {operation}")
        return operation

    def _mark(self, endpoint: str, mark: str) -> None:
        def once() -> None:
            sight = self.load(endpoint)
            self.remember(sight, replace(sight.state, mark=mark))

        self.waiting.again_when_moved(once, f"change {endpoint}")

    def _wait(self, operation: str, what: str, *, forget: str = "") -> None:
        ended: list[str] = []

        def missing() -> str:
            # an operation that is known no more has ended long ago
            answer = self._call(lambda: self.client.operation(operation), what, allowed=(404,))
            done, error = answer or (True, "")
            ended[:] = [error] if done else []
            return "" if done else f"operation {operation} is running"

        self.waiting.until(missing, what)
        if forget:
            self._mark(forget, "")
        if ended[0]:
            msg = f"{what}: {ended[0]}"
            raise ServiceUnavailableError(msg)

    def _call(
        self, call: Callable[[], Any], what: str, *, allowed: tuple[int, ...] = (), raw: tuple[int, ...] = ()
    ) -> Any:
        try:
            return self.waiting.insist(call, what)
        except RefusedError as error:
            if error.status in allowed:
                return None
            if error.status in raw:
                raise
            if error.status == 404:
                msg = f"{what}: there is no such endpoint (deleted, or never made)"
                raise EndpointMissingError(msg) from error
            raise refusal(error, what) from error

    def _name(self, endpoint: str) -> str:
        name = self.names.get(endpoint, "")
        region_of(endpoint, name)
        return name


def vertex_serving(site: VertexSite, *, counts: CountSource | None = None) -> RemoteServing:
    """Return the back end."""
    return RemoteServing(site, counts=counts)
