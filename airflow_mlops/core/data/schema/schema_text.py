"""Text of a schema: turns YAML that people edited into plain data, and names every mistake by its place."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import yaml

from airflow_mlops.core.data.expectations.signatures import require_arguments
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.data.expectations.signatures import SignatureLookup

SUITE_KEYS = ("name", "expectations", "meta", "notes", "id", "suite_parameters")
RULE_KEYS = ("type", "kwargs", "severity", "meta", "notes", "description", "id")
DERIVED_KEYS = ("rendered_content",)
"""What Great Expectations makes anew from the rest; read over."""
VERSION_KEY = "great_expectations_version"
"""Which version wrote a suite: says nothing about data, and every version writes its own."""
RENAMED = {"expectation_suite_name": "name", "expectation_type": "type", "ge_cloud_id": "id"}
"""Keys of Great Expectations before version 1."""


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML was built with it


class _Loader(_Base):
    """Safe loader that refuses a key that stands there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - YAML's own signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                problem = f"key {key!r} stands there more than once"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_document(
    text: str, source: str, environments: tuple[str, ...], signature_of: SignatureLookup
) -> dict[str, Any]:
    """Return the suite's plain data, checked.

    :param signature_of: arguments of an expectation; those it does not know are not judged.
    :raises InvalidConfigError: names the file, the place, the value and what is allowed.
    """
    document = _parse(text, source)
    _require_keys(document, SUITE_KEYS, ("name", "expectations"), source)
    if not isinstance(document["name"], str) or not document["name"]:
        msg = f"{source}: name is {document['name']!r}, allowed: text"
        raise InvalidConfigError(msg)
    if not isinstance(document["expectations"], list) or not document["expectations"]:
        msg = f"{source}: expectations is empty or no list, allowed: a list of one or more"
        raise InvalidConfigError(msg)
    rules = [
        _rule(r, f"{source}: expectations[{i}]", environments, signature_of)
        for i, r in enumerate(document["expectations"])
    ]
    _require_unique(rules, source)
    plain = _without_null(document, source) | {"expectations": rules}
    plain["meta"] = {key: value for key, value in plain.get("meta", {}).items() if key != VERSION_KEY}
    return plain


def _parse(text: str, source: str) -> Any:
    if not text.strip():
        msg = f"{source}: empty, allowed: a suite with name and expectations"
        raise InvalidConfigError(msg)
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            return json.loads(text)  # JSON may escape characters in a way that YAML does not know
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        msg = f"{source}: no YAML: {place}{problem}"
        raise InvalidConfigError(msg) from error


def _rule(
    rule: Any, where: str, environments: tuple[str, ...], signature_of: SignatureLookup
) -> dict[str, Any]:
    _require_keys(rule, (*RULE_KEYS, *DERIVED_KEYS), ("type",), where)
    if not isinstance(rule["type"], str):
        msg = f"{where}: type is {rule['type']!r}, allowed: the name of an expectation"
        raise InvalidConfigError(msg)
    where = f"{where} ({rule['type']})"
    severity = rule.get("severity") or "critical"
    if severity not in tuple(Severity):
        msg = (
            f"{where}: severity {severity!r}; one of: {', '.join(Severity)}{did_you_mean(severity, Severity)}"
        )
        raise InvalidConfigError(msg)
    plain = _without_null({k: v for k, v in rule.items() if k in RULE_KEYS}, where)
    plain["kwargs"] = plain_arguments(plain.get("kwargs", {}))
    signature = signature_of(plain["type"])
    if signature is not None:
        require_arguments(plain["kwargs"], signature, where)
    _require_environments(plain.get("meta", {}).get("environments"), environments, where)
    return plain


def _without_null(mapping: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Drop keys that are there without a value; refuse what should be a mapping and is not."""
    plain = {
        key: as_plain(value) if key == "meta" else value
        for key, value in mapping.items()
        if value is not None
    }
    for key in ("kwargs", "meta", "suite_parameters"):
        if not isinstance(plain.get(key, {}), dict):
            msg = f"{where}: {key} is {plain[key]!r}, allowed: a mapping"
            raise InvalidConfigError(msg)
    return plain


def plain_arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as JSON would hold them, and a condition in words as these words."""
    plain = {str(key): as_plain(value) for key, value in kwargs.items() if value is not None}
    condition = plain.get("row_condition")
    if isinstance(condition, dict) and condition.get("type") == "pass_through":
        plain["row_condition"] = condition.get("pass_through_filter")
    return plain


def as_plain(value: Any) -> Any:
    """Return a value as JSON would hold it: dates as ISO text, sets as sorted lists."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, set):
        return [as_plain(item) for item in sorted(value, key=str)]
    return [as_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _require_environments(named: Any, allowed: tuple[str, ...], where: str) -> None:
    if named is None:
        return
    if not isinstance(named, list) or not named:
        msg = f"{where}: meta.environments is {named!r}, allowed: a list of {', '.join(allowed)}"
        raise InvalidConfigError(msg)
    for name in named:
        if name not in allowed:
            one_of = f"{', '.join(allowed)}{did_you_mean(name, allowed)}"
            msg = f"{where}: meta.environments: unknown {name!r}; one of: {one_of}"
            raise InvalidConfigError(msg)


def _require_unique(rules: list[dict[str, Any]], source: str) -> None:
    """Refuse a rule that was copied and not changed; Great Expectations tells equal ones apart by id."""
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        where = rule.get("meta", {}).get("environments")
        what = (rule["type"], rule["kwargs"], where, rule.get("id"))
        before = seen.setdefault(json.dumps(what, sort_keys=True, default=str), index)
        if before != index:
            msg = f"{source}: expectations[{index}] ({rule['type']}): the same rule as expectations[{before}]"
            raise InvalidConfigError(msg)


def _require_keys(mapping: Any, allowed: tuple[str, ...], needed: tuple[str, ...], where: str) -> None:
    if not isinstance(mapping, dict):
        msg = f"{where}: {type(mapping).__name__}, allowed: a mapping with {', '.join(needed)}"
        raise InvalidConfigError(msg)
    for key in mapping:
        if key not in allowed:
            probably = f"; did you mean {RENAMED[key]!r}?" if key in RENAMED else did_you_mean(key, allowed)
            msg = f"{where}: unknown key {key!r}; one of: {', '.join(allowed)}{probably}"
            raise InvalidConfigError(msg)
    for key in needed:
        if mapping.get(key) is None:
            msg = f"{where}: key {key!r} is missing"
            raise InvalidConfigError(msg)
