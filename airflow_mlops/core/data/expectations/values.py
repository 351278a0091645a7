"""Answers about single values: missing, in a range, of a length."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.known_values import Cell, cells_of, is_exact, known_values
from airflow_mlops.core.data.expectations.query import (
    Bounds,
    is_plain,
    read_bounds,
    span,
    with_strictness,
)
from airflow_mlops.core.data.profile.column import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.core.data.expectations.query import Answer, Question

RANGE = {"min_value", "max_value", "strict_min", "strict_max"}
DATE = re.compile(r"\d{4}-\d\d-\d\d")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?([+-]\d\d:\d\d)?")
SINGLE_MICROSECONDS = 2.0**32
"""Epoch seconds up to which two floats tell any two microseconds apart: the year 2106."""
DECIMAL_ERROR = 2.0**-50
"""By how much a decimal may differ from the float that a profile keeps of it, relative."""
NANOSECOND_SLACK = 2e-6
"""Seconds by which a profile may have cut a nanosecond timestamp."""


def _not_null(question: Question) -> Answer | None:
    rows, nulls = question.profile.rows, question.column.nulls
    share, allowed = question.column.null_share(rows), 1 - question.mostly
    passed = rows == 0 or (rows - nulls) / rows >= question.mostly
    reason = f"null share {share:.3g}, allowed {allowed:.3g}"
    return question.say(passed=passed, observed=round(share, 6), reason=reason)


def _null(question: Question) -> Answer | None:
    rows, nulls = question.profile.rows, question.column.nulls
    share = question.column.null_share(rows)
    passed = rows == 0 or (rows - (rows - nulls)) / rows >= question.mostly
    reason = f"null share {share:.3g}, at least {question.mostly:.3g} demanded"
    return question.say(passed=passed, observed=round(share, 6), reason=reason)


def _values_between(question: Question) -> Answer | None:
    column, kwargs = question.column, question.rule.kwargs
    if column.kind is Kind.DATETIME:
        return _moments_between(question)
    bounds = read_bounds(kwargs)
    if bounds is None or not bounds.limit:
        return None
    if column.kind is Kind.STRING:
        reason = f"{column.kind} values have no range, allowed {span(question.rule)}"
        return question.say(passed=not column.present, observed=str(column.kind), reason=reason)
    if column.kind is Kind.BOOLEAN:
        return _truths_between(question, bounds)
    return _numbers_between(question, bounds)


def _truths_between(question: Question, bounds: Bounds) -> Answer | None:
    known = known_values(question.column)
    if known is None:
        return None
    inside = sum(count for value, count in known.counts.items() if bounds.holds(float(value)))
    return _say_span(question, question.judge_share(inside, inside))


def _numbers_between(question: Question, bounds: Bounds) -> Answer | None:
    column = question.column
    if column.kind not in (Kind.INTEGER, Kind.NUMBER):
        return None
    if column.kind is Kind.INTEGER and column.present and not is_exact(column):
        return None
    largest = max(abs(column.minimum or 0.0), abs(column.maximum or 0.0))
    slack = DECIMAL_ERROR * largest if "decimal" in column.arrow_type else 0.0
    return _say_span(question, question.judge_share(*_count_inside(column, bounds, slack)))


def _moments_between(question: Question) -> Answer | None:
    bounds = read_moments(question.rule.kwargs, question.column)
    if bounds is None or not bounds.limit or bounds.contradict:
        return None
    slack = moment_slack(question.column)
    return _say_span(question, question.judge_share(*_count_inside(question.column, bounds, slack)))


def read_moments(kwargs: dict[str, Any], column: Column) -> Bounds | None:
    """Read limits of a datetime column as epoch seconds; ``None`` if Great Expectations should judge them.

    Dates are held against dates, moments against moments, with a zone or without: as the column is.
    """
    if " | " in column.arrow_type:
        return None
    limits = [_epoch(kwargs.get(key), column.arrow_type) for key in ("min_value", "max_value")]
    given = [kwargs.get(key) for key in ("min_value", "max_value")]
    if any(limit is None and value is not None for limit, value in zip(limits, given, strict=True)):
        return None
    return with_strictness(kwargs, *limits)


def _epoch(value: Any, arrow_type: str) -> float | None:
    if not isinstance(value, str):
        return None
    dates = arrow_type.startswith("date")
    if not (DATE if dates else MOMENT).fullmatch(value):
        return None
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    if (moment.tzinfo is None) == ("tz=" in arrow_type):
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    microseconds = (zoned - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    return microseconds / 1e6 if dates or abs(microseconds / 1e6) < SINGLE_MICROSECONDS else None


def moment_slack(column: Column) -> float:
    """Return by how many seconds the profile's numbers may be off."""
    return NANOSECOND_SLACK if column.arrow_type.startswith("timestamp[ns") else 0.0


