"""Vertex AI platform: one deployed model per version, traffic split by compare-and-set on the etag."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.backends.serving.remote.state import Release, RemoteState
from airflow_mlops.backends.serving.vertex.labels import deployed_id, region_of, traffic_split
from airflow_mlops.core.errors import ServiceUnavailableError, TrafficConflictError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.backend import CountSource
    from airflow_mlops.backends.serving.remote.platform import Json
    from airflow_mlops.backends.serving.vertex.state import VertexSnapshot, VertexStateStore


class VertexPlatform:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.RemotePlatform` over Vertex AI.

    Deployments are idempotent: the id of a deployed model follows from endpoint and version.

    :param deployed_model: machine, replicas, accelerators, service account; passed on unchanged.
    """

    def __init__(self, store: VertexStateStore, *, deployed_model: Json | None = None) -> None:
        self.store = store
        self.retrier = store.retrier
        self.deployed_model = dict(deployed_model or {})

    def declare(self, snapshot: VertexSnapshot, state: RemoteState, *, force: bool = False) -> None:
        """Write state and split in one update."""
        seen, wanted = snapshot.split(), traffic_split(state)
        known = {release.source for release in (*snapshot.state.releases(), *state.releases())}
        if seen not in (traffic_split(snapshot.state), wanted) and not (force and set(seen) <= known):
            msg = (
                f"{state.endpoint}: split {json.dumps(seen)} is there, "
                f"last written was {json.dumps(traffic_split(snapshot.state))}; "
                "changed by another writer, nothing was overwritten"
            )
            raise TrafficConflictError(msg)
        self.store.write(snapshot, state, wanted)

    def missing(self, snapshot: VertexSnapshot) -> str:
        """Say what is not in effect yet."""
        up = snapshot.deployed()
        gone = [r.version for r in (snapshot.state.stable, snapshot.state.canary) if r and r.source not in up]
        if gone:
            return f"version {gone[0]} is not deployed"
        wanted = traffic_split(snapshot.state)
        return "" if snapshot.split() == wanted else f"split is {snapshot.split()}, requested: {wanted}"

    def percent(self, snapshot: VertexSnapshot) -> int:
        """Return the canary's share."""
        canary = snapshot.state.canary
        return snapshot.split().get(canary.source, 0) if canary else 0

    def changed(self, snapshot: VertexSnapshot) -> str:
        """Say which deployed models get requests that were not deployed by a rollout."""
        known = {release.source for release in snapshot.state.releases()}
        others = sorted(source for source, share in snapshot.split().items() if share and source not in known)
        return f"{', '.join(others)} gets requests beside versions that were deployed" if others else ""

    def make_room(self, snapshot: VertexSnapshot, percent: int) -> str:
        """Do nothing: Vertex AI scales deployed models by their requests."""
        return ""

    def label(self, snapshot: VertexSnapshot, release: Release) -> str:
        """Return the deployed model's id."""
        return release.source

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Return the deployed model of a version; the model must be in Vertex AI's model registry."""
        return Release(version=version, source=deployed_id(endpoint, version))

    def start(
        self, snapshot: VertexSnapshot, release: Release, *, meanwhile: Callable[[], None] = lambda: None
    ) -> Release:
        """Deploy out of traffic; resume a deployment that was begun before."""
        endpoint = snapshot.state.endpoint
        if release.source in snapshot.deployed():
            return release
        what = f"deploy version {release.version} on {endpoint}"
        begun, _, operation = snapshot.state.mark.partition(" ")
        if begun == release.source:
            self._wait(operation, what, unmark=endpoint, meanwhile=meanwhile)
            if release.source in self.store.load(endpoint).deployed():
                return release
        if operation := self._deploy(endpoint, release):
            self._wait(operation, what, unmark=endpoint, meanwhile=meanwhile)
        self.retrier.wait_until(
            lambda: (
                "" if release.source in self.store.load(endpoint).deployed() else "it is not deployed yet"
            ),
            what,
        )
        return release

    def stop(self, snapshot: VertexSnapshot, releases: tuple[Release, ...]) -> None:
        """Undeploy versions that are out of traffic."""
        name = self.store.name(snapshot.state.endpoint)
        for release in releases:
            if release.source not in snapshot.deployed():
                continue
            what = f"undeploy version {release.version} from {name}"
            undeploy = partial(self.store.client.undeploy, name, release.source)
            operation = self.store.call(undeploy, what, allowed=(404,))
            if operation:
                self._wait(operation, what)

    def url(self, endpoint: str) -> str:
        """Return the URL of predictions."""
        name = self.store.name(endpoint)
        return f"https://{region_of(endpoint, name)}-aiplatform.googleapis.com/v1/{name}:predict"

    def _deploy(self, endpoint: str, release: Release) -> str:
        name = self.store.name(endpoint)
        body = {
            **self.deployed_model,
            "id": release.source,
            "display_name": f"{endpoint} {release.version}",
            "model": self.store.models.release(endpoint, release.version).source,
        }
        what = f"deploy version {release.version} on {name}"
        operation = str(
            self.store.call(lambda: self.store.client.deploy(name, body), what, allowed=(409,)) or ""
        )
        if operation:
            self._mark(endpoint, f"{release.source} {operation}")
        return operation

    def _mark(self, endpoint: str, mark: str) -> None:
        def once() -> None:
            snapshot = self.store.load(endpoint)
            self.store.save(snapshot, replace(snapshot.state, mark=mark))

        self.retrier.retry_on_conflict(once, f"change {endpoint}")

    def _wait(
        self,
        operation: str,
        what: str,
        *,
        unmark: str = "",
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        ended: list[str] = []

        def missing() -> str:
            meanwhile()
            # Vertex AI deletes operations some time after they ended
            found = self.store.call(lambda: self.store.client.operation(operation), what, allowed=(404,))
            done, error = found or (True, "")
            ended[:] = [error] if done else []
            return "" if done else f"operation {operation} is running"

        self.retrier.wait_until(missing, what)
        if unmark:
            self._mark(unmark, "")
        if ended[0]:
            msg = f"{what}: {ended[0]}"
            raise ServiceUnavailableError(msg)


def vertex_serving(platform: VertexPlatform, *, counts: CountSource | None = None) -> RemoteServing:
    """Return the serving back end over Vertex AI."""
    return RemoteServing(platform, counts=counts)
