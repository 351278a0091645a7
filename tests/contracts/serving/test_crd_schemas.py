"""The reduced schemas refuse what an API server refuses, and promise nothing that the whole ones do not."""

from __future__ import annotations

import pytest
from fakes import crd_schemas

TYPES = ("array", "boolean", "integer", "object", "string")
NESTED = ("properties", "items", "additionalProperties")
MADE_BY_THE_SERVER = ("default", "description", "title")
ROUTE = {"spec": {"rules": [{"backendRefs": [{"name": "demo-1", "port": 80, "weight": 100}]}]}}
SERVICE = {"spec": {"predictor": {"model": {"modelFormat": {"name": "mlflow"}}, "canaryTrafficPercent": 5}}}
CANARY = {"predictor": {"model": {"name": "m", "modelFormat": {"name": "mlflow"}}}, "trafficPercent": 5}


def bounds(rules):
    """Return what a schema says of a field itself; lists in no order."""
    left = {k: v for k, v in rules.items() if k not in (*NESTED, *MADE_BY_THE_SERVER) and k[:2] != "x-"}
    return {k: sorted(v) if isinstance(v, list) else v for k, v in left.items()}


def differences(reduced, whole, path):
    """Yield the fields that are bound otherwise, or are not there."""
    if bounds(reduced) != bounds(whole):
        yield f"{path}: {bounds(reduced)}, not {bounds(whole)}"
    pairs = [
        (f"{path}.{n}", field, whole["properties"].get(n))
        for n, field in reduced.get("properties", {}).items()
    ]
    pairs += [
        (f"{path}[]", reduced[k], whole.get(k)) for k in ("items", "additionalProperties") if k in reduced
    ]
    for where, one, other in pairs:
        yield from [f"{where}: unknown"] if other is None else differences(one, other, where)


def fields(rules):
    yield rules
    for inner in (
        *rules.get("properties", {}).values(),
        rules.get("items"),
        rules.get("additionalProperties"),
    ):
        yield from fields(inner) if inner else ()


@pytest.mark.parametrize("plural", crd_schemas.KINDS)
def test_every_field_has_a_type_and_is_bound_as_in_the_whole_schema_where_that_is_there(plural):
    reduced = crd_schemas.reduced(plural)
    assert all(field["type"] in TYPES for field in fields(reduced))
    assert list(differences(reduced, crd_schemas.whole(plural) or reduced, plural)) == []


def test_field_that_is_bound_otherwise_or_is_not_there_is_found():
    one = {
        "type": "object",
        "required": ["b", "a"],
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
    }
    other = {
        **one,
        "required": ["a", "b"],
        "description": "of a",
        "properties": {"a": {"type": "string", "enum": ["x"]}},
    }
    assert list(differences(one, other, "top")) == [
        "top.a: {'type': 'string'}, not {'type': 'string', 'enum': ['x']}",
        "top.b: unknown",
    ]
    assert list(differences({"items": one}, {}, "top")) == ["top[]: unknown"]


@pytest.mark.parametrize(
    ("plural", "body", "why"),
    [
        ("httproutes", ROUTE, ""),
        ("inferenceservices", SERVICE, ""),
        ("inferenceservices", {"spec": {**SERVICE["spec"], "canary": [CANARY]}}, ""),
        ("httproutes", {}, "'spec' is a required property"),
        ("httproutes", {"spec": {"rules": []}}, "spec.rules: [] "),
        (
            "httproutes",
            {"spec": {"rules": [{"backendRefs": [{"weight": 1}]}]}},
            "'name' is a required property",
        ),
        ("httproutes", {"spec": {"hostnames": ["Demo_1"]}}, "spec.hostnames.0: 'Demo_1' does not match"),
        ("inferenceservices", {"spec": {}}, "'predictor' is a required property"),
        ("inferenceservices", {"spec": {"predictor": {"minReplicas": "2"}}}, "'2' is not of type 'integer'"),
        (
            "inferenceservices",
            {"spec": {**SERVICE["spec"], "canary": [{**CANARY, "trafficPercent": 101}]}},
            "spec.canary.0.trafficPercent: 101 is greater than the maximum of 100",
        ),
        (
            "inferenceservices",
            {"spec": {"predictor": {"canaryTraficPercent": 5}}},
            "spec.predictor: Additional properties are not allowed ('canaryTraficPercent' was unexpected)",
        ),
        (
            "inferenceservices",
            {**SERVICE, "status": {"components": {"predictor": {"ready": True}}}},
            "status.components.predictor: Additional properties are not allowed ('ready' was unexpected)",
        ),
    ],
)
def test_what_an_api_server_in_strict_mode_refuses_is_refused(plural, body, why):
    said = crd_schemas.problem(plural, body)
    assert why in said
    assert bool(said) == bool(why)
