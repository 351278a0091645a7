"""What an InferenceService says of itself; shared by both deployment modes.

``status.observedGeneration`` is never trusted: KServe copies it from the Knative Service or Deployment it
made, so that it counts something else than the InferenceService's own generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.errors import InvalidConfigError, ServiceUnavailableError

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.kubernetes.objects import Json

FAILED = ("BlockedByFailedLoad", "InvalidSpec")


def model_of(target: Json) -> Json:
    """Return ``spec.predictor.model``.

    :raises InvalidConfigError: an old-style or a custom predictor.
    """
    found = target["spec"]["predictor"].get("model")
    if not isinstance(found, dict) or "storageUri" not in found:
        msg = f"{target['metadata']['name']}: no spec.predictor.model.storageUri; no other predictor is split"
        raise InvalidConfigError(msg)
    return found


def condition(target: Json, kind: str) -> Json:
    """Return a status condition, one of status Unknown if it is not there."""
    found: list[Json] = target.get("status", {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind), {"type": kind, "status": "Unknown"})


def not_true(target: Json, kind: str) -> str:
    """Say why a condition does not hold; empty when it does."""
    found = condition(target, kind)
    if found["status"] == "True":
        return ""
    return f"{kind} is {found['status']} ({found.get('reason', '')} {found.get('message', '')})".replace(
        " )", ")"
    )


def require_loadable(target: Json, status: Json) -> None:
    """Refuse to wait for a model that KServe has given up on.

    :raises ServiceUnavailableError: says what KServe says.
    """
    if status.get("transitionStatus") in FAILED:
        info = status.get("lastFailureInfo") or {}
        msg = (
            f"{target['metadata']['name']}: KServe does not serve the model: {status['transitionStatus']} "
            f"{info.get('reason', '')} {info.get('message', '')}"
        )
        raise ServiceUnavailableError(msg.rstrip())


def not_so(wanted: int, seen: int) -> str:
    """Say that the canary has another share than was asked for; empty when it has it."""
    return "" if wanted == seen else f"the canary gets {seen} %, {wanted} % is asked for"
