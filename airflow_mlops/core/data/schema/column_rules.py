"""Rules that a column of the reference suggests: presence and type first, values last; and its doubts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.known_values import known_values
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.expectations.sets import exact_distinct
from airflow_mlops.core.data.expectations.types import TYPE_NAMES, pandas_type
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.sketch import DISTINCT_ERROR
from airflow_mlops.core.data.schema.calendar_values import calendar_limits, calendar_names, is_date_text
from airflow_mlops.core.data.schema.keys import key_evidence
from airflow_mlops.core.data.schema.options import InferenceOptions
from airflow_mlops.core.data.schema.ranges import is_flag, moment_limits, number_limits
from airflow_mlops.core.data.schema.seen import Seen, largest_share, rounded_up
from airflow_mlops.core.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.schema.ranges import ValueLimits

_DISTINCT_DEVIATIONS = 3
"""Standard errors by which an estimate of distinct values may differ from the number of values."""
_NULL_ODDS = 20
"""Factor by which the odds of a null may grow in a column that has nulls."""
_MOSTLY_NULL = 0.5
"""Share of nulls of a window from which nulls are no fault."""
_NEARLY_GONE = 0.1
"""Share of values below which a column counts as lost."""
_FEW_OUTSIDE = 2
"""Values of a small window that may lie outside a range."""
_OPEN_SET = 0.5
"""Share of values outside a set from which the set says nothing."""
ESTIMATED = "estimated"
"""Key in ``meta`` of a rule that rests on an estimate and should be confirmed on the rows."""


@dataclass
class ColumnRules:
    """A column of the reference and the rules that it suggests.

    :param doubts: what inference was not sure of, once the rules were asked for.
    """

    seen: Seen
    source: str
    environments: Sequence[str]
    options: InferenceOptions
    doubts: list[str]

    def all(self) -> Iterator[Rule]:
        """Return the rules: presence and type first, values last."""
        yield self._rule("expect_column_to_exist", f"present in {self.source}")
        yield from self._type()
        yield from self._nulls()
        yield from self._values()
        yield from self._unique()

    def _rule(
        self, expectation: str, why: str, severity: Severity = Severity.CRITICAL, **kwargs: Any
    ) -> Rule:
        where = {"environments": list(self.environments)} if self.environments else {}
        arguments = {"column": self.seen.column.name, **kwargs}
        return Rule(type=expectation, kwargs=arguments, severity=severity, meta={"why": why, **where})

    def _type(self) -> Iterator[Rule]:
        column = self.seen.column
        why = f"{column.kind} ({column.arrow_type}) in {self.source}"
        held = pandas_type(column)
        names = {"date": ["date"], "decimal": ["Decimal"]}.get(str(held), TYPE_NAMES.get(column.kind))
        if held == "Timestamp":
            yield self._rule("expect_column_values_to_be_of_type", why, type_="Timestamp")
        elif names:
            yield self._rule("expect_column_values_to_be_in_type_list", why, type_list=list(names))

    def _nulls(self) -> Iterator[Rule]:
        """Leave the room that chance needs; in a column that has nulls their odds may grow.

        More nulls than that are told; a run is stopped by nulls in a key, and where nearly all is missing.
        """
        seen, share = self.seen, self.seen.null_share
        if share > _MOSTLY_NULL:
            self.doubts.append("mostly missing: nulls are not limited")
            return
        by_odds = _NULL_ODDS * share / (1 + (_NULL_ODDS - 1) * share)
        by_chance = largest_share(seen.column.nulls, seen.rows, seen.window_rows)
        allowed = rounded_up(max(self.options.null_slack, by_odds, by_chance))
        why = f"null share {seen.column.null_share(seen.rows):.3f} in {self.source}"
        why += f", up to {share:.3f} in a window" if seen.windows else ""
        severity = Severity.CRITICAL if self._key_evidence else Severity.WARNING
        told, kwargs = f"{why}, up to {allowed:.2f} allowed", {"mostly": round(1 - allowed, 2)}
        yield self._rule("expect_column_values_to_not_be_null", told, severity, **kwargs)
        if severity is not Severity.CRITICAL:
            told = f"{why}: a column of which less than {_NEARLY_GONE:.0%} is left is lost"
            expectation = "expect_column_proportion_of_non_null_values_to_be_between"
            yield self._rule(expectation, told, min_value=_NEARLY_GONE)

    def _values(self) -> Iterator[Rule]:
        column, options = self.seen.column, self.options
        if column.minimum is None or column.maximum is None:
            return
        if column.kind is Kind.DATETIME:
            yield from self._between(moment_limits(column, options.days_slack))
        elif column.kind is Kind.INTEGER and is_flag(column):
            yield self._in_set([0, 1], self._others(0), f"only 0 and 1 in {self.source}")
        elif column.kind in (Kind.INTEGER, Kind.NUMBER):
            limits = number_limits(self.seen, options.range_slack, options.days_slack, is_key=self._counts_up)
            yield from self._between(limits, mostly=self._inside)
        elif column.kind is Kind.STRING:
            yield from self._texts(column.minimum, column.maximum)

    @property
    def _inside(self) -> float:
        """Share of values that a range has to hold: all but a few of a small window."""
        outside = max(1 - self.options.range_mostly, _FEW_OUTSIDE / max(1, self.seen.present))
        return round(1 - rounded_up(min(0.5, outside)), 2)

    def _between(self, limits: ValueLimits | None, **kwargs: Any) -> Iterator[Rule]:
        if limits is None:
            return
        if limits.doubt:
            self.doubts.append(limits.doubt)
        if limits.low is None:
            return
        whole = self.seen.column.kind is Kind.INTEGER
        yield self._rule(
            "expect_column_values_to_be_between",
            limits.why.replace(",", f" in {self.source},", 1),
            Severity.WARNING,
            min_value=int(limits.low) if whole else limits.low,
            max_value=int(limits.high) if whole else limits.high,
            **kwargs,
        )

    def _texts(self, shortest: float, longest: float) -> Iterator[Rule]:
        """Propose a set of few values, else limits of the length; nothing for a single value."""
        column, known = self.seen.column, sorted(self.seen.column.named)
        most = self.options.largest_domain * (2 if self.seen.windows else 1)
        if column.names_all and len(known) <= most:
            names = calendar_names(known)
            others = self._others(sum(count == 1 for count in column.named.values()))
            doubt = "" if names else self._open(known, others)
            if not doubt:
                why = f"{len(known)} values in {self.source}; {others:.0%} others allowed"
                yield self._in_set(names or known, others, why)
                return
            self.doubts.append(doubt)
            if len(known) == 1:
                return
        factor = self.options.length_slack
        yield self._rule(
            "expect_column_value_lengths_to_be_between",
            f"{shortest:g} to {longest:g} characters in {self.source}, {factor:g} times less or more",
            Severity.WARNING,
            min_value=math.floor(shortest / factor),
            max_value=math.ceil(max(1, longest) * factor),
            mostly=self._inside,
        )

    def _in_set(self, values: list[Any], others: float, why: str) -> Rule:
        kwargs = {"value_set": values, "mostly": round(1 - others, 2)}
        return self._rule("expect_column_values_to_be_in_set", why, Severity.WARNING, **kwargs)

    def _others(self, once: int) -> float:
        """Return the share of values outside a set that a window may have.

        By the values seen but once (Good and Turing), and by those that were new in a later window.
        """
        column = self.seen.column
        by_chance = largest_share(once, column.present, self.seen.present)
        return rounded_up(max(1 - self.options.domain_mostly, by_chance, 2 * self.seen.newest))

    def _open(self, known: Sequence[str], others: float) -> str:
        """Return why a set would not hold, empty if it would."""
        if is_date_text(known):
            return "dates or periods as text: no set of values"
        if len(known) == 1:
            return "only one value seen: no set of values"
        if 2 * self.seen.newest > _OPEN_SET:
            return "new values in every window: no set of values"
        return "too few values, or too many seen but once: no set of values" if others > _OPEN_SET else ""

    @cached_property
    def _differ(self) -> tuple[int, bool] | None:
        """Return how many values all differ, and whether that is an estimate; ``None`` if they do not."""
        column = self.seen.column
        if column.kind not in (Kind.STRING, Kind.INTEGER) or column.present < self.options.least_unique_rows:
            return None
        if not _may_differ(column):
            return None
        exact = exact_distinct(column)
        return (round(column.distinct or 0), True) if exact is None else (exact, False)

    @cached_property
    def _key_evidence(self) -> str:
        """Return why the column is taken for a key; years and dates are none, however much they differ."""
        column = self.seen.column
        if self._differ is None or calendar_limits(column, 0) or is_date_text(column.named):
            return ""
        return key_evidence(column, column.present)

    @property
    def _counts_up(self) -> bool:
        """Whether integers are a key or a counter, also where they are too few for a rule of uniqueness."""
        column = self.seen.column
        if self._key_evidence or column.kind is not Kind.INTEGER:
            return bool(self._key_evidence)
        if calendar_limits(column, 0):
            return False
        if column.distinct is None:  # databases do not tell it
            return column.minimum is not None and column.maximum == column.minimum + column.present - 1
        if not _may_differ(column):
            return False
        return bool(key_evidence(column, column.present))

    def _unique(self) -> Iterator[Rule]:
        """Propose uniqueness where all values differ: it stops a run only for a key."""
        if self._differ is None:
            return
        count, estimated = self._differ
        column, key = self.seen.column, self._key_evidence
        why = (
            f"about {count} distinct among {column.present} values in {self.source}, "
            f"estimated within {DISTINCT_ERROR:.1%}"
            if estimated
            else f"all {count} values differ in {self.source}"
        )
        why += f"; a key: {key}" if key else "; perhaps by chance"
        severity = Severity.CRITICAL if key and not estimated else Severity.WARNING
        room = {} if key else {"mostly": round(1 - self._others(0), 2)}
        rule = self._rule("expect_column_values_to_be_unique", why, severity, **room)
        if estimated:
            rule.meta[ESTIMATED] = True
        yield rule


def _may_differ(column: Column) -> bool:
    """Whether all values of a column differ, exactly or as far as an estimate tells."""
    known, exact, distinct = known_values(column), exact_distinct(column), column.distinct
    if distinct is None or known is None or any(count > 1 for count in known.counts.values()):
        return False
    if exact is not None:
        return exact == column.present
    return bool(abs(distinct / column.present - 1) <= _DISTINCT_DEVIATIONS * DISTINCT_ERROR)
