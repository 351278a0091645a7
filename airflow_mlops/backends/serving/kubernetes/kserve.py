"""Serving by KServe: an InferenceService per endpoint, in either of its two deployment modes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.kubernetes.knative import KnativeMode
from airflow_mlops.backends.serving.kubernetes.objects import DEPLOYMENT, KubernetesObjects, Resource
from airflow_mlops.backends.serving.kubernetes.standard import StandardMode, rolled_out
from airflow_mlops.backends.serving.kubernetes.state import EndpointBook, Page
from airflow_mlops.backends.serving.remote.backend import RemoteServing
from airflow_mlops.backends.serving.remote.state import Release, RemoteState
from airflow_mlops.core.errors import (
    EndpointMissingError,
    InvalidConfigError,
    ServiceUnavailableError,
    TrafficConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_mlops.backends.serving.kubernetes.objects import Json
    from airflow_mlops.backends.serving.remote.backend import CountSource
    from airflow_mlops.backends.serving.remote.model_store import ModelStore

ISVC = Resource(
    group="serving.kserve.io", version="v1beta1", plural="inferenceservices", kind="InferenceService"
)
MODE = "serving.kserve.io/deploymentMode"
MODES = {
    "Knative": "Knative",
    "Serverless": "Knative",
    "Standard": "Standard",
    "RawDeployment": "Standard",
}


class KserveSite:
    """Implements :class:`~airflow_mlops.backends.serving.remote.platform.Site` over InferenceServices.

    :param predictor: ``spec.predictor`` for an InferenceService that has to be made; without it, it has to
        be there already.
    :param mode: deployment mode where the InferenceService does not say; ``Knative`` or ``Standard``.
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
        if mode not in MODES:
            msg = f"KServe deployment mode {mode!r}; allowed: {', '.join(MODES)}"
            raise InvalidConfigError(msg)
        self.objects = objects
        self.waiting = objects.waiting
        self.book = EndpointBook(objects, ISVC, names or {}, self._adopt)
        self.models = models
        self.predictor = predictor
        self.default_mode = MODES[mode]

    def declare(self, sight: Page, state: RemoteState, *, force: bool = False) -> None:
        """Store the intent, then patch model and percent together."""
        mode, target = self._mode(sight.target), sight.target
        seen = mode.layout_of(target) if target else None
        wanted = mode.layout(state)
        self._require_ours(sight, state, seen, wanted, force=force)
        if target and wanted and mode.sources(seen) != mode.sources(wanted):
            state = replace(state, mark=mode.newest(target))
        if target and wanted and wanted.get("canary"):
            _require_annotation(target)
        layouts = (wanted,) if seen == wanted else (seen, wanted)
        self.book.write_note(sight, state, layouts)
        if seen != wanted:
            self._write(sight, wanted)

    def missing(self, sight: Page) -> str:
        """Say what KServe has not done yet."""
        if sight.target is None:
            return "there is no InferenceService" if sight.state.releases() else ""
        mode = self._mode(sight.target)
        problem = mode.missing(sight.target, sight.state)
        uri = mode.rollout_of(sight.state) if isinstance(mode, StandardMode) else None
        if problem or uri is None:
            return problem
        name = f"{self.book.name(sight.state.endpoint)}-predictor"
        return rolled_out(self.objects.find(DEPLOYMENT, name), uri)

    def percent(self, sight: Page) -> int:
        """Return the canary's share as KServe reports it."""
        if sight.target is None:
            return 0
        return self._mode(sight.target).percent(sight.target, sight.state)

    def label(self, sight: Page, release: Release) -> str:
        """Return the Knative revision, or the predictor's Service in Standard mode."""
        if sight.target is None or release not in (sight.state.stable, sight.state.canary):
            return ""
        return self._mode(sight.target).label(sight.target, sight.state, release)

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Put the model where KServe loads it from."""
        return self.models.publish(endpoint, version, model_dir)

    def start(self, sight: Page, release: Release) -> None:
        """Nothing: KServe starts what is declared."""

    def stop(self, sight: Page, releases: tuple[Release, ...]) -> None:
        """Nothing: KServe stops what is declared no more."""

    def url(self, endpoint: str) -> str:
        """Return the URL in the InferenceService's status."""
        target = self.book.look(endpoint).target or {}
        url = target.get("status", {}).get("url")
        if not url:
            msg = f"endpoint {endpoint!r} has no URL yet in namespace {self.objects.namespace}"
            raise ServiceUnavailableError(msg)
        return str(url)

    def _adopt(self, page: Page) -> Page:
        mode, endpoint = self._mode(page.target), page.state.endpoint
        seen = mode.layout_of(page.target or {})
        plain = {"uri": seen["uri"]}
        if any(value is not None for key, value in seen.items() if key != "uri"):
            msg = f"{endpoint}: {json.dumps(seen)} is there: a canary made by others; end it first"
            raise TrafficConflictError(msg)
        stable = Release(version=self.models.version_at(endpoint, plain["uri"]), source=plain["uri"])
        return replace(page, state=replace(page.state, stable=stable), layouts=(seen,))

    def _mode(self, target: Json | None) -> KnativeMode | StandardMode:
        found = target or {}
        said = found.get("status", {}).get("deploymentMode") or (
            found.get("metadata", {}).get("annotations") or {}
        ).get(MODE)
        mode = MODES.get(said) if said else self.default_mode
        if mode is None:
            msg = f"{found['metadata']['name']}: deployment mode {said!r}; allowed: {', '.join(MODES)}"
            raise InvalidConfigError(msg)
        return KnativeMode() if mode == "Knative" else StandardMode()

    def _require_ours(self, sight: Page, state: RemoteState, seen: Any, wanted: Any, *, force: bool) -> None:
        if seen is None:
            return
        mode = self._mode(sight.target)
        known = {release.source for release in (*sight.state.releases(), *state.releases())}
        if not (force and mode.sources(seen) <= known):
            self.book.require_known(sight, seen, wanted)

    def _write(self, sight: Page, wanted: Any) -> None:
        name = self.book.name(sight.state.endpoint)
        if wanted is None:
            if sight.target is not None:
                self.objects.delete(ISVC, sight.target)
        elif sight.target is None:
            self.objects.create(ISVC, name, self._new(name, wanted["uri"]))
        else:
            self._patch(sight.target, wanted)

    def _patch(self, target: Json, wanted: Any) -> None:
        mode, name = self._mode(target), target["metadata"]["name"]
        answer = self.objects.patch(ISVC, target, {"spec": mode.change(target, wanted)})
        if mode.layout_of(answer) != wanted:
            msg = f"{name}: the API server dropped the canary; Standard mode has canaries from KServe 0.20 on"
            raise InvalidConfigError(msg)

    def _new(self, name: str, uri: str) -> Json:
        if self.predictor is None:
            where = f"{self.objects.namespace}/{name}"
            msg = f"inferenceservices {where}: there is none; make it, or say what 'predictor' is to be"
            raise EndpointMissingError(msg)
        predictor = copy.deepcopy(self.predictor)
        predictor.setdefault("model", {})["storageUri"] = uri
        return {"metadata": {"annotations": {MODE: self.default_mode}}, "spec": {"predictor": predictor}}


def kserve_serving(site: KserveSite, *, counts: CountSource | None = None) -> RemoteServing:
    """Return the back end."""
    return RemoteServing(site, counts=counts)


def _require_annotation(target: Json) -> None:
    says = (target["metadata"].get("annotations") or {}).get(MODE)
    if says != "Standard":
        name = target["metadata"]["name"]
        msg = f"{name}: KServe takes a canary only with annotation {MODE}: Standard; it is {says!r}"
        raise InvalidConfigError(msg)
