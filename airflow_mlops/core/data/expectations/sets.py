"""Answers about which values occur: in a set, all of a set, unique, how many different ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.known_values import is_exact, known_values
from airflow_mlops.core.data.expectations.query import read_bounds, span
from airflow_mlops.core.data.profile.column import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.core.data.expectations.known_values import Known
    from airflow_mlops.core.data.expectations.query import Answer, Question

RANGE = {"min_value", "max_value", "strict_min", "strict_max"}
HELD = {Kind.STRING: str, Kind.BOOLEAN: bool, Kind.INTEGER: int}
SHOWN = 5


def _in_set(question: Question) -> Answer | None:
    known, wanted = known_values(question.column), _value_set(question)
    if known is None or wanted is None:
        return None
    inside = sum(count for value, count in known.counts.items() if value in wanted)
    strange = [value for value in known.counts if value not in wanted]
    return _say_share(question, known, inside, f"outside the set ({_listed(strange)})")


def _not_in_set(question: Question) -> Answer | None:
    known, refused = known_values(question.column), _value_set(question)
    if known is None or refused is None:
        return None
    outside = sum(count for value, count in known.counts.items() if value not in refused)
    met = [value for value in known.counts if value in refused]
    return _say_share(question, known, outside, f"in the refused set ({_listed(met)})")


def _say_share(question: Question, known: Known, good: int, what: str) -> Answer | None:
    present = question.column.present
    unknown = 0 if known.complete else present - sum(known.counts.values())
    bad = 1 - good / present if present else 0.0
    reason = f"{bad:.3g} of values {what}, allowed {1 - question.mostly:.3g}"
    passed = question.judge_share(good, good + unknown)
    return question.say(passed=passed, observed=round(bad, 6), reason=reason)


def _value_set(question: Question) -> set[Any] | None:
    """Return the rule's values, ``None`` unless all are of the column's kind."""
    values, kind = question.rule.kwargs.get("value_set"), HELD.get(question.column.kind)
    if not isinstance(values, list) or kind is None:
        return None
    return set(values) if all(type(value) is kind for value in values) else None


def _distinct_in_set(question: Question) -> Answer | None:
    known, wanted = known_values(question.column), _value_set(question)
    if known is None or not wanted:
        return None
    strange = [value for value in known.counts if value not in wanted]
    passed = False if strange else (True if known.complete else None)
    return _say_distinct(question, passed, [], strange)


def _distinct_contain_set(question: Question) -> Answer | None:
    known, wanted = known_values(question.column), _value_set(question)
    if known is None or wanted is None:
        return None
    missing = sorted(wanted - known.counts.keys())
    passed = True if not missing else (False if known.complete else None)
    return _say_distinct(question, passed, missing, [])


def _distinct_equal_set(question: Question) -> Answer | None:
    known, wanted = known_values(question.column), _value_set(question)
    if known is None or wanted is None or not question.column.present:
        return None
    missing, strange = sorted(wanted - known.counts.keys()), [v for v in known.counts if v not in wanted]
    passed = not missing and not strange if known.complete else (False if strange else None)
    return _say_distinct(question, passed, missing, strange)


def _say_distinct(
    question: Question,
    passed: bool | None,  # noqa: FBT001 - private
    missing: list[Any],
    strange: list[Any],
) -> Answer | None:
    parts = [f"lacks {_listed(missing)}"] if missing else []
    parts += [f"also {_listed(strange)}"] if strange else []
    reason = f"values: {'; '.join(parts) or 'as they should be'}"
    return question.say(passed=passed, observed=_listed([*missing, *strange]), reason=reason)


def _unique(question: Question) -> Answer | None:
    column, known = question.column, known_values(question.column)
    if known is None:
        return None
    repeated = sum(count for count in known.counts.values() if count > 1)
    least, most = (column.present - repeated,) * 2 if known.complete else _count_unique(column, repeated)
    twice = [value for value, count in known.counts.items() if count > 1]
    reason = f"values more than once: {_listed(twice) or ('none' if least else 'some')}"
    reason += f", allowed for {1 - question.mostly:.3g} of them"
    return question.say(passed=question.judge_share(least, most), observed=_listed(twice), reason=reason)


def _count_unique(column: Column, repeated: int) -> tuple[int, int]:
    """Return how many rows hold a value that no other row holds, at least and at most."""
    present, distinct = column.present, column.exact_distinct
    if distinct == present:
        return present, present
    if repeated or (distinct or present) < present or _is_crowded(column):
        return 0, present - max(2, repeated)
    return 0, present


def _is_crowded(column: Column) -> bool:
    """Say whether there are more rows than whole numbers in the range."""
    if column.kind is not Kind.INTEGER or not is_exact(column):
        return False
    return (column.maximum or 0) - (column.minimum or 0) + 1 < column.present


def exact_distinct(column: Column) -> int | None:
    """Return the number of distinct values if it is known exactly, without missing ones."""
    known = known_values(column)
    if known is not None and known.complete:
        return len(known.counts)
    return column.exact_distinct if column.kind in (Kind.STRING, Kind.INTEGER) else None


def _distinct_count(question: Question) -> Answer | None:
    bounds, count = read_bounds(question.rule.kwargs, whole=True), exact_distinct(question.column)
    if bounds is None or count is None:
        return None
    reason = f"{count} distinct values, allowed {span(question.rule)}"
    return question.say(passed=bounds.holds(count), observed=count, reason=reason)


def _distinct_share(question: Question) -> Answer | None:
    bounds, count = read_bounds(question.rule.kwargs), exact_distinct(question.column)
    if bounds is None or count is None:
        return None
    share = count / question.column.present if question.column.present else 0.0
    reason = f"{share:.3g} of values are distinct, allowed {span(question.rule)}"
    return question.say(passed=bounds.holds(share), observed=share, reason=reason)


def _most_common(question: Question) -> Answer | None:
    known, wanted = known_values(question.column), _value_set(question)
    ties = question.rule.kwargs.get("ties_okay") or False
    if known is None or not known.complete or wanted is None or not isinstance(ties, bool):
        return None
    top = max(known.counts.values(), default=0)
    modes = [value for value, count in known.counts.items() if count == top]
    met = sum(value in wanted for value in modes)
    passed = met > 0 if ties else len(modes) == 1 and met == 1
    reason = f"most common value {_listed(modes)}, allowed {_listed(sorted(wanted))}"
    return question.say(passed=passed, observed=_listed(modes), reason=reason)


def _listed(values: list[Any]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(str(value) for value in values[:SHOWN]) + more


SET_ANSWERS: dict[str, tuple[Callable[[Question], Answer | None], set[str]]] = {
    "expect_column_values_to_be_in_set": (_in_set, {"value_set", "mostly"}),
    "expect_column_values_to_not_be_in_set": (_not_in_set, {"value_set", "mostly"}),
    "expect_column_distinct_values_to_be_in_set": (_distinct_in_set, {"value_set"}),
    "expect_column_distinct_values_to_contain_set": (_distinct_contain_set, {"value_set"}),
    "expect_column_distinct_values_to_equal_set": (_distinct_equal_set, {"value_set"}),
    "expect_column_values_to_be_unique": (_unique, {"mostly"}),
    "expect_column_unique_value_count_to_be_between": (_distinct_count, RANGE),
    "expect_column_proportion_of_unique_values_to_be_between": (_distinct_share, RANGE),
    "expect_column_most_common_value_to_be_in_set": (_most_common, {"value_set", "ties_okay"}),
}
