"""Great Expectations: evaluates on the needed columns of a window the rules that a profile cannot decide."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.rules.gx_signatures import gx_signature
from airflow_mlops.backends.rules.suite import build_expectation
from airflow_mlops.core.data.expectations.evaluate import allowed_text, evaluate_rule, rule_finding
from airflow_mlops.core.data.expectations.rule import SUBJECTS
from airflow_mlops.core.data.expectations.types import (
    INTEGER_TYPES,
    NULLABLE_INTEGER_TYPES,
    undecided_columns,
)
from airflow_mlops.core.data.profile.profile import missing_findings
from airflow_mlops.core.verdict import Finding, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import fsspec
    import pandas as pd
    import pyarrow as pa

    from airflow_mlops.core.data.expectations.rule import Rule
    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.schema.schema import Schema
    from airflow_mlops.core.data.window import Window

_WRAPS = 2.0**62


def check_schema(
    schema: Schema,
    profile: Profile,
    window: Window,
    environment: str,
    filesystem: fsspec.AbstractFileSystem | None = None,
) -> Verdict:
    """Evaluate a schema: from the profile where that suffices, by Great Expectations on the rows otherwise.

    :param filesystem: where the window's files lie; by the URI's scheme if ``None``.
    :raises InvalidConfigError: no such environment, an unknown expectation or argument.
    """
    rules = [rule for rule in schema.expectations if rule.applies_to(environment)]
    whole = _whole_columns(window, undecided_columns(rules, profile), filesystem)
    decided = [(rule, evaluate_rule(rule, profile, whole)) for rule in rules]
    left = [rule for rule, found in decided if found is None]
    from_rows = iter(evaluate_rows(left, _rows(window, left, profile.names, filesystem)) if left else ())
    findings = [found or next(from_rows) for _, found in decided]
    return Verdict.of("schema", [*findings, *(missing_findings(profile) if findings else ())])


def evaluate_rows(rules: Sequence[Rule], frame: pd.DataFrame) -> list[Finding]:
    """Evaluate rules on rows; one finding per rule, in their order.

    :raises InvalidConfigError: an expectation or an argument that Great Expectations does not know.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    frame = _without_wrapping(rules, frame)
    moments = _moments(frame)
    built = [
        build_expectation(_with_moments(rule, moments), f"{rule.type}[{index}]")
        for index, rule in enumerate(rules)
    ]
    for index, expectation in enumerate(built):
        expectation.meta = {**(expectation.meta or {}), "mlops_index": index}
    # passed together: adding them one by one drops duplicates
    suite = gx.ExpectationSuite(name="left", expectations=[e.configuration for e in built])
    source = context.data_sources.add_pandas("window")
    batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    result = batch.get_batch({"dataframe": frame}).validate(suite)
    found = {r.expectation_config.meta["mlops_index"]: r for r in result.results}
    return [_finding(rule, found[index]) for index, rule in enumerate(rules)]


