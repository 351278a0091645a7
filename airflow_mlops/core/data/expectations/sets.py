"""Expectations on the set of values: membership, coverage, uniqueness, distinct counts, most common value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.known_values import is_exact, known_values
from airflow_mlops.core.data.expectations.query import RANGE_ARGUMENTS, limits_text, read_bounds, shortened
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.nouns import with_noun

if TYPE_CHECKING:
    from airflow_mlops.core.data.expectations.known_values import KnownValues
    from airflow_mlops.core.data.expectations.query import ColumnEvaluators, ProfileAnswer, ProfileQuery

_PYTHON_TYPES = {Kind.STRING: str, Kind.BOOLEAN: bool, Kind.INTEGER: int}


def _in_set(query: ProfileQuery) -> ProfileAnswer | None:
    known, wanted = known_values(query.column), _value_set(query)
    if known is None or wanted is None:
        return None
    inside = sum(count for value, count in known.counts.items() if value in wanted)
    unexpected = [value for value in known.counts if value not in wanted]
    return _answer_share(query, known, inside, f"outside the set ({shortened(unexpected)})")


def _not_in_set(query: ProfileQuery) -> ProfileAnswer | None:
    known, excluded = known_values(query.column), _value_set(query)
    if known is None or excluded is None:
        return None
    outside = sum(count for value, count in known.counts.items() if value not in excluded)
    found = [value for value in known.counts if value in excluded]
    return _answer_share(query, known, outside, f"in the excluded set ({shortened(found)})")


def _answer_share(query: ProfileQuery, known: KnownValues, good: int, what: str) -> ProfileAnswer | None:
    present = query.column.present
    unknown = 0 if known.complete else present - sum(known.counts.values())
    bad = (present - good - unknown) / present if present else 0.0
    least = "at least " if unknown else ""
    reason = f"{least}{100 * bad:.3g} % of values {what}, allowed {100 * (1 - query.mostly):.3g} %"
    passed = query.judge_share(good, good + unknown)
    return query.answer(passed=passed, observed=round(bad, 6), reason=reason)


def _value_set(query: ProfileQuery) -> set[Any] | None:
    """Return the rule's values; ``None`` unless all are of the column's Python type."""
    values, kind = query.rule.kwargs.get("value_set"), _PYTHON_TYPES.get(query.column.kind)
    if not isinstance(values, list) or kind is None:
        return None
    return set(values) if all(type(value) is kind for value in values) else None


def _distinct_in_set(query: ProfileQuery) -> ProfileAnswer | None:
    known, wanted = known_values(query.column), _value_set(query)
    if known is None or not wanted:
        return None
    unexpected = [value for value in known.counts if value not in wanted]
    passed = False if unexpected else (True if known.complete else None)
    return _answer_distinct(query, passed, [], unexpected)


def _distinct_contain_set(query: ProfileQuery) -> ProfileAnswer | None:
    known, wanted = known_values(query.column), _value_set(query)
    if known is None or wanted is None:
        return None
    missing = sorted(wanted - known.counts.keys())
    passed = True if not missing else (False if known.complete else None)
    return _answer_distinct(query, passed, missing, [])


def _distinct_equal_set(query: ProfileQuery) -> ProfileAnswer | None:
    known, wanted = known_values(query.column), _value_set(query)
    if known is None or wanted is None or not query.column.present:
        return None
    missing, unexpected = sorted(wanted - known.counts.keys()), [v for v in known.counts if v not in wanted]
    passed = not missing and not unexpected if known.complete else (False if unexpected else None)
    return _answer_distinct(query, passed, missing, unexpected)


def _answer_distinct(
    query: ProfileQuery,
    passed: bool | None,  # noqa: FBT001 - private
    missing: list[Any],
    unexpected: list[Any],
) -> ProfileAnswer | None:
    parts = [f"lacks {shortened(missing)}"] if missing else []
    parts += [f"also {shortened(unexpected)}"] if unexpected else []
    reason = f"values: {'; '.join(parts) or 'as expected'}"
    return query.answer(passed=passed, observed=shortened([*missing, *unexpected]), reason=reason)


def _unique(query: ProfileQuery) -> ProfileAnswer | None:
    column, known = query.column, known_values(query.column)
    if known is None:
        return None
    repeated = sum(count for count in known.counts.values() if count > 1)
    least, most = (column.present - repeated,) * 2 if known.complete else _count_unique(column, repeated)
    twice = [value for value, count in known.counts.items() if count > 1]
    reason = f"repeated values: {shortened(twice) or ('none' if least else 'some')}"
    reason += f", allowed for {1 - query.mostly:.3g} of them"
    return query.answer(passed=query.judge_share(least, most), observed=shortened(twice), reason=reason)


def _count_unique(column: Column, repeated: int) -> tuple[int, int]:
    """Return bounds of the number of rows whose value occurs in no other row."""
    present, distinct = column.present, column.exact_distinct
    if distinct == present:
        return present, present
    if repeated or (distinct or present) < present or _is_crowded(column):
        return 0, present - max(2, repeated)
    return 0, present


def _is_crowded(column: Column) -> bool:
    """Say whether there are more rows than integers in the range (pigeonhole principle)."""
    if column.kind is not Kind.INTEGER or not is_exact(column):
        return False
    return (column.maximum or 0) - (column.minimum or 0) + 1 < column.present


def exact_distinct(column: Column) -> int | None:
    """Return the number of distinct non-null values if it is known exactly."""
    known = known_values(column)
    if known is not None and known.complete:
        return len(known.counts)
    return column.exact_distinct if column.kind in (Kind.STRING, Kind.INTEGER) else None


def _distinct_count(query: ProfileQuery) -> ProfileAnswer | None:
    bounds, count = read_bounds(query.rule.kwargs, whole=True), exact_distinct(query.column)
    if bounds is None or count is None:
        return None
    reason = f"{with_noun(count, 'distinct value')}, allowed {limits_text(query.rule)}"
    return query.answer(passed=bounds.holds(count), observed=count, reason=reason)


def _distinct_share(query: ProfileQuery) -> ProfileAnswer | None:
    bounds, count = read_bounds(query.rule.kwargs), exact_distinct(query.column)
    if bounds is None or count is None:
        return None
    share = count / query.column.present if query.column.present else 0.0
    reason = f"{share:.3g} of values are distinct, allowed {limits_text(query.rule)}"
    return query.answer(passed=bounds.holds(share), observed=share, reason=reason)


def _most_common(query: ProfileQuery) -> ProfileAnswer | None:
    known, wanted = known_values(query.column), _value_set(query)
    ties = query.rule.kwargs.get("ties_okay") or False
    if known is None or not known.complete or wanted is None or not isinstance(ties, bool):
        return None
    top = max(known.counts.values(), default=0)
    modes = [value for value, count in known.counts.items() if count == top]
    met = sum(value in wanted for value in modes)
    passed = met > 0 if ties else len(modes) == 1 and met == 1
    reason = f"most common value {shortened(modes)}, allowed {shortened(sorted(wanted))}"
    return query.answer(passed=passed, observed=shortened(modes), reason=reason)


SET_EVALUATORS: ColumnEvaluators = {
    "expect_column_values_to_be_in_set": (_in_set, frozenset({"value_set", "mostly"})),
    "expect_column_values_to_not_be_in_set": (_not_in_set, frozenset({"value_set", "mostly"})),
    "expect_column_distinct_values_to_be_in_set": (_distinct_in_set, frozenset({"value_set"})),
    "expect_column_distinct_values_to_contain_set": (_distinct_contain_set, frozenset({"value_set"})),
    "expect_column_distinct_values_to_equal_set": (_distinct_equal_set, frozenset({"value_set"})),
    "expect_column_values_to_be_unique": (_unique, frozenset({"mostly"})),
    "expect_column_unique_value_count_to_be_between": (_distinct_count, RANGE_ARGUMENTS),
    "expect_column_proportion_of_unique_values_to_be_between": (_distinct_share, RANGE_ARGUMENTS),
    "expect_column_most_common_value_to_be_in_set": (_most_common, frozenset({"value_set", "ties_okay"})),
}
