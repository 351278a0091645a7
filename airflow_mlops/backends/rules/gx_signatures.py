"""Signatures of Great Expectations' own expectations, from the JSON schemas that it ships.

Great Expectations is located, not imported: its import takes seconds, the index of its schemas and a schema
about a millisecond. A file is read when its expectation is first asked for, and kept while the process lives.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.rule import SUBJECTS
from airflow_mlops.core.data.expectations.signatures import Argument, ArgumentKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_mlops.core.data.expectations.signatures import Signature

_FOLDER = "expectations/core/schemas"
_COMMON = ("batch_id", "catch_exceptions", "result_format", "windows")
"""Arguments of every expectation; messages list them last."""
_RULE_KEYS = (
    "description",
    "id",
    "library_metadata",
    "meta",
    "metadata",
    "notes",
    "rendered_content",
    "severity",
)
"""Properties of the schemas that are no arguments: keys of a rule, and what is derived from them."""
_LIKE = "expect_column_values_to_not_be_null"
"""Expectation whose arguments those without a schema take, too."""
_WITHOUT_SCHEMA: Mapping[str, Signature] = {
    "expect_column_values_to_be_dateutil_parseable": {},
    "expect_column_values_to_be_decreasing": {"strictly": Argument(ArgumentKind.FLAG)},
    "expect_column_values_to_be_increasing": {"strictly": Argument(ArgumentKind.FLAG)},
    "expect_column_values_to_be_json_parseable": {},
    "expect_column_values_to_match_json_schema": {
        "json_schema": Argument(ArgumentKind.MAPPING, required=True)
    },
}
"""The only entries of our own: Great Expectations 1.24 ships no schema for these (``documented_absent`` in
its index). A schema, once there, is preferred."""
_KINDS: Mapping[frozenset[str | None], ArgumentKind] = {
    frozenset({"boolean"}): ArgumentKind.FLAG,
    frozenset({"array"}): ArgumentKind.LIST,
    frozenset({"object"}): ArgumentKind.MAPPING,
    frozenset({"integer"}): ArgumentKind.NUMBER,
    frozenset({"number"}): ArgumentKind.NUMBER,
    frozenset({"string"}): ArgumentKind.TEXT,
    frozenset({"number", "date"}): ArgumentKind.BOUND,
    frozenset({"integer", "date"}): ArgumentKind.NUMBER,  # a date is no limit of a count
}


@cache
def gx_signature(expectation: str) -> Signature | None:
    """Return an expectation's arguments; ``None`` if Great Expectations ships no such expectation.

    :param expectation: its name, ``expect_column_values_to_be_between`` for instance.
    """
    path = _schema_files().get(expectation)
    if path is not None:
        return MappingProxyType(_read_signature(json.loads(path.read_bytes())))
    like = gx_signature(_LIKE) if expectation in _WITHOUT_SCHEMA else None
    return MappingProxyType({**like, **_WITHOUT_SCHEMA[expectation]}) if like is not None else None


@cache
def _schema_files() -> Mapping[str, Path]:
    """Return the schema file of each expectation; none if Great Expectations no longer keeps them there."""
    spec = importlib.util.find_spec("great_expectations")
    places = (spec.submodule_search_locations if spec else None) or ()
    folder = next((path for place in places if (path := Path(place, _FOLDER)).is_dir()), None)
    if folder is None or not (index := folder / "index.json").is_file():
        return {}
    listed = json.loads(index.read_bytes())["expectations"]
    return {name: folder / entry["schema_file"] for name, entry in listed.items()}


def _read_signature(schema: Mapping[str, Any]) -> dict[str, Argument]:
    properties = {name: found for name, found in schema["properties"].items() if name not in _RULE_KEYS}
    required = {*schema.get("required", ())}
    return {
        name: Argument(_kind_of(name, properties[name], schema.get("definitions", {})), name in required)
        for name in sorted(properties, key=_COMMON.__contains__)
    }


def _kind_of(name: str, prop: Mapping[str, Any], definitions: Mapping[str, Any]) -> ArgumentKind:
    """Return the kind of value that a property allows; ``ANY`` for a mixture that no kind describes."""
    if name == "result_format":
        return ArgumentKind.ANY  # a mapping is a format with options here, not a suite parameter
    variants = [found for found in _variants(prop, definitions) if found != {"type": "object"}]
    types = frozenset(_type_of(found) for found in variants)
    if types == {"string"} and name in SUBJECTS:
        return ArgumentKind.NAME
    if types == {"number"} and all((v.get("minimum"), v.get("maximum")) == (0, 1) for v in variants):
        return ArgumentKind.SHARE
    return _KINDS.get(types, ArgumentKind.ANY)


def _variants(prop: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the alternatives of a property, references followed.

    ``{"type": "object"}`` among them stands for a suite parameter: a value substituted at run time.
    """
    if "$ref" in prop:
        yield from _variants(definitions.get(prop["$ref"].rpartition("/")[2], {}), definitions)
        return
    nested = [found for key in ("anyOf", "oneOf", "allOf") for found in prop.get(key, ())]
    for found in nested:
        yield from _variants(found, definitions)
    if not nested:
        yield prop


def _type_of(variant: Mapping[str, Any]) -> str | None:
    return "date" if variant.get("format") in ("date", "date-time") else variant.get("type")
