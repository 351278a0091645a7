"""Answers about one number of a column: smallest, largest, mean, sum, standard deviation, share of values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_mlops.core.data.expectations.known_values import is_exact
from airflow_mlops.core.data.expectations.query import read_bounds, span
from airflow_mlops.core.data.expectations.types import WHOLE
from airflow_mlops.core.data.expectations.values import moment_slack, read_moments
from airflow_mlops.core.data.profile.column import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.core.data.expectations.query import Answer, Question

RANGE = {"min_value", "max_value", "strict_min", "strict_max"}
DOUBLES = {"double", *WHOLE}
"""Storage types whose arithmetic pandas does in double precision."""
RELATIVE_ERROR = 1e-9
"""Part of a sum's terms by which the roundings of profile and pandas may differ, besides ``ULP`` a term."""
ULP = 2.0**-52
LARGEST_SUM = 2.0**62
"""Sums of whole numbers beyond this may overflow in pandas."""


def _minimum(question: Question) -> Answer | None:
    return _extreme(question, question.column.minimum, "minimum")


def _maximum(question: Question) -> Answer | None:
    return _extreme(question, question.column.maximum, "maximum")


def _extreme(question: Question, value: float | None, what: str) -> Answer | None:
    column = question.column
    if column.kind is Kind.DATETIME:
        dates = column.arrow_type.startswith("date")
        bounds, slack = read_moments(question.rule.kwargs, column), moment_slack(column)
        if bounds is None or value is None or (dates and column.nulls) or not bounds.limit:
            return None
        return _say(question, what, value, bounds.judge(value - slack, value + slack))
    bounds = read_bounds(question.rule.kwargs)
    if bounds is None or not _is_measured(column):
        return None
    return _say(question, what, value, False if value is None else bounds.holds(value))


def _is_measured(column: Column) -> bool:
    """Say whether pandas computes as we do: in double precision, and without infinite values."""
    if column.kind not in (Kind.INTEGER, Kind.NUMBER) or column.infinite:
        return False
    doubles = set(column.arrow_type.split(" | ")) <= DOUBLES
    return doubles and (not column.present or column.kind is Kind.NUMBER or is_exact(column))


def _sums(column: Column) -> tuple[int, float, float]:
    """Return the number of values, the largest one's magnitude, and the relative rounding error."""
    largest = max(abs(column.minimum or 0.0), abs(column.maximum or 0.0), abs(column.origin))
    return column.present, largest, RELATIVE_ERROR + column.present * ULP


def _mean(question: Question) -> Answer | None:
    column, bounds = question.column, read_bounds(question.rule.kwargs)
    if bounds is None or not _is_measured(column):
        return None
    if column.mean is None:
        return _say(question, "mean", None, passed=False)
    _, largest, error = _sums(column)
    slack = largest * error
    return _say(question, "mean", column.mean, bounds.judge(column.mean - slack, column.mean + slack))


def _sum(question: Question) -> Answer | None:
    column, bounds = question.column, read_bounds(question.rule.kwargs)
    if bounds is None or not _is_measured(column):
        return None
    count, largest, error = _sums(column)
    total = column.total + count * column.origin
    slack = count * largest * error
    if not math.isfinite(total) or abs(total) + slack > LARGEST_SUM:
        return None
    return _say(question, "sum", total, bounds.judge(total - slack, total + slack))


def _deviation(question: Question) -> Answer | None:
    """Sample standard deviation, divisor n - 1, as pandas has it; of fewer than two values there is none."""
    column, bounds = question.column, read_bounds(question.rule.kwargs)
    if bounds is None or not _is_measured(column):
        return None
    count, largest, error = _sums(column)
    if count < 2:
        return _say(question, "standard deviation", None, passed=False)
    mean_square = column.total * column.total / count
    squares = column.total_squares - mean_square
    slack = error * (column.total_squares + mean_square + count * largest * largest * ULP)
    if not math.isfinite(squares + slack):
        return None
    low, high = (math.sqrt(max(0.0, square) / (count - 1)) for square in (squares - slack, squares + slack))
    return _say(question, "standard deviation", (low + high) / 2, bounds.judge(low, high))


def _present_share(question: Question) -> Answer | None:
    bounds, rows = read_bounds(question.rule.kwargs), question.profile.rows
    if bounds is None:
        return None
    share = (rows - question.column.nulls) / rows if rows else 0.0
    return _say(question, "share of values", share, bounds.holds(share))


def _say(question: Question, what: str, value: float | None, passed: bool | None) -> Answer | None:  # noqa: FBT001 - private
    seen = f"{what} {value:g}" if value is not None else f"no {what}"
    return question.say(passed=passed, observed=value, reason=f"{seen}, allowed {span(question.rule)}")


AGGREGATE_ANSWERS: dict[str, tuple[Callable[[Question], Answer | None], set[str]]] = {
    "expect_column_min_to_be_between": (_minimum, RANGE),
    "expect_column_max_to_be_between": (_maximum, RANGE),
    "expect_column_mean_to_be_between": (_mean, RANGE),
    "expect_column_sum_to_be_between": (_sum, RANGE),
    "expect_column_stdev_to_be_between": (_deviation, RANGE),
    "expect_column_proportion_of_non_null_values_to_be_between": (_present_share, RANGE),
}
