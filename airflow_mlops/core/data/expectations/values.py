"""Expectations on single values: nulls, ranges, lengths."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.known_values import ValueBin, is_exact, known_values, occupied_bins
from airflow_mlops.core.data.expectations.query import (
    RANGE_ARGUMENTS,
    Bounds,
    is_plain,
    limits_text,
    read_bounds,
    with_strictness,
)
from airflow_mlops.core.data.expectations.types import DATE, TIMESTAMP, ZONED, moment_form
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.shown import shown_value

if TYPE_CHECKING:
    from airflow_mlops.core.data.expectations.query import ColumnEvaluators, ProfileAnswer, ProfileQuery

_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_ISO_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?([+-]\d\d:\d\d)?")
_NUMBER = "number"
_INCOMPARABLE = re.compile(r"(large_|fixed_size_)?(list|binary)|struct|map|time(32|64)|duration")
"""Storage types whose values compare with no limit that YAML can say."""
_SINGLE_MICROSECONDS = 2.0**32
"""Epoch seconds up to which double precision resolves microseconds: the year 2106."""
_DECIMAL_ERROR = 2.0**-50
"""Relative rounding error of a decimal in double precision, as a profile stores it."""
_NANOSECOND_SLACK = 2e-6
"""Seconds by which a profile may have truncated a nanosecond timestamp."""


def _not_null(query: ProfileQuery) -> ProfileAnswer | None:
    rows, nulls = query.profile.rows, query.column.nulls
    share, allowed = query.column.null_share(rows), 1 - query.mostly
    passed = rows == 0 or (rows - nulls) / rows >= query.mostly
    reason = f"null share {share:.3g}, allowed {allowed:.3g}"
    return query.answer(passed=passed, observed=round(share, 6), reason=reason)


def _null(query: ProfileQuery) -> ProfileAnswer | None:
    rows, nulls = query.profile.rows, query.column.nulls
    share = query.column.null_share(rows)
    passed = rows == 0 or (rows - (rows - nulls)) / rows >= query.mostly
    reason = f"null share {share:.3g}, at least {query.mostly:.3g} required"
    return query.answer(passed=passed, observed=round(share, 6), reason=reason)


def _values_between(query: ProfileQuery) -> ProfileAnswer | None:
    column, kwargs = query.column, query.rule.kwargs
    unlike = _unlike(query)
    if unlike:
        return query.answer(passed=False, observed=_comparable(column), reason=unlike)
    if column.kind is Kind.DATETIME:
        return _datetimes_between(query)
    bounds = read_bounds(kwargs)
    if bounds is None or not bounds.limit:
        return None
    if column.kind is Kind.STRING:
        return query.answer(passed=True, observed=str(column.kind), reason="no values")
    if column.kind is Kind.BOOLEAN:
        return _booleans_between(query, bounds)
    return _numbers_between(query, bounds)


def _booleans_between(query: ProfileQuery, bounds: Bounds) -> ProfileAnswer | None:
    known = known_values(query.column)
    if known is None:
        return None
    inside = sum(count for value, count in known.counts.items() if bounds.holds(float(value)))
    return _answer_span(query, query.judge_share(inside, inside))


def _numbers_between(query: ProfileQuery, bounds: Bounds) -> ProfileAnswer | None:
    column = query.column
    if column.kind not in (Kind.INTEGER, Kind.NUMBER):
        return None
    if column.kind is Kind.INTEGER and column.present and not is_exact(column):
        return None
    if not column.present and "halffloat" in column.arrow_type:
        return None  # pandas cannot index half floats: Great Expectations may not be able to measure these
    largest = max(abs(column.minimum or 0.0), abs(column.maximum or 0.0))
    slack = _DECIMAL_ERROR * largest if "decimal" in column.arrow_type else 0.0
    return _answer_span(query, query.judge_share(*_count_inside(column, bounds, slack)))


def _datetimes_between(query: ProfileQuery) -> ProfileAnswer | None:
    bounds = read_datetimes(query.rule.kwargs, query.column)
    if bounds is None or not bounds.limit or bounds.contradict:
        return None
    slack = datetime_slack(query.column)
    return _answer_span(query, query.judge_share(*_count_inside(query.column, bounds, slack)))


def _unlike(query: ProfileQuery) -> str:
    """Return why no limit compares with the column's values, empty if they are alike or the column is empty.

    Numbers, texts, dates, timestamps and those of a time zone do not compare with each other.
    """
    given = [query.rule.kwargs.get(key) for key in ("min_value", "max_value")]
    forms = {_form_of(value) for value in given if value is not None}
    held = _comparable(query.column)
    if query.profile.rows <= query.column.nulls or not held or not forms or "" in forms or held in forms:
        return ""
    if forms == {_NUMBER}:
        return f"{held} values have no range, allowed {limits_text(query.rule)}"
    kinds = " and ".join(_after_noun(form, "s") for form in sorted(forms))
    return f"{_after_noun(held, ' values')}, allowed {limits_text(query.rule)}, which are {kinds}"


def _after_noun(form: str, said: str) -> str:
    """Return a form with what is said of its noun: ``timestamps with a time zone``."""
    noun, space, rest = form.partition(" with ")
    return f"{noun}{said}{space}{rest}"


def _comparable(column: Column) -> str:
    """Return what a column's values compare with; empty if that is left to Great Expectations."""
    if column.kind is Kind.UNSUPPORTED:
        return column.arrow_type if _INCOMPARABLE.match(column.arrow_type) else ""
    if column.kind is Kind.DATETIME:
        return moment_form(column)
    return str(column.kind) if column.kind is Kind.STRING else _NUMBER


