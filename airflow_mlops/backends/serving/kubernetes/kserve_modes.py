"""KServe's two deployment modes: how each splits traffic, and what an InferenceService reports of it.

``status.observedGeneration`` is not used: KServe copies it from the Knative Service or Deployment that it
creates, so that it does not count the InferenceService's own generations.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.remote.state import Release, RemotePhase, RemoteState
from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.remote.platform import Json

_LOAD_FAILED = ("BlockedByFailedLoad", "InvalidSpec")


class KnativeMode:
    """Knative mode: ``canaryTrafficPercent`` splits traffic between two revisions.

    The newest ready revision gets that share, the last rolled-out one the rest. Model and percent are
    always written together: a new model without a percent gets all requests.
    """

    def layout(self, state: RemoteState) -> Any:
        """Return the layout to write, ``None`` when nothing is to serve."""
        if state.stable is None:
            return None if state.canary is None else _pair(state.canary, None)
        if state.canary is not None:
            return _pair(state.canary, state.percent)
        return _pair(state.stable, 0 if state.phase is RemotePhase.RESTORING else None)

    def layout_of(self, target: Json) -> Any:
        """Return the layout of an InferenceService."""
        percent = target["spec"]["predictor"].get("canaryTrafficPercent")
        return {"uri": model_of(target)["storageUri"], "percent": percent}

    def change(self, target: Json, layout: Any) -> Json:
        """Return the patch of the spec."""
        model = {"storageUri": layout["uri"]}
        return {"predictor": {"model": model, "canaryTrafficPercent": layout["percent"]}}

    def sources(self, layout: Any) -> set[str]:
        """Return the models of a layout."""
        return {layout["uri"]}

    def newest(self, target: Json) -> str:
        """Return the newest revision."""
        return str(_predictor(target).get("latestCreatedRevision", ""))

    def label(self, target: Json, state: RemoteState, release: Release) -> str:
        """Return the revision; the stable version's is the last rolled-out one.

        A canary at 100 % counts as rolled out; the stable version's revision then is the previous one.
        """
        seen, newest = _predictor(target), self.newest(target)
        if release == state.canary:
            return newest
        rolled = str(seen.get("latestRolledoutRevision", ""))
        replaced = state.canary is not None and rolled == newest
        return str(seen.get("previousRolledoutRevision", "")) if replaced else rolled

    def percent(self, target: Json, state: RemoteState) -> int:
        """Return the share of the newest revision as KServe reports it."""
        if state.stable is None:
            return 100
        if "traffic" not in _predictor(target):
            msg = f"{target['metadata']['name']}: KServe reports no traffic"
            raise ServiceUnavailableError(msg)
        return _share(target, self.newest(target))

    def missing(self, target: Json, state: RemoteState) -> str:
        """Say what is not in effect yet."""
        newest = self.newest(target)
        if state.phase is RemotePhase.DRAINING:
            return "" if self._keeps_share(target, state) else _share_missing(0, _share(target, newest))
        if newest == state.mark:
            return f"there is no revision after {newest!r}"
        _require_loadable(target, target.get("status", {}).get("modelStatus") or {})
        if _predictor(target).get("latestReadyRevision") != newest:
            return f"revision {newest} is not ready; {_not_true(target, 'PredictorReady')}"
        return self._traffic_missing(target, state, newest)

    def crashed(self, target: Json, state: RemoteState) -> str:
        """Say that the newest revision was ready, and is no longer.

        Knative then takes no weights, not even 0 %: its requests end with the next revision that is ready.
        """
        newest, failed = self.newest(target), _condition(target, "PredictorReady")["status"] == "False"
        if not failed or _predictor(target).get("latestReadyRevision") != newest:
            return ""
        return f"revision {newest} is no longer ready; {_not_true(target, 'PredictorReady')}"

    def restores_at_once(self, target: Json, state: RemoteState) -> bool:
        """Whether the stable model has to be restored without a percent, or was.

        A revision that crashed at 100 % counts as rolled out: at 0 % the restored one would get nothing.
        """
        if state.phase is not RemotePhase.RESTORING or state.stable is None:
            return False
        seen = self.layout_of(target)
        if seen["uri"] == state.stable.source:
            return seen["percent"] is None
        rolled = _predictor(target).get("latestRolledoutRevision")
        return rolled == self.newest(target) and bool(self.crashed(target, state))

    def _keeps_share(self, target: Json, state: RemoteState) -> bool:
        """Whether a canary is not waited for until it has no requests.

        The very first version keeps them until it is deleted: nothing else could have them.
        """
        return state.stable is None or bool(self.crashed(target, state))

    def _traffic_missing(self, target: Json, state: RemoteState, newest: str) -> str:
        if state.canary is not None and state.stable is not None:
            return _share_missing(state.percent, _share(target, newest))
        if state.phase is RemotePhase.RESTORING:
            return ""
        rolled = _predictor(target).get("latestRolledoutRevision")
        if rolled != newest:
            return f"revision {newest} is not rolled out; {rolled} is"
        return _not_true(target, "PredictorReady")


class StandardMode:
    """Standard mode: ``spec.canary[]``, a second Deployment beside the stable one; KServe 0.20 or newer."""

    def layout(self, state: RemoteState) -> Any:
        """Return the layout to write, ``None`` when nothing is to serve."""
        if state.stable is None:
            return None if state.canary is None else {"uri": state.canary.source, "canary": None}
        if state.canary is None:
            return {"uri": state.stable.source, "canary": None}
        uri = state.canary.source if state.phase is RemotePhase.PROMOTING else state.stable.source
        canary = {"name": slug(state.canary), "uri": state.canary.source, "percent": state.percent}
        return {"uri": uri, "canary": canary}

    def layout_of(self, target: Json) -> Any:
        """Return the layout of an InferenceService; several canaries, made by others, as a list."""
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
        """Return the patch of the spec; a merge patch replaces the whole list."""
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
        """Return an empty text: canaries are identified by name."""
        return ""

    def label(self, target: Json, state: RemoteState, release: Release) -> str:
        """Return the Service's name."""
        name, is_canary = target["metadata"]["name"], release == state.canary and state.stable is not None
        return f"{name}-{slug(release)}-predictor" if is_canary else f"{name}-predictor"

    def percent(self, target: Json, state: RemoteState) -> int:
        """Return the canary's share as KServe reports it, also while no pod of it is ready.

        It gets no requests then: that is missing data, and nobody's change.

        :raises ServiceUnavailableError: it has a share, and KServe reports none.
        """
        if state.stable is None:
            return 100
        seen = _status_of(target, state.canary)
        if state.percent and not seen and target["spec"].get("canary"):
            msg = f"{target['metadata']['name']}: KServe reports no canary"
            raise ServiceUnavailableError(msg)
        return int(seen.get("trafficPercent", 0))

    def missing(self, target: Json, state: RemoteState) -> str:
        """Say what is not in effect yet, apart from the stable Deployment's own rollout."""
        seen = _status_of(target, state.canary)
        if state.phase is RemotePhase.DRAINING:
            return _share_missing(0, int(seen.get("trafficPercent", 0)))
        if state.canary is None or state.stable is None:
            left = target.get("status", {}).get("canaryStatuses")
            return f"canaries remain: {json.dumps(left)}" if left else _not_true(target, "PredictorReady")
        _require_loadable(target, seen.get("modelStatus") or {})
        return (
            self.crashed(target, state)
            or _share_missing(state.percent, int(seen["trafficPercent"]))
            or _not_true(target, "IngressReady")
        )

    def crashed(self, target: Json, state: RemoteState) -> str:
        """Say that no pod of the canary is ready; KServe then gives it no requests."""
        if state.canary is None or _status_of(target, state.canary).get("ready"):
            return ""
        return f"canary {slug(state.canary)} is not ready; {_not_true(target, 'CanaryPredictorReady')}"

    def rollout_of(self, state: RemoteState) -> str | None:
        """Return the model that the stable Deployment must be rolled out with; ``None``: any will do."""
        awaited = state.phase is RemotePhase.PROMOTING or state.canary is None or state.stable is None
        layout = self.layout(state)
        return layout["uri"] if awaited and layout else None


