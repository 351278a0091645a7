"""Proposals of schemas from data: profiled in all and partition by partition, estimates counted on the rows.

The one way from data to a schema, for inference and for comparison, so that both propose the same.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.core.data.expectations.evaluate import evaluate_rule
from airflow_mlops.core.data.schema.column_rules import ESTIMATED
from airflow_mlops.core.data.schema.diff import diff_from_data, label_columns
from airflow_mlops.core.data.schema.infer import infer_schema
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import NoRowsError
from airflow_mlops.core.verdict import Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_mlops.core.data.expectations.rule import Rule
    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.schema.diff import SchemaDiff
    from airflow_mlops.core.data.schema.options import InferenceOptions
    from airflow_mlops.core.data.schema.schema import Schema

    OnBytes = Callable[[float], object] | None

_ESTIMATE = r"^about .* among \d+ values in (.*), estimated within [^;]*"


class Proposal(NamedTuple):
    """A schema, and the profile of the data that it was inferred from."""

    schema: Schema
    profile: Profile


def propose_schema(
    window: Window,
    name: str,
    *,
    labels: Sequence[str] = (),
    options: InferenceOptions | None = None,
    on_bytes: OnBytes = None,
) -> Proposal:
    """Propose a schema of a window of files or of a database's table.

    A window of several partitions is profiled in all, and then each partition in the same bins: two reads.

    :param window: without partition keys all partitions of the dataset.
    :param labels: columns that only training data has; those that the data lacks are refused.
    :param on_bytes: called with the bytes got through.
    :raises InvalidDataError: nothing there, no rows, a file that cannot be read to its end.
    :raises InvalidConfigError: a label that is no column.
    """
    profile, parts = profiled_by_partition(window, on_bytes)
    schema = infer_schema(profile, name, windows=parts, labels=labels, options=options)
    return Proposal(_confirm_estimates(schema, window), profile)


def compare_with_data(schema: Schema, window: Window, on_bytes: OnBytes = None) -> SchemaDiff:
    """Compare a schema with the one that would be inferred from a window.

    Rules that the profile does not decide are evaluated on the rows, to tell which changes the data needs.
    """
    profile, parts = profiled_by_partition(window, on_bytes)
    labels = [label for label in label_columns(schema) if label in profile.names]
    proposed = infer_schema(profile, schema.name, windows=parts, labels=labels)
    found = diff_from_data(schema, profile, proposed=_confirm_estimates(proposed, window))
    unmet = _unmet_on_rows([c.before for c in found.changes if c.before is not None], profile, window)
    changes = (replace(c, needed=c.needed or c.before in unmet) for c in found.changes)
    return replace(found, changes=tuple(changes), notes=profile.notes)


def profiled_by_partition(window: Window, on_bytes: OnBytes = None) -> tuple[Profile, list[Profile]]:
    """Return a window's profile and those of its partitions, oldest first; none if it is of one partition."""
    from airflow_mlops.backends.profiling.files.arrow import profile_window
    from airflow_mlops.backends.profiling.tables.sql_table import is_table_uri, profile_table_uri

    if is_table_uri(window.uri):
        whole = profile_table_uri(window.uri, window.partitions)[1]
        keys = sorted({*window.partitions} - {*whole.empty})
        parts = [profile_table_uri(window.uri, [key], bins_from=whole)[1] for key in keys]
        return whole, parts if len(parts) > 1 else []
    whole = profile_window(window, on_bytes=on_bytes)
    parts = []
    for key in _keys(window):
        part = Window(uri=window.uri, partitions=(key,))
        try:
            parts.append(profile_window(part, bins_from=whole, on_bytes=on_bytes))
        except NoRowsError:
            continue  # a folder beside the data, or an empty partition, which the notes name
    return whole, parts


def _keys(window: Window) -> list[str]:
    from airflow_mlops.backends.profiling.files.dataset import list_partitions

    keys = sorted(set(window.partitions)) or list_partitions(window.uri)
    return keys if len(keys) > 1 else []


def _confirm_estimates(schema: Schema, window: Window) -> Schema:
    """Return the schema with each estimated rule verified, or left out; reads only their columns."""
    from airflow_mlops.backends.profiling.tables.sql_table import is_table_uri

    if is_table_uri(window.uri):
        return schema
    rules = (_confirmed(rule, window) if rule.meta.get(ESTIMATED) else rule for rule in schema.expectations)
    return replace(schema, expectations=tuple(rule for rule in rules if rule is not None))


def _confirmed(rule: Rule, window: Window) -> Rule | None:
    """Return the uniqueness rule if the values are unique, else ``None``; it is critical for a key."""
    import pyarrow.compute as pc

    from airflow_mlops.backends.profiling.files.dataset import read_window

    values = read_window(window, [rule.kwargs["column"]]).column(0)
    present = len(values) - values.null_count
    if pc.count_distinct(values, mode="only_valid").as_py() != present:
        return None
    meta = {key: value for key, value in rule.meta.items() if key != ESTIMATED}
    meta["why"] = re.sub(_ESTIMATE, rf"all {present} values differ in \1", str(rule.meta["why"]))
    severity = Severity.WARNING if "mostly" in rule.kwargs else Severity.CRITICAL
    return replace(rule, severity=severity, meta=meta)


def _unmet_on_rows(rules: Sequence[Rule], profile: Profile, window: Window) -> list[Rule]:
    """Return the rules that the profile leaves undecided and the rows do not meet."""
    from airflow_mlops.backends.profiling.files.dataset import read_window
    from airflow_mlops.backends.profiling.tables.sql_table import is_table_uri

    left = [rule for rule in rules if evaluate_rule(rule, profile) is None]
    if not left or is_table_uri(window.uri):
        return []
    from airflow_mlops.backends.rules.great_expectations import (
        as_frame,
        evaluate_rows,
        needed_columns,
        nullable_columns,
    )

    needed = needed_columns(left)
    columns = None if needed is None else sorted(needed & {*profile.names})
    frame = as_frame(read_window(window, columns), nullable_columns(left))
    found = zip(left, evaluate_rows(left, frame), strict=True)
    return [rule for rule, finding in found if finding.outcome in (Outcome.WARN, Outcome.FAIL)]
