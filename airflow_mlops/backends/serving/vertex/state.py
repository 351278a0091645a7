"""A Vertex AI endpoint: read as a whole, its labels and its split written together under one etag."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.backends.serving.remote.retry import MovedError, RefusedError, Waiting, refusal
from airflow_mlops.backends.serving.remote.state import Release, RemoteState, forgotten
from airflow_mlops.backends.serving.vertex.labels import read_labels, region_of, write_labels
from airflow_mlops.core.errors import EndpointMissingError, TrafficConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_mlops.backends.serving.remote.model_store import ModelStore

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


class VertexBook:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.Book` over endpoints' labels.

    Labels change together with the split, under one etag.

    :param models: resource name per version, ``projects/…/models/{endpoint}@{version}``.
    :param names: resource name per endpoint, ``projects/…/locations/…/endpoints/…``.
    """

    def __init__(
        self, client: EndpointsClient, models: ModelStore, waiting: Waiting, names: Mapping[str, str]
    ) -> None:
        self.client = client
        self.models = models
        self.waiting = waiting
        self.names = dict(names)

    def endpoints(self) -> list[str]:
        """Return the endpoints that have a resource name."""
        return sorted(self.names)

    def name(self, endpoint: str) -> str:
        """Return the resource name.

        :raises InvalidConfigError: there is none, or it is none.
        """
        name = self.names.get(endpoint, "")
        region_of(endpoint, name)
        return name

    def load(self, endpoint: str) -> Sight:
        """Read; an endpoint set up by others serves the version of its only deployed model."""
        sight = self._look(endpoint)
        stable = sight.state.stable
        if stable is not None and stable.source not in sight.deployed():
            msg = f"{self.name(endpoint)}: version {stable.version} was undeployed while it served"
            raise EndpointMissingError(msg)
        return sight

    def load_or_forget(self, endpoint: str) -> Sight:
        """Read; versions that others undeployed are forgotten."""
        sight = self._look(endpoint)
        stable = sight.state.stable
        if stable is None or stable.source in sight.deployed():
            return sight
        return replace(sight, state=forgotten(sight.state))

    def remember(self, sight: Sight, state: RemoteState) -> None:
        """Store a state that moves no traffic."""
        self.write(sight, state, sight.found["traffic_split"])

    def _look(self, endpoint: str) -> Sight:
        name = self.name(endpoint)
        found = self.call(lambda: self.client.get(name), f"get {name}")
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

    def write(self, sight: Sight, state: RemoteState, split: Mapping[str, int]) -> None:
        """Write state and split unless they are so already.

        :raises MovedError: the etag is another one now.
        """
        labels = write_labels(sight.found["labels"], state)
        if labels == sight.found["labels"] and dict(split) == sight.found["traffic_split"]:
            return
        name, etag = self.name(state.endpoint), sight.found["etag"]

        def write() -> None:
            self.client.update(name, etag=etag, labels=labels, split=dict(split))

        try:
            self.call(write, f"update {name}", raw=(400, 409, 412))
        except RefusedError as error:
            if self.call(lambda: self.client.get(name), f"get {name}")["etag"] != etag:
                raise MovedError(name) from error
            raise refusal(error, f"update {name}") from error

    def call(
        self, call: Callable[[], Any], what: str, *, allowed: tuple[int, ...] = (), raw: tuple[int, ...] = ()
    ) -> Any:
        """Call until it is answered; refusals become named errors.

        :param what: verb and object, for the message.
        :param allowed: refusals that are answered with ``None``.
        :param raw: refusals that are raised as they are.
        """
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
