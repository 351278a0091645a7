"""Serving by plain Deployments behind a Gateway API HTTPRoute whose weights are moved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.kubernetes.objects import DEPLOYMENT, KubernetesObjects, Resource
from airflow_mlops.backends.serving.kubernetes.state import EndpointBook, Page
from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.backends.serving.remote.state import Release, RemoteState
from airflow_mlops.core.errors import EndpointMissingError, ServiceUnavailableError, TrafficConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_mlops.backends.serving.kubernetes.objects import Json
    from airflow_mlops.backends.serving.remote.backend import CountSource
    from airflow_mlops.backends.serving.remote.model_store import ModelStore

ROUTE = Resource(group="gateway.networking.k8s.io", version="v1", plural="httproutes", kind="HTTPRoute")


class RouteSite:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.Site` over HTTPRoutes.

    The route, and a Service and a Deployment of one name per version, are made by others. Every rule of
    the route that leads to such Services is split; other rules are left alone.

    :param services: names of Services, a template such as ``{endpoint}-v{version}``.
    :param port: of the Services, where a rule has no back end to take it from.
    :param replicas: pods of a version that is started while its Deployment has none.
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
        self.waiting = objects.waiting
        self.book = EndpointBook(objects, ROUTE, names or {}, self._adopt, found=True)
        self.services = services
        self.port = port
        self.replicas = replicas

    def declare(self, sight: Page, state: RemoteState, *, force: bool = False) -> None:
        """Store the intent, then write all weights in one patch."""
        seen, wanted = self._layout_of(sight), layout(state)
        known = {release.source for release in (*sight.state.releases(), *state.releases())}
        if not (force and isinstance(seen, dict) and set(seen) <= known):
            self.book.require_known(sight, seen, wanted)
        self.book.write_note(sight, state, (wanted,) if seen == wanted else (seen, wanted))
        if seen != wanted:
            self.book.write_target(sight, {"spec": {"rules": self._rules(sight, wanted)}})

    def missing(self, sight: Page) -> str:
        """Say which pods or which gateway are not ready yet."""
        canary = sight.state.canary
        if canary is not None and sight.state.phase not in ("draining", "promoting"):
            problem = _unready(self.objects.find(DEPLOYMENT, canary.source))
            if problem:
                return f"Deployment {canary.source}: {problem}"
        return _unaccepted(sight.target or {})

    def percent(self, sight: Page) -> int:
        """Return the canary's share of the weights."""
        seen, canary = self._layout_of(sight), sight.state.canary
        if canary is None or not isinstance(seen, dict):
            return 0
        total = sum(seen.values())
        return round(100 * seen.get(canary.source, 0) / total) if total else 0

    def label(self, sight: Page, release: Release) -> str:
        """Return the Service."""
        return release.source

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Return the Service of a version; its image brings its own model."""
        return self.services.release(endpoint, version)

    def start(self, sight: Page, release: Release) -> None:
        """Give a Deployment without pods its pods.

        :raises EndpointMissingError: there is no such Deployment.
        """
        if self._scale(release, lambda pods: pods or self.replicas) is None:
            msg = f"deployments {self.objects.namespace}/{release.source}: there is none; make it first"
            raise EndpointMissingError(msg)

    def stop(self, sight: Page, releases: tuple[Release, ...]) -> None:
        """Take the pods of Deployments that are out of traffic."""
        for release in releases:
            self._scale(release, lambda _: 0)

    def url(self, endpoint: str) -> str:
        """Return the route's first host name as URL."""
        hosts = (self.book.load(endpoint).target or {})["spec"].get("hostnames") or []
        if not hosts:
            msg = f"endpoint {endpoint!r}: its HTTPRoute names no host"
            raise ServiceUnavailableError(msg)
        return f"http://{hosts[0]}"

    def _scale(self, release: Release, wanted: Callable[[int], int]) -> Json | None:
        """Change a Deployment's pods from what they are; ``None`` if there is no such Deployment."""

        def once() -> Json | None:
            found = self.objects.find(DEPLOYMENT, release.source)
            pods = found["spec"].get("replicas", 1) if found else 0
            if found is not None and wanted(pods) != pods:
                self.objects.patch(DEPLOYMENT, found, {"spec": {"replicas": wanted(pods)}})
            return found

        return self.waiting.again_when_moved(once, f"scale deployments/{release.source}")

    def _adopt(self, page: Page) -> Page:
        seen, endpoint = self._layout_of(page), page.state.endpoint
        if not seen:
            return replace(page, layouts=(seen,))
        if not isinstance(seen, dict) or len([name for name in seen if seen[name]]) != 1:
            msg = f"{endpoint}: {seen} is there: a split made by others; end it first"
            raise TrafficConflictError(msg)
        service = next(name for name in seen if seen[name])
        stable = Release(version=self.services.version_at(endpoint, service), source=service)
        return replace(page, state=replace(page.state, stable=stable), layouts=(seen,))

    def _layout_of(self, page: Page) -> Any:
        """Return weight by Service; the weights of each rule if they differ."""
        rules = [rule for rule in _rules(page) if self._is_ours(page, rule)]
        found = [
            {ref["name"]: ref.get("weight", 1) for ref in rule.get("backendRefs") or []} for rule in rules
        ]
        if not found:
            msg = f"{page.state.endpoint}: no rule of the HTTPRoute leads to its Services"
            raise TrafficConflictError(msg)
        return found[0] if all(weights == found[0] for weights in found) else found

    def _is_ours(self, page: Page, rule: Json) -> bool:
        refs = rule.get("backendRefs") or []
        known = {release.source for release in page.state.releases()}
        endpoint = page.state.endpoint
        return not refs or any(
            ref["name"] in known or self.services.version_at(endpoint, ref["name"]) != ref["name"]
            for ref in refs
        )

    def _rules(self, page: Page, wanted: Json) -> list[Json]:
        """Return all rules: a merge patch replaces the list as a whole."""
        return [self._split(rule, wanted) if self._is_ours(page, rule) else rule for rule in _rules(page)]

    def _split(self, rule: Json, wanted: Json) -> Json:
        refs = {ref["name"]: ref for ref in rule.get("backendRefs") or []}
        port = next((ref["port"] for ref in refs.values() if "port" in ref), self.port)
        split = [
            {**refs.get(name, {"name": name, "port": port}), "weight": weight}
            for name, weight in wanted.items()
        ]
        return {**rule, "backendRefs": split}


def layout(state: RemoteState) -> dict[str, int]:
    """Return weight by Service; with a canary both are named, even at 0."""
    if state.canary is None:
        return {} if state.stable is None else {state.stable.source: 100}
    if state.stable is None:
        return {state.canary.source: 100}
    return {state.stable.source: 100 - state.percent, state.canary.source: state.percent}


def _rules(page: Page) -> list[Json]:
    found: list[Json] = (page.target or {})["spec"].get("rules") or []
    return found


def _unready(deployment: Json | None) -> str:
    if deployment is None:
        return "there is none"
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "its last change is not seen yet"
    up = status.get("availableReplicas", 0)
    return "" if wanted and up >= wanted else f"{up} of {wanted} pods can serve"


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


def http_route_serving(site: RouteSite, *, counts: CountSource | None = None) -> RemoteServing:
    """Return the back end."""
    return RemoteServing(site, counts=counts)