def _without_wrapping(rules: Sequence[Rule], frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows in which integers whose sum is asked for, and might exceed 64 bits, are Python's own."""
    asked = {rule.kwargs.get("column") for rule in rules if rule.type == "expect_column_sum_to_be_between"}
    found = [name for name in frame if name in asked and frame[name].dtype.kind in "iu" and len(frame)]
    large = [name for name in found if float(frame[name].abs().max()) * len(frame) >= _WRAPS]
    return frame.assign(**{str(name): frame[name].astype(object) for name in large})


def _moments(frame: pd.DataFrame) -> dict[str, Callable[[str], Any]]:
    """Return of each column of dates or times how a text of a rule becomes one."""
    import datetime as dt

    import pandas as pd

    found: dict[str, Callable[[str], Any]] = {}
    for name in frame:
        first = frame[name].dropna().head(1).tolist()
        if frame[name].dtype.kind == "M":
            found[str(name)] = pd.Timestamp
        elif first and type(first[0]) is dt.date:
            found[str(name)] = dt.date.fromisoformat
    return found


def _with_moments(rule: Rule, moments: Mapping[str, Callable[[str], Any]]) -> Rule:
    """Return the rule with a set of dates or times as such: YAML has them without quotes, JSON as text."""
    parse, values = moments.get(str(rule.kwargs.get("column"))), rule.kwargs.get("value_set")
    if parse is None or not isinstance(values, list):
        return rule
    try:
        parsed = [parse(value) if isinstance(value, str) else value for value in values]
    except ValueError:
        return rule
    return replace(rule, kwargs={**rule.kwargs, "value_set": parsed})


def needed_columns(rules: Sequence[Rule]) -> set[str] | None:
    """Return the columns that the rules read; ``None`` if that is unknown, and all are needed."""
    named: set[str] = set()
    for rule in rules:
        signature = gx_signature(rule.type)
        if signature is None or rule.kwargs.get("row_condition") is not None:
            return None
        subjects = [name for name in SUBJECTS if name in signature]
        if not subjects or rule.type.startswith("expect_table_"):
            return None
        for value in (rule.kwargs.get(key) for key in subjects):
            named |= {value} if isinstance(value, str) else set(value or ())
    return named


def nullable_columns(rules: Sequence[Rule]) -> set[str]:
    """Return the columns whose rules name one of pandas' nullable integer types."""
    lists = [(rule.kwargs.get("column"), rule.kwargs.get("type_list")) for rule in rules]
    return {
        str(column)
        for column, named in lists
        if isinstance(named, list) and {*named} & {*NULLABLE_INTEGER_TYPES}
    }


def as_frame(table: pa.Table, nullable: Collection[str] = ()) -> pd.DataFrame:
    """Return rows in the types that Great Expectations expects: text and categories as plain objects.

    :param nullable: integer columns that keep an integer type where values are missing.
    """
    import pandas as pd

    frame: pd.DataFrame = _plain(table).to_pandas()
    texts = [name for name in frame if frame[name].dtype == "str"]
    changed = {str(name): frame[name].astype(object).where(frame[name].notna(), None) for name in texts}
    for name in nullable:
        held = str(table.schema.field(name).type) if name in table.column_names else ""
        if held in INTEGER_TYPES and table.column(name).null_count:
            kind = getattr(pd, NULLABLE_INTEGER_TYPES[INTEGER_TYPES.index(held)])()
            changed[name] = table.column(name).to_pandas(types_mapper=lambda _, kind=kind: kind)
    return frame.assign(**changed)


def _plain(table: pa.Table) -> pa.Table:
    """Return the table in its storage types: dictionaries decoded, pandas' own metadata dropped."""
    import pyarrow as pa

    fields = [
        pa.field(f.name, f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def _rows(
    window: Window,
    rules: Sequence[Rule],
    there: Sequence[str],
    filesystem: fsspec.AbstractFileSystem | None,
) -> pd.DataFrame:
    from airflow_mlops.backends.profiling.files.dataset import read_window

    needed = needed_columns(rules)
    columns = None if needed is None else [name for name in there if name in needed] or list(there[:1])
    return as_frame(read_window(window, columns, filesystem), nullable_columns(rules))


def _whole_columns(
    window: Window, names: Collection[str], filesystem: fsspec.AbstractFileSystem | None
) -> set[str]:
    """Return those of some numeric columns whose values are all whole numbers; reads their rows."""
    from airflow_mlops.backends.profiling.tables.sql_table import is_table_uri

    if not names or is_table_uri(window.uri):
        return set()
    import pyarrow as pa
    import pyarrow.compute as pc

    from airflow_mlops.backends.profiling.files.dataset import read_window

    table = read_window(window, sorted(names), filesystem)
    columns = {name: pc.cast(table.column(name), pa.float64(), safe=False) for name in table.column_names}
    there = {name: values.filter(pc.invert(pc.is_nan(values))) for name, values in columns.items()}
    return {name for name, values in there.items() if pc.all(pc.equal(pc.floor(values), values)).as_py()}


def _finding(rule: Rule, result: Any) -> Finding:
    subject = rule.subject
    problems = _problems(result.exception_info or {})
    if problems or result.success is None:
        reason = f"{subject}: {rule.type} could not be measured: {'; '.join(problems) or 'no result'}"
        return Finding(
            check=rule.type, subject=subject, outcome=Outcome.ERROR, reason=reason, severity=rule.severity
        )
    seen = _observed(result.result)
    reason = f"{subject}: {rule.type}: observed {seen}, allowed {allowed_text(rule)}"
    return rule_finding(rule, subject, passed=bool(result.success), observed=seen, reason=reason)


def _observed(result: dict[str, Any]) -> str:
    """Return what was observed; where it is a percentage, as a share of the values like everywhere else."""
    if "observed_value" in result or result.get("unexpected_percent") is None:
        return str(result.get("observed_value"))
    return f"{result['unexpected_percent']:.3g} % of values unexpected"


def _problems(info: dict[str, Any]) -> list[str]:
    """Return the exception messages; Great Expectations keys them by metric, or not at all."""
    infos = [info] if "raised_exception" in info else list(info.values())
    raised = [i for i in infos if isinstance(i, dict) and i.get("raised_exception")]
    return list(dict.fromkeys(str(i.get("exception_message")) for i in raised))
