"""Answers about the table: its rows, its columns and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.data.expectations.query import Answer, is_plain, read_bounds, span

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.schema.schema import Rule

RANGE = {"min_value", "max_value", "strict_min", "strict_max"}


def column_exists(rule: Rule, profile: Profile) -> Answer | None:
    """Say whether the rule's column is there; at its place, if the rule names one other than the first."""
    name, index = rule.kwargs["column"], rule.kwargs.get("column_index")
    if not isinstance(name, str) or not (index is None or is_plain(index, whole=True)):
        return None
    if name not in profile.names:
        return Answer(
            passed=False, observed="absent", reason=f"{name}: no such column; columns: {_there(profile)}"
        )
    if not index:  # Great Expectations takes index 0 for none at all
        return Answer(passed=True, observed="present", reason=f"{name}: present")
    at = profile.names.index(name)
    passed = at == (index if index > 0 else index + len(profile.names))
    return Answer(passed=passed, observed=at, reason=f"{name}: column {at}, allowed {index}")


def _row_count(rule: Rule, profile: Profile) -> Answer | None:
    bounds = read_bounds(rule.kwargs, whole=True)
    if bounds is None:
        return None
    reason = f"table: {profile.rows} rows, allowed {span(rule)}"
    return Answer(passed=bounds.holds(profile.rows), observed=profile.rows, reason=reason)


def _column_count(rule: Rule, profile: Profile) -> Answer | None:
    bounds, count = read_bounds(rule.kwargs), len(profile.names)
    if bounds is None:
        return None
    return Answer(
        passed=bounds.holds(count), observed=count, reason=f"table: {count} columns, allowed {span(rule)}"
    )


def _row_count_equals(rule: Rule, profile: Profile) -> Answer | None:
    return _equals(rule, profile.rows, "rows")


def _column_count_equals(rule: Rule, profile: Profile) -> Answer | None:
    return _equals(rule, len(profile.names), "columns")


def _equals(rule: Rule, count: int, what: str) -> Answer | None:
    value = rule.kwargs.get("value")
    if not is_plain(value, whole=True):
        return None
    return Answer(passed=count == value, observed=count, reason=f"table: {count} {what}, allowed {value}")


def _column_set(rule: Rule, profile: Profile) -> Answer | None:
    wanted, exact = _names(rule.kwargs.get("column_set")), rule.kwargs.get("exact_match", True)
    if wanted is None or not isinstance(exact, bool):
        return None
    missing = [name for name in wanted if name not in profile.names]
    strange = [name for name in profile.names if name not in wanted] if exact else []
    parts = [
        f"{word} {', '.join(names)}" for word, names in (("lacks", missing), ("has also", strange)) if names
    ]
    reason = f"table: {'; '.join(parts) or 'has the columns it should'}"
    return Answer(passed=not parts, observed=_there(profile), reason=reason)


def _column_order(rule: Rule, profile: Profile) -> Answer | None:
    wanted = _names(rule.kwargs.get("column_list"))
    if wanted is None:
        return None
    reason = f"table: columns {_there(profile)}; allowed {', '.join(wanted)}"
    return Answer(passed=list(profile.names) == wanted, observed=_there(profile), reason=reason)


def _names(value: object) -> list[str] | None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return None
    return value


def _there(profile: Profile) -> str:
    return ", ".join(profile.names)


TABLE_ANSWERS: dict[str, tuple[Callable[[Rule, Profile], Answer | None], set[str]]] = {
    "expect_column_to_exist": (column_exists, {"column", "column_index"}),
    "expect_table_row_count_to_be_between": (_row_count, RANGE),
    "expect_table_row_count_to_equal": (_row_count_equals, {"value"}),
    "expect_table_column_count_to_be_between": (_column_count, {"min_value", "max_value"}),
    "expect_table_column_count_to_equal": (_column_count_equals, {"value"}),
    "expect_table_columns_to_match_set": (_column_set, {"column_set", "exact_match"}),
    "expect_table_columns_to_match_ordered_list": (_column_order, {"column_list"}),
}
