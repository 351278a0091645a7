"""InferenceService and HTTPRoute, reduced to the fields in use: validate as an API server in strict mode.

``MLOPS_CRD_SCHEMAS`` names a folder with the CustomResourceDefinitions themselves, as KServe and Gateway API
ship them (``*.yaml``): every object then has to satisfy those, too.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

REDUCED = Path(__file__).parent / "crds"
KINDS = {
    "inferenceservices": ("serving.kserve.io", "v1beta1"),
    "httproutes": ("gateway.networking.k8s.io", "v1"),
}
WHOLE = os.environ.get("MLOPS_CRD_SCHEMAS")


@cache
def reduced(plural):
    return yaml.safe_load((REDUCED / f"{plural}.yaml").read_text())


@cache
def whole(plural):
    """Return the schema in the CustomResourceDefinition itself; none if no folder was named."""
    if not WHOLE:
        return None
    group, version = KINDS[plural]
    for path in sorted(Path(WHOLE).glob("*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            spec = (document or {}).get("spec", {})
            if (spec.get("group"), spec.get("names", {}).get("plural")) == (group, plural):
                return next(v["schema"]["openAPIV3Schema"] for v in spec["versions"] if v["name"] == version)
    message = f"MLOPS_CRD_SCHEMAS={WHOLE}: no *.yaml there defines {plural}.{group}"
    raise FileNotFoundError(message)


def strict(rules):
    """Return the schema, but every field is refused that it does not name."""
    closed = dict(rules)
    if "properties" in rules:
        closed["properties"] = {name: strict(field) for name, field in rules["properties"].items()}
        closed["additionalProperties"] = False
    for inner in ("items", "additionalProperties"):
        if isinstance(rules.get(inner), dict):
            closed[inner] = strict(rules[inner])
    return closed


@cache
def validators(plural):
    schemas = (strict(reduced(plural)), whole(plural))
    return [Draft202012Validator(schema) for schema in schemas if schema]


def problem(plural, body):
    """Say what the schemas refuse; empty when they refuse nothing."""
    found = next((error for rules in validators(plural) for error in rules.iter_errors(body)), None)
    return "" if found is None else f"{'.'.join(map(str, found.absolute_path))}: {found.message[:200]}"


def pruned(plural, body):
    """Return what is stored: all of it. An older API server drops what it does not know."""
    return body
