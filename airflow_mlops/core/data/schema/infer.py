"""Inference: proposes a schema from a profile; each proposed rule says why it is there."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.core.data.expectations.known_values import known_values
from airflow_mlops.core.data.expectations.query import EXACT
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.expectations.sets import exact_distinct
from airflow_mlops.core.data.expectations.types import TYPE_NAMES, pandas_type
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.sketch import DISTINCT_ERROR
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.record import Record
from airflow_mlops.core.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mlops.core.data.profile.profile import Profile

_FLAG = {0, 1}
_DISTINCT_DEVIATIONS = 3
"""Standard errors by which an estimate of distinct values may differ from the number of values."""
ESTIMATED = "estimated"
"""Key in ``meta`` of a rule that rests on an estimate and should be confirmed on the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceOptions(Record):
    """Slack of proposed rules around the observed values.

    :param row_slack: factor by which the number of rows may be lower or higher.
    :param null_slack: allowed share of missing values, 0 to 1; twice the observed share if that is more.
    :param range_slack: how far numbers may lie outside the observed range, as a multiple of its width.
    :param length_slack: factor by which text may be shorter or longer.
    :param days_slack: days allowed before the first and after the last observed moment; detects
        placeholders such as 1970 and 9999, not the passing of time.
    :param largest_domain: most distinct texts for which a set of allowed values is proposed.
    :param domain_mostly: share of values that must be in that set, 0 to 1.
    :param least_unique_rows: fewest values for which uniqueness is proposed.
    """

    row_slack: int = 10
    null_slack: float = 0.05
    range_slack: float = 0.5
    length_slack: float = 2.0
    days_slack: int = 3653
    largest_domain: int = 30
    domain_mostly: float = 0.95
    least_unique_rows: int = 100


def infer_schema(
    profile: Profile,
    name: str,
    *,
    labels: Sequence[str] = (),
    options: InferenceOptions | None = None,
) -> Schema:
    """Propose a schema that the profiled window meets with room to spare.

    :param labels: columns that only training data has.
    """
    options = options or InferenceOptions()
    source = ", ".join(profile.partitions) or "the reference"
    rules = [_row_count(profile.rows, source, options.row_slack)]
    for column in profile.columns:
        if column.name == profile.partition_column:
            rules.append(_names_the_window(column))
            continue
        environments = ["training"] if column.name in labels else []
        rules.extend(_column_rules(column, profile.rows, source, environments, options))
    return Schema(name=name, expectations=tuple(rules), meta={"inferred_from": source, "rows": profile.rows})


def _names_the_window(column: Column) -> Rule:
    """Return the only rule of a column that has another value in each window."""
    why = "names the window's partition: its values differ by definition"
    return Rule(type="expect_column_to_exist", kwargs={"column": column.name}, meta={"why": why})


