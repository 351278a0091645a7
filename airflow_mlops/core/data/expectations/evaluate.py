"""Answers expectations from a profile, exactly as Great Expectations would from the rows.

A function returns ``None`` when the profile does not hold the answer, or when an argument is of a kind
that Great Expectations should judge itself; then the rows have to be read. Two answers differ on purpose, and
neither is ever a pass: a column that is absent fails, and so does a numeric range of text, where Great
Expectations says that it could not measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.data.expectations.aggregates import AGGREGATE_ANSWERS
from airflow_mlops.core.data.expectations.query import Question, understands_mostly
from airflow_mlops.core.data.expectations.sets import SET_ANSWERS
from airflow_mlops.core.data.expectations.table import TABLE_ANSWERS, column_exists
from airflow_mlops.core.data.expectations.types import TYPE_ANSWERS
from airflow_mlops.core.data.expectations.values import VALUE_ANSWERS
from airflow_mlops.core.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    from typing import Any

    from airflow_mlops.core.data.expectations.query import Answer
    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.schema.schema import Rule

FAILED = {Severity.CRITICAL: Outcome.FAIL, Severity.WARNING: Outcome.WARN, Severity.INFO: Outcome.PASS}
COLUMN_ANSWERS = {**VALUE_ANSWERS, **SET_ANSWERS, **AGGREGATE_ANSWERS, **TYPE_ANSWERS}


def answer(rule: Rule, profile: Profile) -> Finding | None:
    """Judge a rule by the profile; ``None`` if that is not possible."""
    asked = _meaningful(rule.kwargs)
    found = _ask(rule, asked, profile)
    if found is None:
        return None
    subject = str(asked.get("column", "table"))
    return finding(rule, subject, passed=found.passed, observed=found.observed, reason=found.reason)


def _ask(rule: Rule, asked: dict[str, Any], profile: Profile) -> Answer | None:
    if rule.type in TABLE_ANSWERS:
        judge_table, understood = TABLE_ANSWERS[rule.type]
        return judge_table(rule, profile) if asked.keys() <= understood else None
    if rule.type not in COLUMN_ANSWERS or not isinstance(asked.get("column"), str):
        return None
    judge, understood = COLUMN_ANSWERS[rule.type]
    if not asked.keys() <= understood | {"column"} or not understands_mostly(asked):
        return None
    column = profile.column(asked["column"])
    if column is None:
        return column_exists(rule, profile)
    found: Answer | None = judge(Question(rule=rule, column=column, profile=profile))
    return found


def _meaningful(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Leave out arguments that change nothing: exported suites carry them."""
    idle = {
        name for name in ("row_condition", "batch_id", "windows", "result_format") if kwargs.get(name) is None
    }
    idle |= {"condition_parser"} if kwargs.get("row_condition") is None else set()
    return {key: value for key, value in kwargs.items() if key not in idle | {"catch_exceptions"}}


def finding(rule: Rule, subject: str, *, passed: bool, observed: float | str | None, reason: str) -> Finding:
    """Turn an answer into a finding of the rule's severity."""
    return Finding(
        check=rule.type,
        subject=subject,
        outcome=Outcome.PASS if passed else FAILED[rule.severity],
        severity=rule.severity,
        reason=reason,
        observed=observed,
        allowed=", ".join(f"{key} {value}" for key, value in rule.kwargs.items() if key != "column"),
    )
