"""Commands on data: profile, check, skew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow_mlops.cli.csv_options import window_of
from airflow_mlops.cli.terminal import (
    CODES,
    NOT_MEASURED,
    PASSED,
    print_verdict,
    reading,
    scan,
    tell_notes,
    write,
)
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.data.profile.shown import shown_value
from airflow_mlops.core.nouns import with_noun

if TYPE_CHECKING:
    import argparse

    from airflow_mlops.core.data.profile.column import Column
    from airflow_mlops.core.data.window import Window


def run_profile(options: argparse.Namespace) -> int:
    """Summarise a dataset."""
    found = scan(window_of(options, options.uri, options.partition))
    text = json.dumps(found.to_json(), allow_nan=False)
    if options.output:
        write(options.output, text)
    if options.json:
        print(text)
        return PASSED
    print("\n".join([with_noun(found.rows, "row"), *found.notes]))
    for column in found.columns:
        distinct = _distinct(column)
        share = f"null {column.null_share(found.rows):.3f}"
        print(f"{column.name:24} {column.kind:12} {share}  {distinct:18} {_span(column)}".rstrip())
    return PASSED


def _distinct(column: Column) -> str:
    """Return the number of distinct values, ``about`` it where it is an estimate."""
    from airflow_mlops.core.data.expectations.sets import exact_distinct

    exact = exact_distinct(column)
    exact = column.exact_distinct if exact is None else exact
    if exact is not None:
        return f"{exact} distinct"
    return "" if column.distinct is None else f"about {column.distinct:.0f} distinct"


def _span(column: Column) -> str:
    """Return the range of a column's values, of texts that of their lengths."""
    ends = [shown_value(end, column.kind) for end in (column.minimum, column.maximum) if end is not None]
    infinite = [f"{column.infinite} infinite"] if column.infinite else []
    unit = " characters" if ends and column.kind is Kind.STRING else ""
    return ", ".join([*([f"{' to '.join(ends)}{unit}"] if ends else []), *infinite])


def run_check(options: argparse.Namespace) -> int:
    """Check a dataset against a schema."""
    from airflow_mlops.backends.profiling.files.arrow import profile_window
    from airflow_mlops.backends.rules.great_expectations import check_schema
    from airflow_mlops.backends.rules.schema_file import read_schema
    from airflow_mlops.backends.rules.suite import require_known
    from airflow_mlops.core.data.expectations.rule import require_environment

    require_environment(options.environment)
    schema = read_schema(options.schema)
    require_known(schema)
    window = window_of(options, options.uri, options.partition)
    with reading(window) as on_bytes:
        profiled = profile_window(window, on_bytes=on_bytes)
    tell_notes(profiled.notes)
    return print_verdict(check_schema(schema, profiled, window, options.environment), options)


def run_skew(options: argparse.Namespace) -> int:
    """Compare a dataset with a reference."""
    from airflow_mlops.backends.profiling.comparison import compare_windows, read_policy
    from airflow_mlops.backends.reporting.skew import skew_text, write_skew

    reference = window_of(options, options.reference, options.reference_partition)
    current = window_of(options, options.uri, options.partition)
    with reading(reference, current) as on_bytes:
        report = compare_windows(
            reference,
            current,
            read_policy(options.policy) if options.policy else None,
            by_blocks=options.calibrate,
            multivariate=options.multivariate,
            on_bytes=on_bytes,
        )
    if options.html:
        names = {"reference": _name(reference), "current": _name(current)}
        write_skew(report, options.html, title="Skew report", **names)
    print(json.dumps(report.to_json(), allow_nan=False) if options.json else skew_text(report))
    return CODES.get(report.verdict.outcome, NOT_MEASURED)


def _name(window: Window) -> str:
    return f"{window.uri} {window.label}" if window.partitions else window.uri
