"""Proposals: the rules that a column's profile suggests, each with the reason for it."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.core.data.expectations.known_values import known_values
from airflow_mlops.core.data.expectations.query import EXACT
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.expectations.sets import exact_distinct
from airflow_mlops.core.data.expectations.types import TYPE_NAMES, pandas_type
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.sketch import DISTINCT_ERROR
from airflow_mlops.core.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mlops.core.data.schema.inference import InferenceOptions

FLAG = {0, 1}
DISTINCT_DEVIATIONS = 3
"""Standard errors by which an estimated number of distinct values may miss the number of values."""
ESTIMATED = "estimated"
"""Key in ``meta`` of a rule that rests on an estimate and should be held against the rows."""


class Reference(NamedTuple):
    """A column and what its rules say about themselves."""

    column: Column
    rows: int
    source: str
    environments: Sequence[str]
    options: InferenceOptions

    def rule(self, expectation: str, why: str, severity: Severity = Severity.CRITICAL, **kwargs: Any) -> Rule:
        """Return a rule on the column."""
        where = {"environments": list(self.environments)} if self.environments else {}
        return Rule(
            type=expectation,
            kwargs={"column": self.column.name, **kwargs},
            severity=severity,
            meta={"why": why, **where},
        )


def propose_rules(
    column: Column, rows: int, source: str, environments: Sequence[str], options: InferenceOptions
) -> list[Rule]:
    """Return the rules that a column suggests: what it must be first, what its values should be last."""
    reference = Reference(column=column, rows=rows, source=source, environments=environments, options=options)
    rules = [reference.rule("expect_column_to_exist", f"present in {source}")]
    rules += _type(reference)
    rules.append(_nulls(reference))
    rules += _values(reference)
    return [*rules, *_unique(reference)]


def _type(reference: Reference) -> Iterator[Rule]:
    column = reference.column
    why = f"{column.kind} ({column.arrow_type}) in {reference.source}"
    held = pandas_type(column)
    names = {"date": ["date"], "decimal": ["Decimal"]}.get(str(held), TYPE_NAMES.get(column.kind))
    if held == "Timestamp":
        yield reference.rule("expect_column_values_to_be_of_type", why, type_="Timestamp")
    elif names:
        yield reference.rule("expect_column_values_to_be_in_type_list", why, type_list=list(names))


def _nulls(reference: Reference) -> Rule:
    share = reference.column.null_share(reference.rows)
    room = min(1.0, math.ceil(100 * max(reference.options.null_slack, 2 * share)) / 100)
    allowed = 1.0 if share == 1 else room
    why = f"null share {share:.3f} in {reference.source}, up to {allowed:.2f} allowed"
    return reference.rule("expect_column_values_to_not_be_null", why, mostly=round(1 - allowed, 2))


def _values(reference: Reference) -> Iterator[Rule]:
    column = reference.column
    if column.minimum is None or column.maximum is None:
        return
    if column.kind is Kind.DATETIME:
        yield from _moments(reference, column.minimum, column.maximum)
    elif column.kind in (Kind.INTEGER, Kind.NUMBER):
        yield from _numbers(reference, column.minimum, column.maximum)
    elif column.kind is Kind.STRING:
        yield _texts(reference, column.minimum, column.maximum)


def _numbers(reference: Reference, low: float, high: float) -> Iterator[Rule]:
    column, slack = reference.column, reference.options.range_slack
    known = known_values(column)
    if known and known.complete and known.counts.keys() == FLAG:
        why = f"only 0 and 1 in {reference.source}"
        yield reference.rule("expect_column_values_to_be_in_set", why, Severity.WARNING, value_set=[0, 1])
    elif not column.infinite and max(abs(low), abs(high)) < EXACT:
        room = slack * ((high - low) or abs(high) or 1.0)
        share = f"{'half' if slack == 0.5 else f'{slack:g} times'} the {'span' if high > low else 'value'}"
        why = f"{low:g} to {high:g} in {reference.source}, {share} more allowed"
        limits = {"min_value": _outward(low, -room), "max_value": _outward(high, room)}
        yield reference.rule("expect_column_values_to_be_between", why, Severity.WARNING, **limits)


def _outward(value: float, slack: float) -> float:
    """Round away from the data; what was never negative stays so."""
    if slack < 0 <= value:
        return float(max(0, math.floor(value + slack)))
    return float(math.floor(value + slack) if slack < 0 else math.ceil(value + slack))


def _texts(reference: Reference, shortest: float, longest: float) -> Rule:
    column, options = reference.column, reference.options
    known = sorted(column.named)
    if column.names_all and len(known) <= options.largest_domain:
        why = f"{len(known)} values in {reference.source}; {1 - options.domain_mostly:.0%} others allowed"
        kwargs: dict[str, Any] = {"value_set": known, "mostly": options.domain_mostly}
        return reference.rule("expect_column_values_to_be_in_set", why, Severity.WARNING, **kwargs)
    factor = options.length_slack
    why = f"{shortest:g} to {longest:g} characters in {reference.source}, {factor:g} times less or more"
    limits = {
        "min_value": math.floor(shortest / factor),
        "max_value": math.ceil(max(1, longest) * factor),
    }
    return reference.rule("expect_column_value_lengths_to_be_between", why, Severity.WARNING, **limits)


def _moments(reference: Reference, first: float, last: float) -> Iterator[Rule]:
    """Propose limits in the form that Great Expectations compares with such a column."""
    column, days = reference.column, reference.options.days_slack
    zone = dt.UTC if "tz=" in column.arrow_type else None
    try:
        low, high = (_moment(s, n, zone) for s, n in ((first, -days), (last, days)))
        seen = [_moment(s, 0, zone).isoformat() for s in (first, last)]
    except OverflowError:
        return  # beyond the years 1 to 9999 there is no text for a moment
    as_date = pandas_type(column) == "date"
    limits = [(moment.date() if as_date else moment).isoformat() for moment in (low, high)]
    why = f"{seen[0]} to {seen[1]} in {reference.source}, {days} days more allowed on both sides"
    yield reference.rule(
        "expect_column_values_to_be_between",
        why,
        Severity.WARNING,
        min_value=limits[0],
        max_value=limits[1],
    )


def _moment(seconds: float, days: int, zone: dt.tzinfo | None) -> dt.datetime:
    """Return a moment by whole seconds, so many days on."""
    moment = dt.datetime(1970, 1, 1, tzinfo=zone) + dt.timedelta(seconds=math.floor(seconds))
    return moment + dt.timedelta(days=days)


def _unique(reference: Reference) -> Iterator[Rule]:
    """Propose that texts or whole numbers differ, where as many are distinct as there are."""
    column, distinct = reference.column, reference.column.distinct
    known = known_values(column)
    if column.kind not in (Kind.STRING, Kind.INTEGER) or column.present < reference.options.least_unique_rows:
        return
    if distinct is None or known is None or any(count > 1 for count in known.counts.values()):
        return
    exact = exact_distinct(column)
    if exact == column.present:
        why = f"all {column.present} values differ in {reference.source}"
        yield reference.rule("expect_column_values_to_be_unique", why)
    elif exact is None and abs(distinct / column.present - 1) <= DISTINCT_DEVIATIONS * DISTINCT_ERROR:
        why = (
            f"about {distinct:.0f} distinct among {column.present} values in {reference.source}, "
            f"estimated within {DISTINCT_ERROR:.1%}"
        )
        rule = reference.rule("expect_column_values_to_be_unique", why, Severity.WARNING)
        rule.meta[ESTIMATED] = True
        yield rule
