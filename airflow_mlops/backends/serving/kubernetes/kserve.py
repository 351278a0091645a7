"""KServe platform: an InferenceService per endpoint, in Knative or Standard mode."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.kubernetes.kserve_modes import KnativeMode, StandardMode, rolled_out
from airflow_mlops.backends.serving.kubernetes.objects import DEPLOYMENT, KubernetesObjects, Resource
from airflow_mlops.backends.serving.kubernetes.state import KubernetesSnapshot, KubernetesStateStore
from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.backends.serving.remote.state import Release, RemoteState
from airflow_mlops.core.errors import (
    EndpointMissingError,
    InvalidConfigError,
    ServiceUnavailableError,
    TrafficConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.backend import CountSource
    from airflow_mlops.backends.serving.remote.model_store import ModelStore
    from airflow_mlops.backends.serving.remote.platform import Json

_INFERENCE_SERVICE = Resource(
    group="serving.kserve.io", version="v1beta1", plural="inferenceservices", kind="InferenceService"
)
_MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
_MODES = {
    "Knative": "Knative",
    "Serverless": "Knative",
    "Standard": "Standard",
    "RawDeployment": "Standard",
}


class KservePlatform:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.RemotePlatform` over KServe.

    :param predictor: ``spec.predictor`` of an InferenceService that is created; without it, the
        InferenceService must exist already.
    :param mode: deployment mode of an InferenceService that names none: ``Knative`` or ``Standard``.
    """

    def __init__(
        self,
        objects: KubernetesObjects,
        models: ModelStore,
        *,
        names: Mapping[str, str] | None = None,
        predictor: Json | None = None,
        mode: str = "Standard",
    ) -> None:
        if mode not in _MODES:
            msg = f"KServe deployment mode {mode!r}; allowed: {', '.join(_MODES)}"
            raise InvalidConfigError(msg)
        self.objects = objects
        self.retrier = objects.retrier
        self.store = KubernetesStateStore(
            objects, _INFERENCE_SERVICE, names or {}, self._adopt, layout_of=self._layout_of
        )
        self.models = models
        self.predictor = predictor
        self.default_mode = _MODES[mode]

    def declare(self, snapshot: KubernetesSnapshot, state: RemoteState, *, force: bool = False) -> None:
        """Store the state, then patch model and percent together."""
        mode, target = self._mode(snapshot.target), snapshot.target
        seen = mode.layout_of(target) if target else None
        wanted = mode.layout(state)
        if target and wanted and isinstance(mode, KnativeMode) and mode.restores_at_once(target, state):
            wanted = {**wanted, "percent": None}
        self._require_ours(snapshot, state, seen, wanted, force=force)
        if target and wanted and mode.sources(seen) != mode.sources(wanted):
            state = replace(state, mark=mode.newest(target))
        if target and wanted and wanted.get("canary"):
            _require_annotation(target)
        layouts = (wanted,) if seen == wanted else (seen, wanted)
        self.store.write_state(snapshot, state, layouts)
        if seen != wanted:
            self._write(snapshot, wanted)

    def missing(self, snapshot: KubernetesSnapshot) -> str:
        """Say what KServe has not put into effect yet."""
        if snapshot.target is None:
            serves = snapshot.state.stable or snapshot.state.canary
            return "there is no InferenceService" if serves else ""
        mode = self._mode(snapshot.target)
        problem = mode.missing(snapshot.target, snapshot.state)
        uri = mode.rollout_of(snapshot.state) if isinstance(mode, StandardMode) else None
        if problem or uri is None:
            return problem
        name = f"{self.store.name(snapshot.state.endpoint)}-predictor"
        return rolled_out(self.objects.find(DEPLOYMENT, name), uri)

    def percent(self, snapshot: KubernetesSnapshot) -> int:
        """Return the canary's share as KServe reports it."""
        if snapshot.target is None:
            return 0
        return self._mode(snapshot.target).percent(snapshot.target, snapshot.state)

    def changed(self, snapshot: KubernetesSnapshot) -> str:
        """Say which models are there in place of those that were written."""
        if snapshot.target is None or snapshot.state.canary is None or not snapshot.layouts:
            return ""
        seen = self._layout_of(snapshot)
        if _models(seen) in [_models(layout) for layout in snapshot.layouts if layout]:
            return ""
        return f"{json.dumps(seen)} is there, last written was {json.dumps(snapshot.layouts[-1])}"

    def make_room(self, snapshot: KubernetesSnapshot, percent: int) -> str:
        """Say whether a canary crashed; how many pods it has is declared with its share."""
        state, target = snapshot.state, snapshot.target
        if target is None or state.canary is None or state.stable is None or self.changed(snapshot):
            return ""
        return self._mode(target).crashed(target, state)

    def label(self, snapshot: KubernetesSnapshot, release: Release) -> str:
        """Return the Knative revision, or the predictor's Service in Standard mode."""
        if snapshot.target is None or release not in (snapshot.state.stable, snapshot.state.canary):
            return ""
        return self._mode(snapshot.target).label(snapshot.target, snapshot.state, release)

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Upload the model to where KServe loads it from, if that is configured."""
        return self.models.publish(endpoint, version, model_dir)

    def start(
        self, snapshot: KubernetesSnapshot, release: Release, *, meanwhile: Callable[[], None] = lambda: None
    ) -> Release:
        """Wait until an InferenceService that is being deleted is gone; KServe starts what is declared."""
        endpoint = snapshot.state.endpoint

        def going() -> str:
            meanwhile()
            return "the InferenceService is being deleted" if self.store.read(endpoint).going else ""

        if snapshot.going:
            self.retrier.wait_until(going, endpoint)
        return release

    def stop(self, snapshot: KubernetesSnapshot, releases: tuple[Release, ...]) -> None:
        """Do nothing: KServe stops what is no longer declared."""

    def url(self, endpoint: str) -> str:
        """Return the URL in the InferenceService's status."""
        target = self.store.read(endpoint).target or {}
        url = target.get("status", {}).get("url")
        if not url:
            msg = f"endpoint {endpoint!r} has no URL yet in namespace {self.objects.namespace}"
            raise ServiceUnavailableError(msg)
        return str(url)

    def _adopt(self, snapshot: KubernetesSnapshot) -> KubernetesSnapshot:
        mode, endpoint = self._mode(snapshot.target), snapshot.state.endpoint
        seen = mode.layout_of(snapshot.target or {})
        plain = {"uri": seen["uri"]}
        if any(value is not None for key, value in seen.items() if key != "uri"):
            msg = f"{endpoint}: {json.dumps(seen)} is there: a canary made by others; end it first"
            raise TrafficConflictError(msg)
        stable = Release(version=self.models.version_at(endpoint, plain["uri"]), source=plain["uri"])
        return replace(snapshot, state=replace(snapshot.state, stable=stable), layouts=(seen,))

    def _layout_of(self, snapshot: KubernetesSnapshot) -> Any:
        return self._mode(snapshot.target).layout_of(snapshot.target or {})

    def _mode(self, target: Json | None) -> KnativeMode | StandardMode:
        found = target or {}
        said = found.get("status", {}).get("deploymentMode") or (
            found.get("metadata", {}).get("annotations") or {}
        ).get(_MODE_ANNOTATION)
        mode = _MODES.get(said) if said else self.default_mode
        if mode is None:
            msg = f"{found['metadata']['name']}: deployment mode {said!r}; allowed: {', '.join(_MODES)}"
            raise InvalidConfigError(msg)
        return KnativeMode() if mode == "Knative" else StandardMode()

    def _require_ours(
        self, snapshot: KubernetesSnapshot, state: RemoteState, seen: Any, wanted: Any, *, force: bool
    ) -> None:
        if seen is None:
            return
        mode = self._mode(snapshot.target)
        known = {release.source for release in (*snapshot.state.releases(), *state.releases())}
        if not (force and mode.sources(seen) <= known):
            self.store.require_known(snapshot, seen, wanted)

    def _write(self, snapshot: KubernetesSnapshot, wanted: Any) -> None:
        name = self.store.name(snapshot.state.endpoint)
        if wanted is None:
            if snapshot.target is not None:
                self.objects.delete(_INFERENCE_SERVICE, snapshot.target)
        elif snapshot.target is None:
            self.objects.create(_INFERENCE_SERVICE, name, self._new_body(name, wanted["uri"]))
        else:
            self._patch(snapshot.target, wanted)

    def _patch(self, target: Json, wanted: Any) -> None:
        mode, name = self._mode(target), target["metadata"]["name"]
        patched = self.objects.patch(_INFERENCE_SERVICE, target, {"spec": mode.change(target, wanted)})
        if mode.layout_of(patched) != wanted:
            msg = f"{name}: the API server dropped the canary; Standard mode has canaries from KServe 0.20 on"
            raise InvalidConfigError(msg)

    def _new_body(self, name: str, uri: str) -> Json:
        if self.predictor is None:
            where = f"{self.objects.namespace}/{name}"
            msg = f"inferenceservices {where}: not found; create it, or give 'predictor'"
            raise EndpointMissingError(msg)
        predictor = copy.deepcopy(self.predictor)
        predictor.setdefault("model", {})["storageUri"] = uri
        return {
            "metadata": {"annotations": {_MODE_ANNOTATION: self.default_mode}},
            "spec": {"predictor": predictor},
        }


def kserve_serving(platform: KservePlatform, *, counts: CountSource | None = None) -> RemoteServing:
    """Return the serving back end over KServe."""
    return RemoteServing(platform, counts=counts)


def _require_annotation(target: Json) -> None:
    says = (target["metadata"].get("annotations") or {}).get(_MODE_ANNOTATION)
    if says != "Standard":
        name = target["metadata"]["name"]
        msg = (
            f"{name}: KServe takes a canary only with annotation {_MODE_ANNOTATION}: Standard; it is {says!r}"
        )
        raise InvalidConfigError(msg)


def _models(layout: Json) -> Json:
    """Return a layout of either mode without its shares."""
    canary = layout.get("canary")
    found = canary if isinstance(canary, list) else [canary] if canary else []
    return {"uri": layout["uri"], "canary": [entry["uri"] for entry in found]}
