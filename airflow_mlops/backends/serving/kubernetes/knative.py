"""KServe's Knative mode: a share of requests for the newest revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.kubernetes.status import model_of, not_so, not_true, require_loadable
from airflow_mlops.backends.serving.remote.state import Phase, Release, RemoteState
from airflow_mlops.core.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.kubernetes.objects import Json


class KnativeMode:
    """``canaryTrafficPercent``: the newest ready revision gets it, the last rolled-out one the rest.

    Model and percent are always written together: a new model without a percent takes all requests.
    """

    def layout(self, state: RemoteState) -> Any:
        """Return what to write; ``None``: nothing is to serve."""
        if state.stable is None:
            return None if state.canary is None else _pair(state.canary, None)
        if state.canary is not None:
            return _pair(state.canary, state.percent)
        return _pair(state.stable, 0 if state.phase is Phase.RESTORING else None)

    def layout_of(self, target: Json) -> Any:
        """Return what is written."""
        percent = target["spec"]["predictor"].get("canaryTrafficPercent")
        return {"uri": model_of(target)["storageUri"], "percent": percent}

    def change(self, target: Json, layout: Any) -> Json:
        """Return the spec to merge."""
        model = {"storageUri": layout["uri"]}
        return {"predictor": {"model": model, "canaryTrafficPercent": layout["percent"]}}

    def sources(self, layout: Any) -> set[str]:
        """Return the models of a layout."""
        return {layout["uri"]}

    def newest(self, target: Json) -> str:
        """Return the newest revision."""
        return str(_predictor(target).get("latestCreatedRevision", ""))

    def label(self, target: Json, state: RemoteState, release: Release) -> str:
        """Return the revision: the last rolled-out one is the stable version's.

        A canary that has 100 % counts as rolled out; the stable version's is the one before then.
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
        """Say what is not so yet."""
        newest = self.newest(target)
        if state.phase is Phase.DRAINING:
            return not_so(0, _share(target, newest))
        if newest == state.mark:
            return f"there is no revision after {newest!r}"
        require_loadable(target, target.get("status", {}).get("modelStatus") or {})
        if _predictor(target).get("latestReadyRevision") != newest:
            return f"revision {newest} is not ready; {not_true(target, 'PredictorReady')}"
        return self._traffic_missing(target, state, newest)

    def _traffic_missing(self, target: Json, state: RemoteState, newest: str) -> str:
        if state.canary is not None and state.stable is not None:
            return not_so(state.percent, _share(target, newest))
        if state.phase is Phase.RESTORING:
            return ""
        rolled = _predictor(target).get("latestRolledoutRevision")
        if rolled != newest:
            return f"revision {newest} is not rolled out; {rolled} is"
        return not_true(target, "PredictorReady")


def _predictor(target: Json) -> Json:
    found: Json = (target.get("status", {}).get("components") or {}).get("predictor") or {}
    return found


def _share(target: Json, revision: str) -> int:
    entries: list[Json] = _predictor(target).get("traffic") or []
    return sum(int(e.get("percent") or 0) for e in entries if e.get("revisionName") == revision)


def _pair(release: Release, percent: int | None) -> Json:
    return {"uri": release.source, "percent": percent}
