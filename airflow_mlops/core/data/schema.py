"""Schema: what data must look like, as a Great Expectations suite that people edit as YAML.

This module reads and checks the suite's structure, infers one from a profile, and answers what a profile
can answer. Everything else is left to Great Expectations (``backends.rules``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import yaml

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.outcome import Severity
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

SUITE_KEYS = ("name", "expectations", "meta", "notes")
RULE_KEYS = ("type", "kwargs", "severity", "meta", "notes", "description", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Record):
    """One expectation.

    :param type: Great Expectations' name of it, ``expect_column_values_to_not_be_null`` for instance.
    :param kwargs: its arguments.
    :param meta: free notes; ``why`` says where an inferred rule comes from, ``environments`` (a list) where
        the rule applies: ``training``, ``serving``; everywhere if absent.
    """

    type: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    severity: Severity = Severity.CRITICAL
    meta: dict[str, Any] = field(default_factory=dict)

    def applies_to(self, environment: str) -> bool:
        """Say whether the rule is checked in this environment."""
        return environment in self.meta.get("environments", (environment,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema(Record):
    """A named list of rules."""

    name: str
    expectations: tuple[Rule, ...]
    meta: dict[str, Any] = field(default_factory=dict)

    def to_yaml(self) -> str:
        """Return the suite as YAML that people edit and Great Expectations loads."""
        text: str = yaml.safe_dump(self.to_json(), sort_keys=False, allow_unicode=True, width=110)
        return text


def schema_from_yaml(text: str, source: str) -> Schema:
    """Read a suite that people may have edited.

    :param source: name of the file, for messages.
    :raises InvalidConfigError: no YAML, an unknown or missing key, a severity that does not exist.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{source}: no YAML: {' '.join(str(error).split())}"
        raise InvalidConfigError(msg) from error
    _require_keys(document, SUITE_KEYS, ("name", "expectations"), source)
    if not isinstance(document["expectations"], list) or not document["expectations"]:
        msg = f"{source}: expectations is empty or no list, allowed: a list of one or more"
        raise InvalidConfigError(msg)
    for index, rule in enumerate(document["expectations"]):
        _require_rule(rule, f"{source}: expectations[{index}]")
    return Schema.from_json(document)


def _require_rule(rule: Any, where: str) -> None:
    _require_keys(rule, RULE_KEYS, ("type",), where)
    severity = rule.get("severity", "critical")
    if severity not in tuple(Severity):
        msg = f"{where} ({rule['type']}): severity {severity!r}; one of: {', '.join(Severity)}"
        raise InvalidConfigError(msg)


def _require_keys(
    mapping: Mapping[str, Any], allowed: tuple[str, ...], needed: tuple[str, ...], where: str
) -> None:
    if not isinstance(mapping, dict):
        msg = f"{where}: {type(mapping).__name__}, allowed: a mapping with {', '.join(needed)}"
        raise InvalidConfigError(msg)
    for key in mapping:
        if key not in allowed:
            close = get_close_matches(str(key), allowed, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            msg = f"{where}: unknown key {key!r}; one of: {', '.join(allowed)}{hint}"
            raise InvalidConfigError(msg)
    for key in needed:
        if key not in mapping:
            msg = f"{where}: key {key!r} is missing"
            raise InvalidConfigError(msg)
