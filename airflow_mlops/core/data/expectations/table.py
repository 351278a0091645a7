"""Expectations on the table: row count, column count, column names and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.data.expectations.query import (
    RANGE_ARGUMENTS,
    ProfileAnswer,
    is_plain,
    limits_text,
    read_bounds,
)
from airflow_mlops.core.nouns import with_noun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_mlops.core.data.expectations.rule import Rule
    from airflow_mlops.core.data.profile.profile import Profile


def column_exists(rule: Rule, profile: Profile) -> ProfileAnswer | None:
    """Evaluate whether the rule's column exists, and at ``column_index`` if that is given."""
    name, index = rule.kwargs["column"], rule.kwargs.get("column_index")
    if not isinstance(name, str) or not (index is None or is_plain(index, whole=True)):
        return None
    if name not in profile.names:
        return ProfileAnswer(
            passed=False, observed="absent", reason=f"{name}: no such column; columns: {_listed(profile)}"
        )
    if not index:  # Great Expectations treats index 0 as absent
        return ProfileAnswer(passed=True, observed="present", reason=f"{name}: present")
    at = profile.names.index(name)
    passed = at == (index if index > 0 else index + len(profile.names))
    return ProfileAnswer(passed=passed, observed=at, reason=f"{name}: column {at}, allowed {index}")


def _row_count(rule: Rule, profile: Profile) -> ProfileAnswer | None:
    bounds = read_bounds(rule.kwargs, whole=True)
    if bounds is None:
        return None
    reason = f"table: {with_noun(profile.rows, 'row')}, allowed {limits_text(rule)}"
    return ProfileAnswer(passed=bounds.holds(profile.rows), observed=profile.rows, reason=reason)


def _column_count(rule: Rule, profile: Profile) -> ProfileAnswer | None:
    bounds, count = read_bounds(rule.kwargs), len(profile.names)
    if bounds is None:
        return None
    return ProfileAnswer(
        passed=bounds.holds(count),
        observed=count,
        reason=f"table: {with_noun(count, 'column')}, allowed {limits_text(rule)}",
    )


def _row_count_equals(rule: Rule, profile: Profile) -> ProfileAnswer | None:
    return _equals(rule, profile.rows, "rows")


def _column_count_equals(rule: Rule, profile: Profile) -> ProfileAnswer | None:
    return _equals(rule, len(profile.names), "columns")


def _equals(rule: Rule, count: int, what: str) -> ProfileAnswer | None:
    value = rule.kwargs.get("value")
    if not is_plain(value, whole=True):
        return None
    return ProfileAnswer(
        passed=count == value, observed=count, reason=f"table: {count} {what}, allowed {value}"
    )


def _column_set(rule: Rule, profile: Profile) -> ProfileAnswer | None:
    wanted, exact = _names(rule.kwargs.get("column_set")), rule.kwargs.get("exact_match", True)
    if wanted is None or not isinstance(exact, bool):
        return None
    missing = [name for name in wanted if name not in profile.names]
    unexpected = [name for name in profile.names if name not in wanted] if exact else []
    parts = [
        f"{word} {', '.join(names)}"
        for word, names in (("lacks", missing), ("has also", unexpected))
        if names
    ]
    reason = f"table: {'; '.join(parts) or 'has the expected columns'}"
    return ProfileAnswer(passed=not parts, observed=_listed(profile), reason=reason)


def _column_order(rule: Rule, profile: Profile) -> ProfileAnswer | None:
    wanted = _names(rule.kwargs.get("column_list"))
    if wanted is None:
        return None
    reason = f"table: columns {_listed(profile)}; allowed {', '.join(wanted)}"
    return ProfileAnswer(passed=list(profile.names) == wanted, observed=_listed(profile), reason=reason)


def _names(value: object) -> list[str] | None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return None
    return value


def _listed(profile: Profile) -> str:
    return ", ".join(profile.names)


TABLE_EVALUATORS: Mapping[str, tuple[Callable[[Rule, Profile], ProfileAnswer | None], frozenset[str]]] = {
    "expect_column_to_exist": (column_exists, frozenset({"column", "column_index"})),
    "expect_table_row_count_to_be_between": (_row_count, RANGE_ARGUMENTS),
    "expect_table_row_count_to_equal": (_row_count_equals, frozenset({"value"})),
    "expect_table_column_count_to_be_between": (_column_count, frozenset({"min_value", "max_value"})),
    "expect_table_column_count_to_equal": (_column_count_equals, frozenset({"value"})),
    "expect_table_columns_to_match_set": (_column_set, frozenset({"column_set", "exact_match"})),
    "expect_table_columns_to_match_ordered_list": (_column_order, frozenset({"column_list"})),
}
