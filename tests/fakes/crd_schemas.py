"""The real schemas of InferenceService and HTTPRoute: validate as an API server does, and prune."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[3] / "shared" / "crds"
FILES = {
    "inferenceservices": "kserve_inferenceservices_crd_full.yaml",
    "httproutes": "gateway_httproutes_crd_standard.yaml",
}


def require_schemas():
    if not FOLDER.is_dir():
        pytest.skip("the schemas of KServe and Gateway API are not beside the checkout (../shared/crds)")
    return FOLDER


@cache
def schema(plural):
    document = yaml.load((require_schemas() / FILES[plural]).read_text(), Loader=yaml.CSafeLoader)
    versions = {v["name"]: v["schema"]["openAPIV3Schema"] for v in document["spec"]["versions"]}
    return versions.get("v1") or versions["v1beta1"]


def problem(plural, body):
    """Say what the schema refuses; empty when it refuses nothing."""
    found = next(Draft202012Validator(schema(plural)).iter_errors(body), None)
    return "" if found is None else f"{'.'.join(map(str, found.absolute_path))}: {found.message[:200]}"


def prune(value, rules):
    """Drop what the schema does not know, as an API server does without a word."""
    if isinstance(value, list):
        return [prune(item, rules.get("items", {})) for item in value]
    if not isinstance(value, dict) or rules.get("x-kubernetes-preserve-unknown-fields"):
        return value
    if isinstance(rules.get("additionalProperties"), dict):
        return {key: prune(item, rules["additionalProperties"]) for key, item in value.items()}
    known = rules.get("properties")
    if known is None:
        return value
    return {key: prune(item, known[key]) for key, item in value.items() if key in known}


def pruned(plural, body):
    free = ("apiVersion", "kind", "metadata")
    rules = {"properties": {k: v for k, v in schema(plural)["properties"].items() if k not in free}}
    kept = prune({k: v for k, v in body.items() if k not in free}, rules)
    return {**{k: body[k] for k in free if k in body}, **kept}
