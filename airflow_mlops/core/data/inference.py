"""Infers a schema from a reference profile; every rule says why it is there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.column import Column, Kind
from airflow_mlops.core.data.schema import Rule, Schema
from airflow_mlops.core.outcome import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile import Profile

TYPE_NAMES = {
    Kind.INTEGER: ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "Int64"],
    Kind.NUMBER: ["float16", "float32", "float64", "Float64", "decimal", "int32", "int64", "Int64"],
    Kind.BOOLEAN: ["bool", "boolean"],
    Kind.STRING: ["str", "string", "object", "category"],
    Kind.DATETIME: ["datetime64", "datetime64[ns]", "datetime64[us]", "datetime64[ms]", "Timestamp", "date"],
}
LARGEST_DOMAIN = 30
NULL_SLACK = 0.05
RANGE_SLACK = 0.5
ROW_SLACK = 10


def infer_schema(profile: Profile, name: str, *, labels: Sequence[str] = ()) -> Schema:
    """Propose a schema that the profiled window meets with room to spare.

    :param labels: columns that only training data has.
    """
    source = ", ".join(profile.partitions) or "the reference"
    rules = [_row_count(profile.rows, source)]
    for column in profile.columns:
        where = {"environments": ["training"]} if column.name in labels else {}
        rules.extend(_column_rules(column, profile.rows, source, where))
    return Schema(name=name, expectations=tuple(rules), meta={"inferred_from": source, "rows": profile.rows})


def _row_count(rows: int, source: str) -> Rule:
    low, high = max(1, rows // ROW_SLACK), rows * ROW_SLACK
    return Rule(
        type="expect_table_row_count_to_be_between",
        kwargs={"min_value": low, "max_value": high},
        meta={"why": f"{rows} rows in {source}, a tenth to ten times as many allowed"},
    )


def _column_rules(column: Column, rows: int, source: str, where: dict[str, Any]) -> list[Rule]:
    rules = [_rule("expect_column_to_exist", column, {}, f"present in {source}", where)]
    if column.kind in TYPE_NAMES:
        types = {"type_list": TYPE_NAMES[column.kind]}
        why = f"{column.kind} ({column.arrow_type}) in {source}"
        rules.append(_rule("expect_column_values_to_be_in_type_list", column, types, why, where))
    rules.append(_nulls(column, rows, source, where))
    if column.minimum is not None and column.kind in (Kind.INTEGER, Kind.NUMBER):
        rules.append(_range(column, source, where))
    domain = column.categories or {}
    if 0 < len(domain) <= LARGEST_DOMAIN and not column.other and column.kind is Kind.STRING:
        rules.append(_domain(column, source, where))
    return rules


def _nulls(column: Column, rows: int, source: str, where: dict[str, Any]) -> Rule:
    share = column.null_share(rows)
    allowed = 1.0 if share == 1 else min(1.0, math.ceil(100 * max(NULL_SLACK, 2 * share)) / 100)
    why = f"null share {share:.3f} in {source}, up to {allowed:.2f} allowed"
    kwargs = {"mostly": round(1 - allowed, 2)}
    return _rule("expect_column_values_to_not_be_null", column, kwargs, why, where)


def _range(column: Column, source: str, where: dict[str, Any]) -> Rule:
    low, high = float(column.minimum or 0), float(column.maximum or 0)
    slack = RANGE_SLACK * ((high - low) or abs(high) or 1.0)
    kwargs = {"min_value": _outward(low, -slack), "max_value": _outward(high, slack)}
    why = f"{low:g} to {high:g} in {source}, half the span more allowed"
    return _rule("expect_column_values_to_be_between", column, kwargs, why, where, Severity.WARNING)


def _outward(value: float, slack: float) -> float:
    """Round away from the data; what was never negative stays so."""
    if slack < 0 <= value:
        return float(max(0, math.floor(value + slack)))
    return float(math.floor(value + slack) if slack < 0 else math.ceil(value + slack))


def _domain(column: Column, source: str, where: dict[str, Any]) -> Rule:
    known = sorted(column.categories or {})
    kwargs = {"value_set": known, "mostly": 0.95}
    why = f"{len(known)} values in {source}; 5 % others allowed"
    return _rule("expect_column_values_to_be_in_set", column, kwargs, why, where, Severity.WARNING)


def _rule(
    expectation: str,
    column: Column,
    kwargs: dict[str, Any],
    why: str,
    where: dict[str, Any],
    severity: Severity = Severity.CRITICAL,
) -> Rule:
    return Rule(
        type=expectation,
        kwargs={"column": column.name, **kwargs},
        severity=severity,
        meta={"why": why, **where},
    )
