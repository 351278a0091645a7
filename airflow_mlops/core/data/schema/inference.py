"""Infers a schema from a reference profile; every rule says why it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.proposals import propose_rules
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceOptions(Record):
    """How much room a proposed rule leaves around what was seen.

    :param row_slack: rows may be that many times fewer or more.
    :param null_slack: smallest share of missing values that is allowed, 0 to 1; twice the share seen if
        that is more.
    :param range_slack: how far numbers may lie outside the range seen, as part of its width.
    :param length_slack: text may be that many times shorter or longer.
    :param days_slack: how many days before the first and after the last moment seen are allowed; finds
        1970 and 9999, not the passing of time.
    :param largest_domain: most different texts for which a set of allowed values is proposed.
    :param domain_mostly: share of values that has to be in that set, 0 to 1.
    :param least_unique_rows: fewest values of which it is believed that they differ for a reason.
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
        environments = ["training"] if column.name in labels else []
        rules.extend(propose_rules(column, profile.rows, source, environments, options))
    return Schema(name=name, expectations=tuple(rules), meta={"inferred_from": source, "rows": profile.rows})


def _row_count(rows: int, source: str, slack: int) -> Rule:
    times = "a tenth to ten times" if slack == 10 else f"1/{slack} to {slack} times"
    return Rule(
        type="expect_table_row_count_to_be_between",
        kwargs={"min_value": max(1, rows // slack), "max_value": max(1, rows) * slack},
        meta={"why": f"{rows} rows in {source}, {times} as many allowed"},
    )
