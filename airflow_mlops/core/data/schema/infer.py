"""Inference: proposes a schema from a profile; each rule says why it is there, the schema what is unsure.

A schema lives as long as the windows that it is checked on look natural: so counts are those of one window,
shares have the room that chance needs, and ranges are wide. What is narrow is compared as skew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.schema.column_rules import ColumnRules
from airflow_mlops.core.data.schema.options import InferenceOptions
from airflow_mlops.core.data.schema.schema import Schema
from airflow_mlops.core.data.schema.seen import Seen
from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.profile.profile import Profile

_TOGETHER = 2
"""Factor by which the rows of all windows together may grow: a check of all of them is not of one."""


def infer_schema(
    profile: Profile,
    name: str,
    *,
    windows: Sequence[Profile] = (),
    labels: Sequence[str] = (),
    options: InferenceOptions | None = None,
) -> Schema:
    """Propose a schema that the profiled window meets, and each of its windows, with room to spare.

    :param windows: profiles of the partitions that the profile covers, oldest first; what differs between
        them shows how far a further one may differ. Empty if the profile is of one window.
    :param labels: columns that only training data has.
    :raises InvalidConfigError: a label that is no column.
    """
    _require_columns(labels, profile)
    options = options or InferenceOptions()
    source = _source(profile)
    rules = [_row_count(profile, windows, source, options.row_slack), *_columns(profile, labels, source)]
    doubts: dict[str, list[str]] = {}
    for column in profile.columns:
        if column.name == profile.partition_column:
            rules.append(_names_the_window(column))
            continue
        environments = ["training"] if column.name in labels else []
        seen = Seen.of(column.name, profile, windows)
        proposed = ColumnRules(seen, source, environments, options, [])
        rules.extend(proposed.all())
        for doubt in proposed.doubts:
            doubts.setdefault(doubt, []).append(column.name)
    notes = [f"{', '.join(columns)}: {doubt}" for doubt, columns in doubts.items()]
    meta = {"inferred_from": source, "rows": profile.rows}
    return Schema(name=name, expectations=tuple(rules), meta=meta, notes=notes or None)


def _names_the_window(column: Column) -> Rule:
    """Return the only rule of a column that has another value in each window."""
    why = "names the window's partition: its values differ by definition"
    return Rule(type="expect_column_to_exist", kwargs={"column": column.name}, meta={"why": why})


def _require_columns(labels: Sequence[str], profile: Profile) -> None:
    for label in labels:
        if label not in profile.names:
            there = ", ".join(profile.names)
            msg = f"label {label!r}: no such column; columns: {there}{did_you_mean(label, profile.names)}"
            raise InvalidConfigError(msg)


def _source(profile: Profile) -> str:
    """Name the reference: its partitions, the first and the last of many."""
    keys = profile.partitions
    return f"{keys[0]} to {keys[-1]}" if len(keys) > 3 else ", ".join(keys) or "the reference"


def _row_count(profile: Profile, windows: Sequence[Profile], source: str, slack: int) -> Rule:
    """Propose limits of one window's rows that all windows together keep as well."""
    counts = [window.rows for window in windows] or [profile.rows]
    least, most = min(counts), max(counts)
    seen = f"{profile.rows} rows in {source}"
    seen += f", {least} to {most} in each of {len(counts)} windows" if len(counts) > 1 else ""
    times = "a tenth to ten times" if slack == 10 else f"1/{slack} to {slack} times"
    return Rule(
        type="expect_table_row_count_to_be_between",
        kwargs={
            "min_value": max(1, least // slack),
            "max_value": max(1, most * slack, _TOGETHER * profile.rows if len(counts) > 1 else 0),
        },
        meta={"why": f"{seen}, {times} as many allowed"},
    )


def _columns(profile: Profile, labels: Sequence[str], source: str) -> Iterator[Rule]:
    """Propose the set of columns, so that a further one is noticed; in serving without the labels."""
    places = [["training"], ["serving"]] if labels else [[]]
    for place in places:
        names = [name for name in profile.names if place != ["serving"] or name not in labels]
        if names:
            where: dict[str, Any] = {"environments": place} if place else {}
            yield Rule(
                type="expect_table_columns_to_match_set",
                kwargs={"column_set": names},
                severity=Severity.WARNING,
                meta={"why": f"the columns of {source}", **where},
            )