def _count_inside(column: Column, bounds: Bounds, slack: float) -> tuple[int, int]:
    """Return how many values are within the limits, at least and at most."""
    cells = (
        [_closed(cell) for cell in cells_of(column)]
        if column.kind is Kind.INTEGER
        else list(cells_of(column))
    )
    inside = sum(cell.held for cell in cells if _is_inside(cell, bounds, slack))
    outside = sum(cell.held for cell in cells if _is_outside(cell, bounds, slack))
    present = column.present
    if column.minimum is None or column.maximum is None or column.infinite:
        return inside, present - outside
    if bounds.holds(column.minimum - slack) and bounds.holds(column.maximum + slack):
        return present, present
    surely = bounds.is_below(column.minimum + slack) or bounds.is_above(column.maximum - slack)
    return inside, min(present - outside, present - 1 if surely else present)


def _closed(cell: Cell) -> Cell:
    """Return the cell with the last whole number that it holds as its end."""
    return cell._replace(high=-(-cell.high // 1) - 1, open_end=False) if cell.open_end else cell


def _is_inside(cell: Cell, bounds: Bounds, slack: float) -> bool:
    if bounds.is_below(cell.low - slack):
        return False
    ends_before = cell.open_end and bounds.high is not None and cell.high + slack <= bounds.high
    return ends_before or not bounds.is_above(cell.high + slack)


def _is_outside(cell: Cell, bounds: Bounds, slack: float) -> bool:
    if bounds.is_above(cell.low - slack if slack else cell.low):
        return True
    ends_before = cell.open_end and bounds.low is not None and cell.high + slack <= bounds.low
    return ends_before or bounds.is_below(cell.high + slack)


def _say_span(question: Question, passed: bool | None, what: str = "values") -> Answer | None:  # noqa: FBT001 - private
    column = question.column
    ends = [_told(column, end) for end in (column.minimum, column.maximum) if end is not None]
    seen = f"{what} {' to '.join(ends)}" if ends else f"no {what}"
    seen += f" and {column.infinite} infinite" if column.infinite else ""
    wanted = "" if question.mostly == 1 else f" for {question.mostly:g} of them"
    return question.say(passed=passed, observed=seen, reason=f"{seen}, allowed {span(question.rule)}{wanted}")


def _told(column: Column, value: float) -> str:
    if column.kind is not Kind.DATETIME:
        return f"{value:g}"
    try:
        return (dt.datetime(1970, 1, 1) + dt.timedelta(seconds=value)).isoformat()  # noqa: DTZ001 - as in the data
    except OverflowError:
        return f"{value:g} seconds since 1970"


def _lengths_between(question: Question) -> Answer | None:
    bounds = read_bounds(question.rule.kwargs, whole=True)
    if bounds is None or not bounds.limit:
        return None
    return _lengths(question, bounds)


def _lengths_equal(question: Question) -> Answer | None:
    value = question.rule.kwargs.get("value")
    return _lengths(question, Bounds(low=value, high=value)) if is_plain(value) else None


def _lengths(question: Question, bounds: Bounds) -> Answer | None:
    column = question.column
    if column.kind is not Kind.STRING:
        return None
    known, low, high = known_values(column), column.minimum, column.maximum
    if known and known.complete:
        inside = sum(count for value, count in known.counts.items() if bounds.holds(len(str(value))))
        return _say_span(question, question.judge_share(inside, inside), "lengths")
    if low is None or high is None:
        return None
    least = column.present if bounds.holds(low) and bounds.holds(high) else 0
    most = 0 if bounds.is_below(high) or bounds.is_above(low) else column.present - (0 if least else 1)
    return _say_span(question, question.judge_share(least, most), "lengths")


VALUE_ANSWERS: dict[str, tuple[Callable[[Question], Answer | None], set[str]]] = {
    "expect_column_values_to_not_be_null": (_not_null, {"mostly"}),
    "expect_column_values_to_be_null": (_null, {"mostly"}),
    "expect_column_values_to_be_between": (_values_between, {"mostly", *RANGE}),
    "expect_column_value_lengths_to_be_between": (_lengths_between, {"mostly", *RANGE}),
    "expect_column_value_lengths_to_equal": (_lengths_equal, {"mostly", "value"}),
}
