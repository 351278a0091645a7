"""Expectations on an aggregate of a column: minimum, maximum, mean, sum, deviation, non-null share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from airflow_mlops.core.data.expectations.known_values import is_exact
from airflow_mlops.core.data.expectations.query import RANGE_ARGUMENTS, limits_text, read_bounds
from airflow_mlops.core.data.expectations.types import INTEGER_TYPES
from airflow_mlops.core.data.expectations.values import datetime_slack, read_datetimes
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.shown import shown_value

if TYPE_CHECKING:
    from airflow_mlops.core.data.expectations.query import ColumnEvaluators, ProfileAnswer, ProfileQuery

_DOUBLES = {"double", *INTEGER_TYPES}
"""Storage types whose arithmetic pandas does in double precision."""
_RELATIVE_ERROR = 1e-9
"""Relative rounding difference between profile and pandas, besides one ``_ULP`` per term of a sum."""
_ULP = 2.0**-52
_LARGEST_SUM = 2.0**62
"""Sums of integers beyond this may overflow in pandas."""


def _minimum(query: ProfileQuery) -> ProfileAnswer | None:
    return _extreme(query, query.column.minimum, "minimum")


def _maximum(query: ProfileQuery) -> ProfileAnswer | None:
    return _extreme(query, query.column.maximum, "maximum")


def _extreme(query: ProfileQuery, value: float | None, what: str) -> ProfileAnswer | None:
    column = query.column
    if column.kind is Kind.DATETIME:
        dates = column.arrow_type.startswith("date")
        bounds, slack = read_datetimes(query.rule.kwargs, column), datetime_slack(column)
        if bounds is None or value is None or (dates and column.nulls) or not bounds.limit:
            return None
        return _answer(query, what, value, bounds.judge(value - slack, value + slack))
    bounds = read_bounds(query.rule.kwargs)
    if bounds is None or not _is_measured(column):
        return None
    return _answer(query, what, value, False if value is None else bounds.holds(value))


def _is_measured(column: Column) -> bool:
    """Say whether pandas computes in double precision on finite values, as the profile does."""
    if column.kind not in (Kind.INTEGER, Kind.NUMBER) or column.infinite:
        return False
    doubles = set(column.arrow_type.split(" | ")) <= _DOUBLES
    return doubles and (not column.present or column.kind is Kind.NUMBER or is_exact(column))


def _sums(column: Column) -> tuple[int, float, float]:
    """Return the number of values, their largest magnitude, and the relative rounding error of a sum."""
    largest = max(abs(column.minimum or 0.0), abs(column.maximum or 0.0), abs(column.origin))
    return column.present, largest, _RELATIVE_ERROR + column.present * _ULP


def _mean(query: ProfileQuery) -> ProfileAnswer | None:
    column, bounds = query.column, read_bounds(query.rule.kwargs)
    if bounds is None or not _is_measured(column):
        return None
    if column.mean is None:
        return _answer(query, "mean", None, passed=False)
    _, largest, error = _sums(column)
    slack = largest * error
    return _answer(query, "mean", column.mean, bounds.judge(column.mean - slack, column.mean + slack))


def _sum(query: ProfileQuery) -> ProfileAnswer | None:
    column, bounds = query.column, read_bounds(query.rule.kwargs)
    if bounds is None or not _is_measured(column):
        return None
    count, largest, error = _sums(column)
    total = column.total + count * column.origin
    slack = count * largest * error
    if not math.isfinite(total) or abs(total) + slack > _LARGEST_SUM:
        return None
    return _answer(query, "sum", total, bounds.judge(total - slack, total + slack))


def _deviation(query: ProfileQuery) -> ProfileAnswer | None:
    """Sample standard deviation with divisor n - 1, as in pandas; undefined for fewer than two values."""
    column, bounds = query.column, read_bounds(query.rule.kwargs)
    if bounds is None or not _is_measured(column):
        return None
    count, largest, error = _sums(column)
    if count < 2:
        return _answer(query, "standard deviation", None, passed=False)
    mean_square = column.total * column.total / count
    squares = column.total_squares - mean_square
    slack = error * (column.total_squares + mean_square + count * largest * largest * _ULP)
    if not math.isfinite(squares + slack):
        return None
    low, high = (math.sqrt(max(0.0, square) / (count - 1)) for square in (squares - slack, squares + slack))
    return _answer(query, "standard deviation", (low + high) / 2, bounds.judge(low, high))


def _non_null_share(query: ProfileQuery) -> ProfileAnswer | None:
    bounds, rows = read_bounds(query.rule.kwargs), query.profile.rows
    if bounds is None:
        return None
    share = (rows - query.column.nulls) / rows if rows else 0.0
    return _answer(query, "share of values", share, bounds.holds(share))


def _answer(query: ProfileQuery, what: str, value: float | None, passed: bool | None) -> ProfileAnswer | None:  # noqa: FBT001 - private
    kind = query.column.kind if what in ("minimum", "maximum") else Kind.NUMBER
    seen = f"{what} {shown_value(value, kind)}" if value is not None else f"no {what}"
    return query.answer(passed=passed, observed=value, reason=f"{seen}, allowed {limits_text(query.rule)}")


AGGREGATE_EVALUATORS: ColumnEvaluators = {
    "expect_column_min_to_be_between": (_minimum, RANGE_ARGUMENTS),
    "expect_column_max_to_be_between": (_maximum, RANGE_ARGUMENTS),
    "expect_column_mean_to_be_between": (_mean, RANGE_ARGUMENTS),
    "expect_column_sum_to_be_between": (_sum, RANGE_ARGUMENTS),
    "expect_column_stdev_to_be_between": (_deviation, RANGE_ARGUMENTS),
    "expect_column_proportion_of_non_null_values_to_be_between": (_non_null_share, RANGE_ARGUMENTS),
}
