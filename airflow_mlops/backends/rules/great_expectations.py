"""Great Expectations: loads suites and runs what a profile cannot answer, on the window's rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.answers import answer, finding
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.outcome import Finding, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import fsspec
    import pandas as pd
    import pyarrow as pa
    from great_expectations import ExpectationSuite

    from airflow_mlops.core.data.profile import Profile
    from airflow_mlops.core.data.schema import Rule, Schema
    from airflow_mlops.core.data.window import Window


def check_schema(
    schema: Schema,
    profile: Profile,
    window: Window,
    environment: str,
    filesystem: fsspec.AbstractFileSystem | None = None,
) -> Verdict:
    """Judge a window: from its profile where that suffices, by Great Expectations on its rows otherwise.

    :param filesystem: where the window's files lie; by the URI's scheme if ``None``.
    """
    rules = [rule for rule in schema.expectations if rule.applies_to(environment)]
    answers = [(rule, answer(rule, profile)) for rule in rules]
    left = [rule for rule, found in answers if found is None]
    asked = iter(evaluate(left, _rows(window, filesystem)) if left else ())
    return Verdict.of("schema", [found or next(asked) for _, found in answers])


def to_suite(schema: Schema) -> ExpectationSuite:
    """Return the schema as Great Expectations' own object.

    :raises InvalidConfigError: an expectation or an argument that it does not know; names both.
    """
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=schema.name, meta=schema.meta)
    for index, rule in enumerate(schema.expectations):
        suite.add_expectation(_expectation(rule, f"{schema.name}: expectations[{index}]"))
    return suite


def from_suite(suite: ExpectationSuite) -> Schema:
    """Return Great Expectations' object as a schema."""
    from airflow_mlops.core.data.schema import Rule, Schema

    rules = [e.configuration.to_json_dict() for e in suite.expectations]
    kept = ("type", "kwargs", "meta", "severity")
    read = [Rule.from_json({k: r[k] for k in kept if r.get(k) is not None}) for r in rules]
    meta = {k: v for k, v in (suite.meta or {}).items() if k != "great_expectations_version"}
    return Schema(name=suite.name, expectations=tuple(read), meta=meta)


def evaluate(rules: Sequence[Rule], frame: pd.DataFrame) -> list[Finding]:
    """Run rules on rows; one finding each, in their order."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("window")
    batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name="left")
    for index, rule in enumerate(rules):
        expectation = _expectation(rule, f"{rule.type}[{index}]")
        expectation.meta = {**(expectation.meta or {}), "mlops_index": index}
        suite.add_expectation(expectation)
    result = batch.get_batch({"dataframe": frame}).validate(suite)
    found = {r.expectation_config.meta["mlops_index"]: r for r in result.results}
    return [_finding(rule, found[index]) for index, rule in enumerate(rules)]


def _expectation(rule: Rule, where: str) -> Any:
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        implementation = get_expectation_impl(rule.type)
        return implementation(**rule.kwargs, meta=dict(rule.meta), severity=str(rule.severity))
    except (GreatExpectationsError, ValueError, TypeError) as error:
        msg = f"{where} ({rule.type}): {' '.join(str(error).split())[:300]}"
        raise InvalidConfigError(msg) from error


def _finding(rule: Rule, result: Any) -> Finding:
    subject = str(rule.kwargs.get("column", "table"))
    problems = _problems(result.exception_info or {})
    if problems or result.success is None:
        reason = f"{subject}: {rule.type} could not be measured: {'; '.join(problems) or 'no result'}"
        return Finding(check=rule.type, subject=subject, outcome=Outcome.ERROR, reason=reason)
    share = result.result.get("unexpected_percent")
    seen = result.result.get("observed_value", share)
    reason = f"{subject}: {rule.type}: observed {seen}, allowed {rule.kwargs}"
    return finding(rule, subject, passed=bool(result.success), observed=str(seen), reason=reason)


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return rows as Great Expectations understands them: it knows no name for pandas' own text type."""
    frame: pd.DataFrame = table.to_pandas()
    texts = [name for name in frame if frame[name].dtype == "str"]
    objects = {str(name): frame[name].astype(object).where(frame[name].notna(), None) for name in texts}
    return frame.assign(**objects)


def _problems(info: dict[str, Any]) -> list[str]:
    """Return what went wrong; Great Expectations keys it by metric, or not at all."""
    infos = [info] if "raised_exception" in info else list(info.values())
    raised = [i for i in infos if isinstance(i, dict) and i.get("raised_exception")]
    return list(dict.fromkeys(str(i.get("exception_message")) for i in raised))


def _rows(window: Window, filesystem: fsspec.AbstractFileSystem | None) -> pd.DataFrame:
    from airflow_mlops.backends.profiling.dataset import read_window

    return as_frame(read_window(window, filesystem=filesystem))
