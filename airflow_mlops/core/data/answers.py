"""Answers expectations from a profile, exactly as Great Expectations would from the rows.

A function returns ``None`` when the profile does not hold the answer; then the rows have to be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.data.column import Column, Kind
from airflow_mlops.core.data.inference import TYPE_NAMES
from airflow_mlops.core.outcome import Finding, Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.core.data.profile import Profile
    from airflow_mlops.core.data.schema import Rule

FAILED = {Severity.CRITICAL: Outcome.FAIL, Severity.WARNING: Outcome.WARN, Severity.INFO: Outcome.PASS}
BOUNDS = {"min_value", "max_value"}


def answer(rule: Rule, profile: Profile) -> Finding | None:
    """Judge a rule by the profile; ``None`` if that is not possible."""
    if rule.type in TABLE_ANSWERS:
        return TABLE_ANSWERS[rule.type](rule, profile)
    judge, understood = COLUMN_ANSWERS.get(rule.type, (None, set()))
    if judge is None or not set(rule.kwargs) <= understood | {"column"}:
        return None
    name = str(rule.kwargs.get("column"))
    column = profile.column(name)
    if column is None:
        there = ", ".join(profile.names)
        return finding(
            rule, name, passed=False, observed="absent", reason=f"{name}: no such column; columns: {there}"
        )
    return judge(rule, column, profile.rows)


def finding(rule: Rule, subject: str, *, passed: bool, observed: float | str | None, reason: str) -> Finding:
    """Turn an answer into a finding of the rule's severity."""
    return Finding(
        check=rule.type,
        subject=subject,
        outcome=Outcome.PASS if passed else FAILED[rule.severity],
        severity=rule.severity,
        reason=reason,
        observed=observed,
        allowed=_allowed(rule),
    )


def _allowed(rule: Rule) -> str:
    return ", ".join(f"{key} {value}" for key, value in rule.kwargs.items() if key != "column")


def _row_count(rule: Rule, profile: Profile) -> Finding | None:
    if not set(rule.kwargs) <= BOUNDS:
        return None
    passed = _between(rule, profile.rows)
    reason = f"table: {profile.rows} rows, allowed {_span(rule)}"
    return finding(rule, "table", passed=passed, observed=profile.rows, reason=reason)


def _exists(rule: Rule, column: Column, _: int) -> Finding:
    return finding(rule, column.name, passed=True, observed="present", reason=f"{column.name}: present")


def _types(rule: Rule, column: Column, _: int) -> Finding | None:
    kinds = {kind for kind, names in TYPE_NAMES.items() if set(names) & set(rule.kwargs["type_list"])}
    exact = any(rule.kwargs["type_list"] == names for names in TYPE_NAMES.values())
    if not exact or column.kind is Kind.UNSUPPORTED:
        return None
    passed = column.kind in kinds or not column.present
    wanted = " or ".join(sorted(kinds))
    reason = f"{column.name}: {column.kind} ({column.arrow_type}), allowed {wanted}"
    return finding(rule, column.name, passed=passed, observed=str(column.kind), reason=reason)


def _not_null(rule: Rule, column: Column, rows: int) -> Finding:
    share, allowed = column.null_share(rows), 1 - rule.kwargs.get("mostly", 1.0)
    reason = f"{column.name}: null share {share:.3g}, allowed {allowed:.3g}"
    passed = rows == 0 or (rows - column.nulls) / rows >= rule.kwargs.get("mostly", 1.0)
    return finding(rule, column.name, passed=passed, observed=round(share, 6), reason=reason)


def _values_between(rule: Rule, column: Column, _: int) -> Finding | None:
    if column.kind in (Kind.STRING, Kind.BOOLEAN):
        reason = f"{column.name}: {column.kind} values have no range, allowed {_span(rule)}"
        return finding(rule, column.name, passed=not column.present, observed=str(column.kind), reason=reason)
    if rule.kwargs.get("mostly", 1.0) != 1.0 or column.kind not in (Kind.INTEGER, Kind.NUMBER):
        return None
    return _range(rule, column, column.minimum, column.maximum, "values")


def _lengths_between(rule: Rule, column: Column, _: int) -> Finding | None:
    if rule.kwargs.get("mostly", 1.0) != 1.0 or column.kind is not Kind.STRING:
        return None
    return _range(rule, column, column.minimum, column.maximum, "lengths")


def _range(rule: Rule, column: Column, low: float | None, high: float | None, what: str) -> Finding:
    empty = low is None or high is None
    passed = empty or (_between(rule, low or 0) and _between(rule, high or 0))
    seen = f"no {what}" if empty else f"{what} {low:g} to {high:g}"
    reason = f"{column.name}: {seen}, allowed {_span(rule)}"
    return finding(rule, column.name, passed=passed, observed=seen, reason=reason)


def _in_set(rule: Rule, column: Column, _: int) -> Finding | None:
    if column.kind is not Kind.STRING or (not column.names_all):
        return None  # some values have no cell and no name
    allowed = set(rule.kwargs["value_set"])
    known = sum(count for name, count in column.named.items() if name in allowed)
    share = known / column.present if column.present else 1.0
    strange = [name for name in column.named if name not in allowed]
    reason = f"{column.name}: {1 - share:.3g} of values outside the set ({', '.join(strange[:5])}), "
    reason += f"allowed {1 - rule.kwargs.get('mostly', 1.0):.3g}"
    passed = share >= rule.kwargs.get("mostly", 1.0)
    return finding(rule, column.name, passed=passed, observed=round(1 - share, 6), reason=reason)


def _between(rule: Rule, value: float) -> bool:
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    return (low is None or value >= low) and (high is None or value <= high)


def _span(rule: Rule) -> str:
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    return f"{'anything' if low is None else low} to {'anything' if high is None else high}"


TABLE_ANSWERS: dict[str, Callable[[Rule, Profile], Finding | None]] = {
    "expect_table_row_count_to_be_between": _row_count,
}
COLUMN_ANSWERS: dict[str, tuple[Callable[[Rule, Column, int], Finding | None] | None, set[str]]] = {
    "expect_column_to_exist": (_exists, set()),
    "expect_column_values_to_be_in_type_list": (_types, {"type_list"}),
    "expect_column_values_to_not_be_null": (_not_null, {"mostly"}),
    "expect_column_values_to_be_between": (_values_between, {"mostly", *BOUNDS}),
    "expect_column_value_lengths_to_be_between": (_lengths_between, {"mostly", *BOUNDS}),
    "expect_column_values_to_be_in_set": (_in_set, {"value_set", "mostly"}),
}