def _row_count(rows: int, source: str, slack: int) -> Rule:
    times = "a tenth to ten times" if slack == 10 else f"1/{slack} to {slack} times"
    return Rule(
        type="expect_table_row_count_to_be_between",
        kwargs={"min_value": max(1, rows // slack), "max_value": max(1, rows) * slack},
        meta={"why": f"{rows} rows in {source}, {times} as many allowed"},
    )


class _Basis(NamedTuple):
    """A column and what its proposed rules have in common."""

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


def _column_rules(
    column: Column, rows: int, source: str, environments: Sequence[str], options: InferenceOptions
) -> list[Rule]:
    """Return the rules that a column suggests: its presence and type first, its values last."""
    basis = _Basis(column=column, rows=rows, source=source, environments=environments, options=options)
    rules = [basis.rule("expect_column_to_exist", f"present in {source}")]
    rules += _type(basis)
    rules.append(_nulls(basis))
    rules += _values(basis)
    return [*rules, *_unique(basis)]


def _type(basis: _Basis) -> Iterator[Rule]:
    column = basis.column
    why = f"{column.kind} ({column.arrow_type}) in {basis.source}"
    held = pandas_type(column)
    names = {"date": ["date"], "decimal": ["Decimal"]}.get(str(held), TYPE_NAMES.get(column.kind))
    if held == "Timestamp":
        yield basis.rule("expect_column_values_to_be_of_type", why, type_="Timestamp")
    elif names:
        yield basis.rule("expect_column_values_to_be_in_type_list", why, type_list=list(names))


def _nulls(basis: _Basis) -> Rule:
    share = basis.column.null_share(basis.rows)
    room = min(1.0, math.ceil(100 * max(basis.options.null_slack, 2 * share)) / 100)
    allowed = 1.0 if share == 1 else room
    why = f"null share {share:.3f} in {basis.source}, up to {allowed:.2f} allowed"
    return basis.rule("expect_column_values_to_not_be_null", why, mostly=round(1 - allowed, 2))


def _values(basis: _Basis) -> Iterator[Rule]:
    column = basis.column
    if column.minimum is None or column.maximum is None:
        return
    if column.kind is Kind.DATETIME:
        yield from _moments(basis, column.minimum, column.maximum)
    elif column.kind in (Kind.INTEGER, Kind.NUMBER):
        yield from _numbers(basis, column.minimum, column.maximum)
    elif column.kind is Kind.STRING:
        yield _texts(basis, column.minimum, column.maximum)


def _numbers(basis: _Basis, low: float, high: float) -> Iterator[Rule]:
    column, slack = basis.column, basis.options.range_slack
    known = known_values(column)
    if known and known.complete and known.counts.keys() == _FLAG:
        why = f"only 0 and 1 in {basis.source}"
        yield basis.rule("expect_column_values_to_be_in_set", why, Severity.WARNING, value_set=[0, 1])
    elif not column.infinite and max(abs(low), abs(high)) < EXACT:
        room = slack * ((high - low) or abs(high) or 1.0)
        share = f"{'half' if slack == 0.5 else f'{slack:g} times'} the {'span' if high > low else 'value'}"
        why = f"{low:g} to {high:g} in {basis.source}, {share} more allowed"
        limits = {"min_value": _outward(low, -room), "max_value": _outward(high, room)}
        yield basis.rule("expect_column_values_to_be_between", why, Severity.WARNING, **limits)


def _outward(value: float, slack: float) -> float:
    """Round away from the data; a lower limit of values that were never negative stays 0 or more."""
    if slack < 0 <= value:
        return float(max(0, math.floor(value + slack)))
    return float(math.floor(value + slack) if slack < 0 else math.ceil(value + slack))


def _texts(basis: _Basis, shortest: float, longest: float) -> Rule:
    column, options = basis.column, basis.options
    known = sorted(column.named)
    if column.names_all and len(known) <= options.largest_domain:
        why = f"{len(known)} values in {basis.source}; {1 - options.domain_mostly:.0%} others allowed"
        kwargs: dict[str, Any] = {"value_set": known, "mostly": options.domain_mostly}
        return basis.rule("expect_column_values_to_be_in_set", why, Severity.WARNING, **kwargs)
    factor = options.length_slack
    why = f"{shortest:g} to {longest:g} characters in {basis.source}, {factor:g} times less or more"
    limits = {
        "min_value": math.floor(shortest / factor),
        "max_value": math.ceil(max(1, longest) * factor),
    }
    return basis.rule("expect_column_value_lengths_to_be_between", why, Severity.WARNING, **limits)


def _moments(basis: _Basis, first: float, last: float) -> Iterator[Rule]:
    """Propose limits as Great Expectations compares them with such a column."""
    column, days = basis.column, basis.options.days_slack
    zone = dt.UTC if "tz=" in column.arrow_type else None
    try:
        low, high = (_moment(s, n, zone) for s, n in ((first, -days), (last, days)))
        seen = [_moment(s, 0, zone).isoformat() for s in (first, last)]
    except OverflowError:
        return  # beyond the years 1 to 9999 there is no text for a moment
    as_date = pandas_type(column) == "date"
    limits = [(moment.date() if as_date else moment).isoformat() for moment in (low, high)]
    why = f"{seen[0]} to {seen[1]} in {basis.source}, {days} days more allowed on both sides"
    yield basis.rule(
        "expect_column_values_to_be_between",
        why,
        Severity.WARNING,
        min_value=limits[0],
        max_value=limits[1],
    )


def _moment(seconds: float, days: int, zone: dt.tzinfo | None) -> dt.datetime:
    """Return a moment, in whole seconds, ``days`` later."""
    moment = dt.datetime(1970, 1, 1, tzinfo=zone) + dt.timedelta(seconds=math.floor(seconds))
    return moment + dt.timedelta(days=days)


def _unique(basis: _Basis) -> Iterator[Rule]:
    """Propose uniqueness of texts or whole numbers where all observed values are distinct."""
    column, distinct = basis.column, basis.column.distinct
    known = known_values(column)
    if column.kind not in (Kind.STRING, Kind.INTEGER) or column.present < basis.options.least_unique_rows:
        return
    if distinct is None or known is None or any(count > 1 for count in known.counts.values()):
        return
    exact = exact_distinct(column)
    if exact == column.present:
        why = f"all {column.present} values differ in {basis.source}"
        yield basis.rule("expect_column_values_to_be_unique", why)
    elif exact is None and abs(distinct / column.present - 1) <= _DISTINCT_DEVIATIONS * DISTINCT_ERROR:
        why = (
            f"about {distinct:.0f} distinct among {column.present} values in {basis.source}, "
            f"estimated within {DISTINCT_ERROR:.1%}"
        )
        rule = basis.rule("expect_column_values_to_be_unique", why, Severity.WARNING)
        rule.meta[ESTIMATED] = True
        yield rule
