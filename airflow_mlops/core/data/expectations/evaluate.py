"""Evaluation of expectations from a profile, with the results that Great Expectations has from the rows.

An evaluator returns ``None`` when the profile does not determine the result, or when an argument is of a type
left to Great Expectations; then the rows have to be read. Three results differ on purpose, and none is ever a
pass: an absent column fails, and so does a numeric range of text, which Great Expectations calls an error;
values that are only stored in another type than a rule on types allows warn, where they fail there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.core.data.expectations.aggregates import AGGREGATE_EVALUATORS
from airflow_mlops.core.data.expectations.query import ProfileQuery, shortened, understands_mostly
from airflow_mlops.core.data.expectations.sets import SET_EVALUATORS
from airflow_mlops.core.data.expectations.table import TABLE_EVALUATORS, column_exists
from airflow_mlops.core.data.expectations.types import TYPE_EVALUATORS
from airflow_mlops.core.data.expectations.values import VALUE_EVALUATORS
from airflow_mlops.core.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from airflow_mlops.core.data.expectations.query import ProfileAnswer
    from airflow_mlops.core.data.expectations.rule import Rule
    from airflow_mlops.core.data.profile.profile import Profile

_FAILURES = {
    Severity.CRITICAL: Outcome.FAIL,
    Severity.WARNING: Outcome.WARN,
    Severity.INFO: Outcome.PASS,
}
COLUMN_EVALUATORS = {**VALUE_EVALUATORS, **SET_EVALUATORS, **AGGREGATE_EVALUATORS, **TYPE_EVALUATORS}


def evaluate_rule(rule: Rule, profile: Profile, whole: Collection[str] = ()) -> Finding | None:
    """Evaluate a rule from the profile; ``None`` if the rows are needed.

    :param whole: names of columns whose values are known from the rows to be whole numbers.
    """
    kwargs = _effective(rule.kwargs)
    found = _evaluate(rule, kwargs, profile, whole)
    if found is None:
        return None
    subject = str(kwargs.get("column", "table"))
    told = rule_finding(rule, subject, passed=found.passed, observed=found.observed, reason=found.reason)
    return replace(told, outcome=Outcome.WARN) if found.mild and told.outcome is Outcome.FAIL else told


def _evaluate(
    rule: Rule, kwargs: dict[str, Any], profile: Profile, whole: Collection[str]
) -> ProfileAnswer | None:
    if rule.type in TABLE_EVALUATORS:
        evaluate_table, understood = TABLE_EVALUATORS[rule.type]
        return evaluate_table(rule, profile) if kwargs.keys() <= understood else None
    if rule.type not in COLUMN_EVALUATORS or not isinstance(kwargs.get("column"), str):
        return None
    evaluate, understood = COLUMN_EVALUATORS[rule.type]
    if not kwargs.keys() <= understood | {"column"} or not understands_mostly(kwargs):
        return None
    column = profile.column(kwargs["column"])
    if column is None:
        return column_exists(rule, profile)
    return evaluate(ProfileQuery(rule=rule, column=column, profile=profile, whole=whole))


def _effective(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Drop arguments without effect, which exported suites carry."""
    idle = {
        name for name in ("row_condition", "batch_id", "windows", "result_format") if kwargs.get(name) is None
    }
    idle |= {"condition_parser"} if kwargs.get("row_condition") is None else set()
    return {key: value for key, value in kwargs.items() if key not in idle | {"catch_exceptions"}}


def rule_finding(
    rule: Rule, subject: str, *, passed: bool, observed: float | str | None, reason: str
) -> Finding:
    """Return a result as a finding of the rule's severity."""
    return Finding(
        check=rule.type,
        subject=subject,
        outcome=Outcome.PASS if passed else _FAILURES[rule.severity],
        severity=rule.severity,
        reason=reason,
        observed=observed,
        allowed=allowed_text(rule),
    )


def allowed_text(rule: Rule) -> str:
    """Return a rule's arguments for a message; of a long set the first values."""
    told = {key: value for key, value in rule.kwargs.items() if key != "column"}
    return ", ".join(
        f"{key} {f'[{shortened(value)}]' if isinstance(value, list) else value}"
        for key, value in told.items()
    )
