"""Deployments as an API server takes them: made whole, and refused when they are not."""

from __future__ import annotations


def deployment(name, image="server:1", *, replicas=1, args=()):
    """Return a Deployment with one container."""
    container = {"name": "server", "image": image, **({"args": list(args)} if args else {})}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def problem(body, before=None):
    """Say what the API server refuses of a Deployment; empty when it refuses nothing."""
    spec = body.get("spec") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    containers = (template.get("spec") or {}).get("containers") or []
    replicas = spec.get("replicas", 1)
    refused = {
        f"spec.replicas: Invalid value: {replicas!r}": type(replicas) is not int or replicas < 0,
        "spec.selector: Required value": not wanted,
        "spec.template.metadata.labels: `selector` does not match template `labels`": any(
            labels.get(key) != value for key, value in wanted.items()
        ),
        "spec.template.spec.containers: Required value": not containers,
        "spec.template.spec.containers: name and image are required": not all(
            container.get("name") and container.get("image") for container in containers
        ),
        "spec.selector: field is immutable": before is not None
        and before["spec"]["selector"] != spec.get("selector"),
    }
    return next((why for why, found in refused.items() if found), "")