def _form_of(value: Any) -> str:
    """Return ``number`` or the kind of moment that a limit's ISO text says; empty for anything else."""
    if is_plain(value):
        return _NUMBER
    if not isinstance(value, str):
        return ""
    if _ISO_DATE.fullmatch(value):
        return DATE
    found = _ISO_DATETIME.fullmatch(value)
    return (ZONED if found[2] else TIMESTAMP) if found else ""


def read_datetimes(kwargs: dict[str, Any], column: Column) -> Bounds | None:
    """Read limits of a datetime column as epoch seconds; ``None`` if they are left to Great Expectations.

    Limits must have the column's type: dates for dates, date-times for timestamps, with or without a zone.
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
    if not (_ISO_DATE if dates else _ISO_DATETIME).fullmatch(value):
        return None
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    if (moment.tzinfo is None) == ("tz=" in arrow_type):
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    microseconds = (zoned - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    return microseconds / 1e6 if dates or abs(microseconds / 1e6) < _SINGLE_MICROSECONDS else None


def datetime_slack(column: Column) -> float:
    """Return the truncation error of the profile's timestamps, in seconds."""
    return _NANOSECOND_SLACK if column.arrow_type.startswith("timestamp[ns") else 0.0


def _count_inside(column: Column, bounds: Bounds, slack: float) -> tuple[int, int]:
    """Return bounds of the number of values within the limits."""
    bins = (
        [_closed(found) for found in occupied_bins(column)]
        if column.kind is Kind.INTEGER
        else list(occupied_bins(column))
    )
    inside = sum(found.size for found in bins if _is_inside(found, bounds, slack))
    outside = sum(found.size for found in bins if _is_outside(found, bounds, slack))
    present = column.present
    if column.minimum is None or column.maximum is None or column.infinite:
        return inside, present - outside
    if bounds.holds(column.minimum - slack) and bounds.holds(column.maximum + slack):
        return present, present
    some_outside = bounds.is_below(column.minimum + slack) or bounds.is_above(column.maximum - slack)
    return inside, min(present - outside, present - 1 if some_outside else present)


def _closed(found: ValueBin) -> ValueBin:
    """Return an integer bin with its last integer as inclusive upper edge."""
    return found._replace(high=-(-found.high // 1) - 1, open_end=False) if found.open_end else found


def _is_inside(found: ValueBin, bounds: Bounds, slack: float) -> bool:
    if bounds.is_below(found.low - slack):
        return False
    ends_before = found.open_end and bounds.high is not None and found.high + slack <= bounds.high
    return ends_before or not bounds.is_above(found.high + slack)


def _is_outside(found: ValueBin, bounds: Bounds, slack: float) -> bool:
    if bounds.is_above(found.low - slack if slack else found.low):
        return True
    ends_before = found.open_end and bounds.low is not None and found.high + slack <= bounds.low
    return ends_before or bounds.is_below(found.high + slack)


def _answer_span(query: ProfileQuery, passed: bool | None, what: str = "values") -> ProfileAnswer | None:  # noqa: FBT001 - private
    column = query.column
    ends = [shown_value(end, column.kind) for end in (column.minimum, column.maximum) if end is not None]
    seen = f"{what} {' to '.join(ends)}" if ends else f"no {what}"
    seen += f" and {column.infinite} infinite" if column.infinite else ""
    wanted = "" if query.mostly == 1 else f" for {query.mostly:g} of them"
    return query.answer(
        passed=passed, observed=seen, reason=f"{seen}, allowed {limits_text(query.rule)}{wanted}"
    )


def _lengths_between(query: ProfileQuery) -> ProfileAnswer | None:
    bounds = read_bounds(query.rule.kwargs, whole=True)
    if bounds is None or not bounds.limit:
        return None
    return _lengths(query, bounds)


def _lengths_equal(query: ProfileQuery) -> ProfileAnswer | None:
    value = query.rule.kwargs.get("value")
    return _lengths(query, Bounds(low=value, high=value)) if is_plain(value) else None


def _lengths(query: ProfileQuery, bounds: Bounds) -> ProfileAnswer | None:
    column = query.column
    if column.kind is not Kind.STRING:
        return None
    known, low, high = known_values(column), column.minimum, column.maximum
    if known and known.complete:
        inside = sum(count for value, count in known.counts.items() if bounds.holds(len(str(value))))
        return _answer_span(query, query.judge_share(inside, inside), "lengths")
    if low is None or high is None:
        return None
    least = column.present if bounds.holds(low) and bounds.holds(high) else 0
    most = 0 if bounds.is_below(high) or bounds.is_above(low) else column.present - (0 if least else 1)
    return _answer_span(query, query.judge_share(least, most), "lengths")


VALUE_EVALUATORS: ColumnEvaluators = {
    "expect_column_values_to_not_be_null": (_not_null, frozenset({"mostly"})),
    "expect_column_values_to_be_null": (_null, frozenset({"mostly"})),
    "expect_column_values_to_be_between": (_values_between, frozenset({"mostly", *RANGE_ARGUMENTS})),
    "expect_column_value_lengths_to_be_between": (_lengths_between, frozenset({"mostly", *RANGE_ARGUMENTS})),
    "expect_column_value_lengths_to_equal": (_lengths_equal, frozenset({"mostly", "value"})),
}
