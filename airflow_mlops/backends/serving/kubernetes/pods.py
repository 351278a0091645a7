"""Pods of a Deployment: whether they can serve, and whether they are those that were deployed."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.identity import digest
from airflow_mlops.backends.serving.kubernetes.objects import is_going

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.remote.platform import Json

_RESTARTED = "kubectl.kubernetes.io/restartedAt"


def template_digest(deployment: Json) -> str:
    """Return a digest of a Deployment's pod template; a restart by ``kubectl rollout restart`` keeps it."""
    template = copy.deepcopy(deployment["spec"]["template"])
    meta = template.get("metadata") or {}
    annotations = meta.pop("annotations", None) or {}
    kept = {key: text for key, text in annotations.items() if key != _RESTARTED}
    return digest(json.dumps([template, kept], sort_keys=True).encode())


def images(deployment: Json) -> str:
    """Return the images of a Deployment's containers."""
    containers = deployment["spec"]["template"]["spec"].get("containers") or []
    return ", ".join(str(each.get("image")) for each in containers)


def unready(deployment: Json | None) -> str:
    """Say why a Deployment's pods do not all serve; empty when they do."""
    if deployment is None:
        return "not found"
    if is_going(deployment):
        return "it is being deleted"
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "its last change is not observed yet"
    up = status.get("availableReplicas", 0)
    return "" if wanted and up >= wanted else f"{up} of {wanted} pods can serve"
