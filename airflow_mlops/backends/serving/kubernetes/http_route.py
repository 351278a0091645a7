"""Platform of plain Deployments behind a Gateway API HTTPRoute that splits traffic by weight."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.kubernetes.http_rules import RouteRules
from airflow_mlops.backends.serving.kubernetes.objects import (
    DEPLOYMENT,
    KubernetesObjects,
    Resource,
    is_going,
)
from airflow_mlops.backends.serving.kubernetes.pods import images, template_digest, unready
from airflow_mlops.backends.serving.kubernetes.state import KubernetesSnapshot, KubernetesStateStore
from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.backends.serving.remote.state import Release, RemotePhase, RemoteState
from airflow_mlops.core.errors import EndpointMissingError, ServiceUnavailableError, TrafficConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.backend import CountSource
    from airflow_mlops.backends.serving.remote.model_store import ModelStore
    from airflow_mlops.backends.serving.remote.platform import Json

_ROUTE = Resource(group="gateway.networking.k8s.io", version="v1", plural="httproutes", kind="HTTPRoute")


class HttpRoutePlatform:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.RemotePlatform` over HTTPRoutes.

    The route, and a Service and a Deployment of the same name per version, are created by others. Every rule
    of the route that leads to such Services is split; other rules are not changed. A canary is given its
    share of the champion's replicas before its share of the requests.

    :param services: names of Services, a template such as ``{endpoint}-v{version}``.
    :param port: port of the Services, for a rule that names none yet.
    :param replicas: replicas of a Deployment that is started from 0.
    """

    def __init__(
        self,
        objects: KubernetesObjects,
        services: ModelStore,
        *,
        names: Mapping[str, str] | None = None,
        port: int = 80,
        replicas: int = 1,
    ) -> None:
        self.objects = objects
        self.retrier = objects.retrier
        self.store = KubernetesStateStore(
            objects, _ROUTE, names or {}, self._adopt, layout_of=self._layout_of, must_exist=True
        )
        self.services = services
        self.port = port
        self.replicas = replicas

    def declare(self, snapshot: KubernetesSnapshot, state: RemoteState, *, force: bool = False) -> None:
        """Store the state, then write all weights in one patch."""
        seen, wanted = self._layout_of(snapshot), service_weights(state)
        known = {release.source for release in (*snapshot.state.releases(), *state.releases())}
        if not (force and isinstance(seen, dict) and set(seen) <= known):
            self.store.require_known(snapshot, seen, wanted)
        if not force:
            self._require_pods(snapshot, state, seen, wanted)
        self.store.write_state(snapshot, state, (wanted,) if seen == wanted else (seen, wanted))
        if seen != wanted:
            self.store.write_target(snapshot, {"spec": {"rules": self._rules(snapshot).split(wanted)}})

    def missing(self, snapshot: KubernetesSnapshot) -> str:
        """Say which Deployment or which gateway is not ready yet."""
        canary = snapshot.state.canary
        if canary is not None and snapshot.state.phase not in ("draining", "promoting"):
            problem = unready(self.objects.find(DEPLOYMENT, canary.source))
            if problem:
                return f"Deployment {canary.source}: {problem}"
        return _unaccepted(snapshot.target or {})

    def percent(self, snapshot: KubernetesSnapshot) -> int:
        """Return the canary's share of the weights."""
        seen, canary = self._layout_of(snapshot), snapshot.state.canary
        if canary is None or not isinstance(seen, dict):
            return 0
        total = sum(seen.values())
        return round(100 * seen.get(canary.source, 0) / total) if total else 0

    def changed(self, snapshot: KubernetesSnapshot) -> str:
        """Say which backend gets requests, or which pods serve, that were not put there by a rollout."""
        seen, canary = self._layout_of(snapshot), snapshot.state.canary
        known = {release.source for release in snapshot.state.releases()}
        if canary is None:
            return ""
        weights: dict[str, int] = seen if isinstance(seen, dict) else {}
        others = sorted(name for name, weight in weights.items() if weight and name not in known)
        if others:
            return f"{', '.join(others)} gets requests beside versions that were deployed"
        return self._changed_pods(canary)

    def make_room(self, snapshot: KubernetesSnapshot, percent: int) -> str:
        """Scale the canary's Deployment up to its share of the champion's replicas; never down."""
        canary, stable = snapshot.state.canary, snapshot.state.stable
        if canary is None or stable is None or self._changed_pods(canary):
            return ""
        champion = self.objects.find(DEPLOYMENT, stable.source)
        share = math.ceil(champion["spec"].get("replicas", 1) * percent / 100) if champion else 0
        problem = unready(self._scale(canary, lambda replicas: max(replicas, share)))
        return f"Deployment {canary.source}: {problem}" if problem else ""

    def label(self, snapshot: KubernetesSnapshot, release: Release) -> str:
        """Return the Service's name."""
        return release.source

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Return the Service of a version; the model is part of its image."""
        return self.services.release(endpoint, version)

    def start(
        self, snapshot: KubernetesSnapshot, release: Release, *, meanwhile: Callable[[], None] = lambda: None
    ) -> Release:
        """Scale a Deployment up from 0; one that is being deleted is waited out first.

        The release remembers the pod template, unless it does already.

        :raises EndpointMissingError: the Deployment does not exist.
        """

        def going() -> str:
            meanwhile()
            found = self.objects.find(DEPLOYMENT, release.source)
            return "it is being deleted" if is_going(found) else ""

        self.retrier.wait_until(going, f"Deployment {release.source}")
        found = self._scale(release, lambda replicas: replicas or self.replicas)
        if found is None:
            msg = f"deployments {self.objects.namespace}/{release.source}: not found; create it first"
            raise EndpointMissingError(msg)
        return replace(release, pods=release.pods or template_digest(found))

    def stop(self, snapshot: KubernetesSnapshot, releases: tuple[Release, ...]) -> None:
        """Scale Deployments that are out of traffic to 0."""
        for release in releases:
            self._scale(release, lambda _: 0)

    def url(self, endpoint: str) -> str:
        """Return the URL of the route's first host name."""
        hosts = (self.store.load(endpoint).target or {})["spec"].get("hostnames") or []
        if not hosts:
            msg = f"endpoint {endpoint!r}: its HTTPRoute names no host"
            raise ServiceUnavailableError(msg)
        return f"http://{hosts[0]}"

    def _scale(self, release: Release, wanted: Callable[[int], int]) -> Json | None:
        """Change a Deployment's replicas by compare-and-set; return it, ``None`` if it does not exist."""

        def once() -> Json | None:
            found = self.objects.find(DEPLOYMENT, release.source)
            replicas = found["spec"].get("replicas", 1) if found else 0
            if found is not None and wanted(replicas) != replicas:
                return self.objects.patch(DEPLOYMENT, found, {"spec": {"replicas": wanted(replicas)}})
            return found

        return self.retrier.retry_on_conflict(once, f"scale deployments/{release.source}")

    def _adopt(self, snapshot: KubernetesSnapshot) -> KubernetesSnapshot:
        seen, endpoint = self._layout_of(snapshot), snapshot.state.endpoint
        if not seen:
            return replace(snapshot, layouts=(seen,))
        if not isinstance(seen, dict) or len([name for name in seen if seen[name]]) != 1:
            msg = f"{endpoint}: {seen} is there: a split made by others; end it first"
            raise TrafficConflictError(msg)
        service = next(name for name in seen if seen[name])
        stable = Release(version=self.services.version_at(endpoint, service), source=service)
        return replace(snapshot, state=replace(snapshot.state, stable=stable), layouts=(seen,))

    def _layout_of(self, snapshot: KubernetesSnapshot) -> Any:
        """Return the weight of each Service; a list with those of each rule if the rules differ."""
        found = self._rules(snapshot).weights()
        if not found:
            msg = f"{snapshot.state.endpoint}: no rule of the HTTPRoute leads to its Services"
            raise TrafficConflictError(msg)
        return found[0] if all(weights == found[0] for weights in found) else found

    def _rules(self, snapshot: KubernetesSnapshot) -> RouteRules:
        known = {release.source for release in snapshot.state.releases()}
        endpoint = snapshot.state.endpoint
        return RouteRules(
            (snapshot.target or {})["spec"].get("rules") or [],
            namespace=self.objects.namespace,
            is_ours=lambda name: name in known or self.services.version_at(endpoint, name) != name,
            port=self.port,
        )

    def _require_pods(
        self, snapshot: KubernetesSnapshot, state: RemoteState, seen: Any, wanted: Json
    ) -> None:
        """Refuse more traffic, and the promotion, for pods that others changed; less is always allowed.

        :raises TrafficConflictError: names the Deployment and its images now.
        """
        canary = snapshot.state.canary
        if canary is None:
            return
        has = seen.get(canary.source, 0) if isinstance(seen, dict) else 0
        rises = wanted.get(canary.source, 0) > has or state.phase is RemotePhase.PROMOTING
        changed = self._changed_pods(canary) if rises else ""
        if changed:
            msg = f"{state.endpoint}: {changed}; changed by another writer, nothing was overwritten"
            raise TrafficConflictError(msg)

    def _changed_pods(self, release: Release) -> str:
        found = self.objects.find(DEPLOYMENT, release.source) if release.pods else None
        if found is None or template_digest(found) == release.pods:
            return ""
        return (
            f"Deployment {release.source} has another pod template (image {images(found)}) than the one "
            f"with which version {release.version} was deployed"
        )


def service_weights(state: RemoteState) -> dict[str, int]:
    """Return the weight of each Service; beside a canary both are named, even at 0."""
    if state.canary is None:
        return {} if state.stable is None else {state.stable.source: 100}
    if state.stable is None:
        return {state.canary.source: 100}
    return {state.stable.source: 100 - state.percent, state.canary.source: state.percent}


def _unaccepted(route: Json) -> str:
    parents: list[Json] = route.get("status", {}).get("parents") or []
    if not parents:
        return "no gateway has taken the route"
    for parent in parents:
        for found in parent["conditions"]:
            if found["type"] in ("Accepted", "ResolvedRefs") and (
                found["status"] != "True"
                or found.get("observedGeneration", 0) < route["metadata"]["generation"]
            ):
                return f"{parent['controllerName']}: {found['type']} {found['status']} ({found['message']})"
    return ""


def http_route_serving(platform: HttpRoutePlatform, *, counts: CountSource | None = None) -> RemoteServing:
    """Return the serving back end over HTTPRoutes."""
    return RemoteServing(platform, counts=counts)
