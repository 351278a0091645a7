"""Serving by Vertex AI: one endpoint, one deployed model per version, traffic split with its etag."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.backends.serving.remote.state import Release, RemoteState
from airflow_mlops.backends.serving.vertex.labels import deployed_id, layout, region_of
from airflow_mlops.core.errors import ServiceUnavailableError, TrafficConflictError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.backend import CountSource
    from airflow_mlops.backends.serving.vertex.state import Json, Sight, VertexBook


class VertexSite:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.Site` over Vertex AI endpoints.

    Roles and holder live in the endpoint's labels, so that they change together with the split, under one
    etag. The id of a deployed model follows from endpoint and version: no retry can deploy twice.

    :param deployed_model: passed on as it is: machine, replicas, accelerators, service account.
    """

    def __init__(self, book: VertexBook, *, deployed_model: Json | None = None) -> None:
        self.book = book
        self.waiting = book.waiting
        self.deployed_model = dict(deployed_model or {})

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
        self.book.write(sight, state, wanted)

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
            if release.source in self.book.load(endpoint).deployed():
                return
        if operation := self._deploy(endpoint, release):
            self._wait(operation, what, forget=endpoint)
        self.waiting.until(
            lambda: "" if release.source in self.book.load(endpoint).deployed() else "it is not deployed yet",
            what,
        )

    def stop(self, sight: Sight, releases: tuple[Release, ...]) -> None:
        """Undeploy versions that are out of traffic."""
        name = self.book.name(sight.state.endpoint)
        for release in releases:
            if release.source not in sight.deployed():
                continue
            what = f"undeploy version {release.version} from {name}"
            undeploy = partial(self.book.client.undeploy, name, release.source)
            operation = self.book.call(undeploy, what, allowed=(404,))
            if operation:
                self._wait(operation, what)

    def url(self, endpoint: str) -> str:
        """Return the URL of predictions."""
        name = self.book.name(endpoint)
        return f"https://{region_of(endpoint, name)}-aiplatform.googleapis.com/v1/{name}:predict"

    def _deploy(self, endpoint: str, release: Release) -> str:
        name = self.book.name(endpoint)
        body = {
            **self.deployed_model,
            "id": release.source,
            "display_name": f"{endpoint} {release.version}",
            "model": self.book.models.release(endpoint, release.version).source,
        }
        what = f"deploy version {release.version} on {name}"
        operation = str(
            self.book.call(lambda: self.book.client.deploy(name, body), what, allowed=(409,)) or ""
        )
        if operation:
            self._mark(endpoint, f"{release.source} {operation}")
        return operation

    def _mark(self, endpoint: str, mark: str) -> None:
        def once() -> None:
            sight = self.book.load(endpoint)
            self.book.remember(sight, replace(sight.state, mark=mark))

        self.waiting.again_when_moved(once, f"change {endpoint}")

    def _wait(self, operation: str, what: str, *, forget: str = "") -> None:
        ended: list[str] = []

        def missing() -> str:
            # an operation that is known no more has ended long ago
            answer = self.book.call(lambda: self.book.client.operation(operation), what, allowed=(404,))
            done, error = answer or (True, "")
            ended[:] = [error] if done else []
            return "" if done else f"operation {operation} is running"

        self.waiting.until(missing, what)
        if forget:
            self._mark(forget, "")
        if ended[0]:
            msg = f"{what}: {ended[0]}"
            raise ServiceUnavailableError(msg)


def vertex_serving(site: VertexSite, *, counts: CountSource | None = None) -> RemoteServing:
    """Return the back end."""
    return RemoteServing(site, counts=counts)
