"""KServe's Standard mode: a second Deployment beside the stable one."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.kubernetes.status import model_of, not_so, not_true, require_loadable
from airflow_mlops.backends.serving.remote.state import Phase, Release, RemoteState

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.kubernetes.objects import Json


class StandardMode:
    """``spec.canary[]``, KServe 0.20 or newer: one more Deployment beside the stable one.

    :param deployments: reads the stable Deployment, by InferenceService name.
    """

    def layout(self, state: RemoteState) -> Any:
        """Return what to write; ``None``: nothing is to serve."""
        if state.stable is None:
            return None if state.canary is None else {"uri": state.canary.source, "canary": None}
        if state.canary is None:
            return {"uri": state.stable.source, "canary": None}
        uri = state.canary.source if state.phase is Phase.PROMOTING else state.stable.source
        canary = {"name": slug(state.canary), "uri": state.canary.source, "percent": state.percent}
        return {"uri": uri, "canary": canary}

    def layout_of(self, target: Json) -> Any:
        """Return what is written; several canaries as they are."""
        found = [
            {
                "name": entry["predictor"].get("name"),
                "uri": (entry["predictor"].get("model") or {}).get("storageUri"),
                "percent": entry["trafficPercent"],
            }
            for entry in target["spec"].get("canary") or []
        ]
        canary = found if len(found) > 1 else next(iter(found), None)
        return {"uri": model_of(target)["storageUri"], "canary": canary}

    def change(self, target: Json, layout: Any) -> Json:
        """Return the spec to merge; lists are replaced as a whole."""
        change: Json = {"predictor": {"model": {"storageUri": layout["uri"]}}, "canary": None}
        if layout["canary"] is not None:
            change["canary"] = [_canary(target, layout["canary"])]
        return change

    def sources(self, layout: Any) -> set[str]:
        """Return the models of a layout."""
        canary = layout["canary"]
        found = canary if isinstance(canary, list) else [canary] if canary else []
        return {layout["uri"], *(entry["uri"] for entry in found)}

    def newest(self, target: Json) -> str:
        """Return nothing: canaries are known by name."""
        return ""

    def label(self, target: Json, state: RemoteState, release: Release) -> str:
        """Return the Service."""
        name, is_canary = target["metadata"]["name"], release == state.canary and state.stable is not None
        return f"{name}-{slug(release)}-predictor" if is_canary else f"{name}-predictor"

    def percent(self, target: Json, state: RemoteState) -> int:
        """Return the canary's share as KServe reports it; it gets none before it is ready."""
        if state.stable is None:
            return 100
        seen = _status_of(target, state.canary)
        return int(seen["trafficPercent"]) if seen.get("ready") else 0

    def missing(self, target: Json, state: RemoteState) -> str:
        """Say what is not so yet, but for the stable Deployment's own rollout."""
        seen = _status_of(target, state.canary)
        if state.phase is Phase.DRAINING:
            return not_so(0, int(seen.get("trafficPercent", 0)))
        if state.canary is None or state.stable is None:
            left = target.get("status", {}).get("canaryStatuses")
            return f"canaries are left: {json.dumps(left)}" if left else not_true(target, "PredictorReady")
        require_loadable(target, seen.get("modelStatus") or {})
        if not seen.get("ready"):
            return f"canary {slug(state.canary)} is not ready; {not_true(target, 'CanaryPredictorReady')}"
        return not_so(state.percent, int(seen["trafficPercent"])) or not_true(target, "IngressReady")

    def rollout_of(self, state: RemoteState) -> str | None:
        """Return the model the stable Deployment must have been rolled out with, if that is awaited."""
        awaited = state.phase is Phase.PROMOTING or state.canary is None or state.stable is None
        layout = self.layout(state)
        return layout["uri"] if awaited and layout else None


def rolled_out(deployment: Json | None, uri: str) -> str:
    """Say why a Deployment does not serve a model with all its pods; empty when it does."""
    if deployment is None:
        return "there is no Deployment yet"
    spec, status = deployment["spec"], deployment.get("status", {})
    if json.dumps(uri) not in json.dumps(spec["template"]):
        return "the Deployment has another model"
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "the Deployment's change is not seen yet"
    wanted = spec.get("replicas", 1)
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return "" if counts == [wanted] * 3 else f"{counts[1]} of {wanted} pods are new, {counts[2]} can serve"


def slug(release: Release) -> str:
    """Return the canary's name: one per version, so that an old one's readiness is not taken for its own."""
    text = "".join(c if c.isalnum() else "-" for c in release.version.lower())
    return f"v{text}".rstrip("-")


def _canary(target: Json, layout: Json) -> Json:
    stable = int(target["spec"]["predictor"].get("minReplicas", 1))
    # KServe gives a canary at 0 % no pod if it is not told to, and then never calls it ready
    replicas = max(1, math.ceil(stable * layout["percent"] / 100))
    model = {
        "name": "kserve-container",
        "modelFormat": model_of(target)["modelFormat"],
        "storageUri": layout["uri"],
    }
    predictor = {"name": layout["name"], "minReplicas": replicas, "model": model}
    return {"predictor": predictor, "trafficPercent": layout["percent"]}


def _status_of(target: Json, canary: Release | None) -> Json:
    if canary is None:
        return {}
    found: list[Json] = target.get("status", {}).get("canaryStatuses") or []
    return next((entry for entry in found if entry["name"] == slug(canary)), {})