def rolled_out(deployment: Json | None, uri: str) -> str:
    """Say why a Deployment does not serve a model with all its pods yet; empty when it does."""
    if deployment is None:
        return "there is no Deployment yet"
    spec, status = deployment["spec"], deployment.get("status", {})
    if json.dumps(uri) not in json.dumps(spec["template"]):
        return "the Deployment has another model"
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "the Deployment's last change is not observed yet"
    wanted = spec.get("replicas", 1)
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return "" if counts == [wanted] * 3 else f"{counts[1]} of {wanted} pods are new, {counts[2]} can serve"


def slug(release: Release) -> str:
    """Return the canary's name: one per version, so that it is not judged by another canary's readiness."""
    text = "".join(c if c.isalnum() else "-" for c in release.version.lower())
    return f"v{text}".rstrip("-")


def model_of(target: Json) -> Json:
    """Return ``spec.predictor.model``.

    :raises InvalidConfigError: a custom predictor, or one of the old form.
    """
    found = target["spec"]["predictor"].get("model")
    if not isinstance(found, dict) or "storageUri" not in found:
        name = target["metadata"]["name"]
        msg = f"{name}: no spec.predictor.model.storageUri; other predictors are not supported"
        raise InvalidConfigError(msg)
    return found


def _condition(target: Json, kind: str) -> Json:
    """Return a status condition; a missing one has the status Unknown."""
    found: list[Json] = target.get("status", {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind), {"type": kind, "status": "Unknown"})


def _not_true(target: Json, kind: str) -> str:
    """Say why a condition does not hold; empty when it does."""
    found = _condition(target, kind)
    if found["status"] == "True":
        return ""
    return f"{kind} is {found['status']} ({found.get('reason', '')} {found.get('message', '')})".replace(
        " )", ")"
    )


def _require_loadable(target: Json, status: Json) -> None:
    """Fail at once when KServe cannot load the model.

    :raises ServiceUnavailableError: with KServe's reason.
    """
    if status.get("transitionStatus") in _LOAD_FAILED:
        info = status.get("lastFailureInfo") or {}
        msg = (
            f"{target['metadata']['name']}: KServe cannot serve the model: {status['transitionStatus']} "
            f"{info.get('reason', '')} {info.get('message', '')}"
        )
        raise ServiceUnavailableError(msg.rstrip())


def _share_missing(wanted: int, seen: int) -> str:
    """Say that the canary's share is not the requested one yet; empty when it is."""
    return "" if wanted == seen else f"the canary gets {seen} %, requested: {wanted} %"


def _predictor(target: Json) -> Json:
    found: Json = (target.get("status", {}).get("components") or {}).get("predictor") or {}
    return found


def _share(target: Json, revision: str) -> int:
    entries: list[Json] = _predictor(target).get("traffic") or []
    return sum(int(e.get("percent") or 0) for e in entries if e.get("revisionName") == revision)


def _pair(release: Release, percent: int | None) -> Json:
    return {"uri": release.source, "percent": percent}


def _canary(target: Json, layout: Json) -> Json:
    stable = int(target["spec"]["predictor"].get("minReplicas", 1))
    # without a number, KServe gives a canary at 0 % no pod, and such a canary never becomes ready
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
