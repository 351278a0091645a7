"""Suite: lossless conversion between a schema and Great Expectations' ``ExpectationSuite``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.rules.gx_signatures import gx_signature
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.data.schema.text import VERSION_KEY, as_plain, plain_arguments
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

_RULE_KEYS = ("type", "severity", "meta", "notes", "description", "id")


def to_suite(schema: Schema) -> ExpectationSuite:
    """Return the schema as an ``ExpectationSuite``.

    :raises InvalidConfigError: an unknown expectation or argument; names both.
    """
    import great_expectations as gx

    for index, rule in enumerate(schema.expectations):
        build_expectation(rule, f"{schema.name}: expectations[{index}]", id=rule.id)
    # passed as written: expectation objects drop arguments that equal the default
    return gx.ExpectationSuite(
        name=schema.name,
        expectations=[
            {k: v for k, v in rule.to_document().items() if v is not None} for rule in schema.expectations
        ],
        meta=dict(schema.meta),
        notes=schema.notes,
        id=schema.id,
        suite_parameters=dict(schema.suite_parameters),
    )


def from_suite(suite: ExpectationSuite) -> Schema:
    """Return an ``ExpectationSuite`` as a schema."""
    meta = {key: value for key, value in (suite.meta or {}).items() if key != VERSION_KEY}
    return Schema(
        name=suite.name,
        expectations=tuple(_rule(expectation) for expectation in suite.expectations),
        meta=as_plain(meta),
        notes=suite.notes,
        id=suite.id,
        suite_parameters=dict(suite.suite_parameters or {}),
    )


def require_known(schema: Schema) -> None:
    """Refuse unknown expectations before any data is read.

    Great Expectations is imported only for those that it does not ship: users' own, and misspelt ones.

    :raises InvalidConfigError: names the rule and the closest known expectation.
    """
    for index, rule in enumerate(schema.expectations):
        if gx_signature(rule.type) is None:
            build_expectation(rule, f"{schema.name}: expectations[{index}]")


def build_expectation(rule: Rule, where: str, **more: Any) -> Any:
    """Return a rule as Great Expectations' expectation object.

    :raises InvalidConfigError: an unknown expectation, or an argument that it refuses.
    """
    from great_expectations.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    given = {"notes": rule.notes, "description": rule.description, **more}
    try:
        implementation = get_expectation_impl(rule.type)
        return implementation(**rule.kwargs, **given, meta=dict(rule.meta), severity=str(rule.severity))
    except ExpectationNotFoundError as error:
        close = did_you_mean(rule.type, list_registered_expectation_implementations())
        msg = f"{where}: unknown expectation {rule.type!r}; allowed: those of Great Expectations{close}"
        raise InvalidConfigError(msg) from error
    except (GreatExpectationsError, ValueError, TypeError) as error:
        msg = f"{where} ({rule.type}): {' '.join(str(error).split())[:300]}"
        raise InvalidConfigError(msg) from error


def _rule(expectation: Any) -> Rule:
    """Return an expectation as a rule, with arguments that were given even where they equal the default."""
    written = expectation.configuration.to_json_dict()
    arguments = {**written["kwargs"]}
    for name in expectation.__fields_set__ - arguments.keys() - own_fields():
        arguments[name] = getattr(expectation, name)
    kept = {key: written[key] for key in _RULE_KEYS if written.get(key)}
    return Rule.from_json({**kept, "kwargs": plain_arguments(arguments)})


@cache
def own_fields() -> set[str]:
    """Return the fields that every expectation has besides its arguments."""
    from great_expectations.expectations.expectation import Expectation

    return set(Expectation.__fields__) | {"batch_id"}
