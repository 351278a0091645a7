"""Verification of rules that inference could only estimate, on the rows of the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.core.data.schema.column_rules import ESTIMATED
from airflow_mlops.core.verdict import Severity

if TYPE_CHECKING:
    from airflow_mlops.core.data.expectations.rule import Rule
    from airflow_mlops.core.data.schema.schema import Schema
    from airflow_mlops.core.data.window import Window


def confirm_estimates(schema: Schema, window: Window) -> Schema:
    """Return the schema with each estimated rule verified, or left out; reads only their columns."""
    rules = (_confirmed(rule, window) if rule.meta.get(ESTIMATED) else rule for rule in schema.expectations)
    return replace(schema, expectations=tuple(rule for rule in rules if rule is not None))


def _confirmed(rule: Rule, window: Window) -> Rule | None:
    """Return the uniqueness rule if the values are unique, else ``None``."""
    import pyarrow.compute as pc

    from airflow_mlops.backends.profiling.files.dataset import read_window

    values = read_window(window, [rule.kwargs["column"]]).column(0)
    present = len(values) - values.null_count
    if pc.count_distinct(values, mode="only_valid").as_py() != present:
        return None
    meta = {key: value for key, value in rule.meta.items() if key != ESTIMATED}
    why = f"all {present} values differ in {window.label if window.partitions else 'the reference'}"
    return replace(rule, severity=Severity.CRITICAL, meta=meta | {"why": why})
