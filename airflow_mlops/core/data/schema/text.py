"""Text of a schema: YAML or JSON turned into plain data; every mistake is reported with its place."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from airflow_mlops.core.data.expectations.rule import Environment
from airflow_mlops.core.data.expectations.signatures import require_arguments
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.input_errors import explain
from airflow_mlops.core.text_input import yaml_document
from airflow_mlops.core.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.data.expectations.signatures import SignatureLookup

VERSION_KEY = "great_expectations_version"
"""Key in ``meta``: the version of Great Expectations that wrote the suite; it says nothing about the data."""
_FORMER_KEYS = {"expectation_suite_name": "name", "expectation_type": "type", "ge_cloud_id": "id"}
"""Keys of Great Expectations before version 1."""


def as_plain(value: Any) -> Any:
    """Return a value as JSON has it: dates as ISO text, sets as sorted lists."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, set):
        return [as_plain(item) for item in sorted(value, key=str)]
    return [as_plain(item) for item in value] if isinstance(value, list | tuple) else value


def plain_arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as JSON has them; a row condition that is plain text as that text."""
    plain = {str(key): as_plain(value) for key, value in kwargs.items() if value is not None}
    condition = plain.get("row_condition")
    if isinstance(condition, dict) and condition.get("type") == "pass_through":
        plain["row_condition"] = condition.get("pass_through_filter")
    return plain


class _Text(BaseModel):
    """A mapping in a suite's text: a key without a value counts as absent."""

    model_config = ConfigDict(extra="forbid")
    needed: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _present(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            msg = f"{type(given).__name__}, allowed: a mapping{cls.needed and f' with {cls.needed}'}"
            raise ValueError(msg)  # noqa: TRY004 - pydantic passes on no other
        for key, now in _FORMER_KEYS.items():
            if key in given and now in cls.model_fields:
                msg = f"unknown key {key!r}, of Great Expectations before 1.0; did you mean {now!r}?"
                raise ValueError(msg)
        return {key: value for key, value in given.items() if value is not None}

    @classmethod
    def read(cls, given: Any, where: str) -> Self:
        """Return the checked mapping.

        :raises InvalidConfigError: names the place, the key, the value and what is allowed.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            msg = f"{where}: {explain(error, cls)}"
            raise InvalidConfigError(msg) from error

    def plain(self) -> dict[str, Any]:
        """Return what was given."""
        return self.model_dump(exclude_unset=True)


class _RuleMeta(_Text):
    model_config = ConfigDict(extra="allow")
    environments: Annotated[list[Environment], Field(min_length=1)] | None = None


class _RuleText(_Text):
    needed: ClassVar[str] = "type"
    type: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    severity: Severity = Severity.CRITICAL
    meta: _RuleMeta = Field(default_factory=_RuleMeta)
    notes: str | list[str] | None = None
    description: str | None = None
    id: str | None = None
    rendered_content: Any = Field(default=None, exclude=True)


class _SuiteText(_Text):
    needed: ClassVar[str] = "name, expectations"
    name: str = Field(min_length=1)
    expectations: list[Any] = Field(min_length=1)
    meta: dict[str, Any] = Field(default_factory=dict)
    notes: str | list[str] | None = None
    id: str | None = None
    suite_parameters: dict[str, Any] = Field(default_factory=dict)


def read_document(text: str, source: str, signature_of: SignatureLookup) -> dict[str, Any]:
    """Return the suite's plain data, checked.

    :param source: name of the file, for messages.
    :param signature_of: arguments of an expectation; of an unknown one they are not checked.
    :raises InvalidConfigError: names the file, the place, the value and what is allowed.
    """
    suite = _SuiteText.read(as_plain(_parse(text, source)), source).plain()
    rules = [
        _rule(rule, f"{source}: expectations[{index}]", signature_of)
        for index, rule in enumerate(suite["expectations"])
    ]
    _require_unique(rules, source)
    meta = {key: value for key, value in suite.get("meta", {}).items() if key != VERSION_KEY}
    return {**suite, "expectations": rules, "meta": meta}


def _parse(text: str, source: str) -> Any:
    if not text.strip():
        msg = f"{source}: empty, allowed: a suite with name and expectations"
        raise InvalidConfigError(msg)
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):  # JSON may escape characters in a way that YAML does not know
            return json.loads(text, object_pairs_hook=_once)
    return yaml_document(text, source)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice in JSON; the reader of YAML then names its line."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _rule(given: Any, where: str, signature_of: SignatureLookup) -> dict[str, Any]:
    if isinstance(given, dict) and isinstance(given.get("type"), str):
        where = f"{where} ({given['type']})"
    rule = _RuleText.read(given, where).plain()
    rule["kwargs"] = plain_arguments(rule.get("kwargs", {}))
    signature = signature_of(rule["type"])
    if signature is not None:
        require_arguments(rule["kwargs"], signature, where)
    return rule


def _require_unique(rules: list[dict[str, Any]], source: str) -> None:
    """Refuse a rule that was copied and not changed; Great Expectations distinguishes equal ones by id."""
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        where = rule.get("meta", {}).get("environments")
        what = (rule["type"], rule["kwargs"], where, rule.get("id"))
        before = seen.setdefault(json.dumps(what, sort_keys=True, default=str), index)
        if before != index:
            msg = f"{source}: expectations[{index}] ({rule['type']}): the same rule as expectations[{before}]"
            raise InvalidConfigError(msg)
