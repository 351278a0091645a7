"""``airflow-mlops``: profile, infer a schema, check, compare; the functions the operators use.

Exit code 0: passed or the same, 1: failed or different, 2: could not be measured or not understood.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import MlopsError
from airflow_mlops.core.outcome import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile import Profile
    from airflow_mlops.core.data.schema import Schema
    from airflow_mlops.core.data.schema_diff import SchemaDiff
    from airflow_mlops.core.data.window import Window

PASSED, FAILED, NOT_MEASURED = 0, 1, 2
SCHEMA_SUFFIXES = (".yaml", ".yml", ".json")
CODES = {Outcome.PASS: PASSED, Outcome.WARN: PASSED, Outcome.FAIL: FAILED}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except MlopsError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_MEASURED


def _profile(options: argparse.Namespace) -> int:
    profile = _scan(options.uri, options.partition)
    if options.output:
        Path(options.output).write_text(json.dumps(profile.to_json(), allow_nan=False))
    if options.json:
        print(json.dumps(profile.to_json(), allow_nan=False))
        return PASSED
    print(f"{profile.rows} rows")
    for column in profile.columns:
        span = "" if column.minimum is None else f"{column.minimum:g} to {column.maximum:g}"
        print(f"{column.name:24} {column.kind:12} null {column.null_share(profile.rows):.3f}  {span}")
    return PASSED


def _infer(options: argparse.Namespace) -> int:
    from airflow_mlops.backends.profiling.arrow import profile_window
    from airflow_mlops.backends.profiling.dataset import describe_window
    from airflow_mlops.backends.rules.confirm import confirm_estimates
    from airflow_mlops.core.data.inference import infer_schema

    window = describe_window(options.uri, options.partition)
    proposed = infer_schema(profile_window(window), options.name, labels=options.label)
    schema = confirm_estimates(proposed, window)
    text = json.dumps(schema.document(), allow_nan=False) if options.json else schema.to_yaml()
    return _put(text, options.output, f"{len(schema.expectations)} rules; read and edit them")


def _diff(options: argparse.Namespace) -> int:
    from airflow_mlops.backends.rules.schema_file import read_schema

    found = _changes(read_schema(options.old), options.new, options.partition)
    if options.json:
        print(json.dumps(found.to_json(), allow_nan=False))
    else:
        print(f"{options.old} -> {options.new}: {len(found.changes)} changes")
        for change in found.changes:
            print(f"  {'! ' if change.needed else ''}{change.sentence}")
    return FAILED if found.changes else PASSED


def _evolve(options: argparse.Namespace) -> int:
    from airflow_mlops.backends.rules.schema_file import evolve_text, read_text, write_text
    from airflow_mlops.core.data.schema import schema_from_yaml

    text = read_text(options.schema)
    found = _changes(schema_from_yaml(text, options.schema), options.data, options.partition)
    accepted = found.pick(_accepted(found, options))
    changed, kept = evolve_text(text, options.schema, accepted)
    if accepted or options.output:
        write_text(options.output or options.schema, changed)
    for change in accepted:
        print(f"  {change.sentence}")
    note = "" if kept else "; comments could not be kept"
    print(
        f"{options.output or options.schema}: {len(accepted)} of {len(found.changes)} changes accepted{note}"
    )
    return PASSED


def _accepted(found: SchemaDiff, options: argparse.Namespace) -> list[str]:
    """Return the ids of the changes that the options accept."""
    if options.accept_all:
        return [change.id for change in found.changes]
    return (
        [change.id for change in found.changes if change.needed] if options.accept_needed else options.accept
    )


def _changes(schema: Schema, new: str, partitions: Sequence[str]) -> SchemaDiff:
    """Compare a schema with another one, or with data."""
    from airflow_mlops.backends.rules.schema_file import read_schema
    from airflow_mlops.core.data.schema_diff import diff, diff_from_data

    if Path(new).suffix in SCHEMA_SUFFIXES:
        return diff(schema, read_schema(new))
    return diff_from_data(schema, _scan(new, partitions))


def _check(options: argparse.Namespace) -> int:
    from airflow_mlops.backends.profiling.arrow import profile_window
    from airflow_mlops.backends.profiling.dataset import describe_window
    from airflow_mlops.backends.rules.great_expectations import check_schema
    from airflow_mlops.backends.rules.schema_file import read_schema
    from airflow_mlops.backends.rules.suite import require_known
    from airflow_mlops.core.data.schema import require_environment

    require_environment(options.environment)
    schema = read_schema(options.schema)
    require_known(schema)
    window = describe_window(options.uri, options.partition)
    return _tell(check_schema(schema, profile_window(window), window, options.environment), options)


def _skew(options: argparse.Namespace) -> int:
    from airflow_mlops.backends.profiling.comparison import compare_windows, read_policy
    from airflow_mlops.backends.profiling.dataset import describe_window
    from airflow_mlops.backends.reporting.skew_html import write_skew
    from airflow_mlops.backends.reporting.skew_text import skew_text

    reference = describe_window(options.reference, options.reference_partition)
    current = describe_window(options.uri, options.partition)
    report = compare_windows(
        reference,
        current,
        read_policy(options.policy) if options.policy else None,
        by_blocks=options.calibrate,
        multivariate=options.multivariate,
    )
    if options.html:
        names = {"reference": _name(reference), "current": _name(current)}
        write_skew(report, options.html, title="Skew report", **names)
    print(json.dumps(report.to_json(), allow_nan=False) if options.json else skew_text(report))
    return CODES.get(report.verdict.outcome, NOT_MEASURED)


def _name(window: Window) -> str:
    return f"{window.uri} {window.label}" if window.partitions else window.uri


def _scan(uri: str, partitions: Sequence[str]) -> Profile:
    from airflow_mlops.backends.profiling.arrow import profile_window
    from airflow_mlops.backends.profiling.dataset import describe_window

    return profile_window(describe_window(uri, partitions))


def _tell(verdict: Verdict, options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps(verdict.to_json(), allow_nan=False))
    else:
        print(f"{verdict.gate}: {verdict.outcome}, {len(verdict.findings)} checks")
        for reason in verdict.reasons:
            print(f"  {reason}")
    return CODES.get(verdict.outcome, NOT_MEASURED)


def _put(text: str, output: str | None, what: str) -> int:
    """Write text to a file and say so, or print it."""
    from airflow_mlops.backends.rules.schema_file import write_text

    if output:
        write_text(output, text)
        print(f"{output}: {what}")
    else:
        print(text, end="" if text.endswith("\n") else "\n")
    return PASSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airflow-mlops", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    profile = _command(commands, "profile", _profile, "summarise a dataset in one pass")
    profile.add_argument("-o", "--output", help="write the profile as JSON")
    _schema_commands(commands.add_parser("schema", help="work on schemas").add_subparsers(required=True))
    check = _command(commands, "check", _check, "check data against a schema")
    check.add_argument("--schema", required=True, help="YAML suite")
    check.add_argument("--environment", default="training", help="training or serving")
    skew = commands.add_parser("skew", help="compare data with a reference")
    skew.add_argument("reference", help="reference dataset")
    skew.add_argument("--reference-partition", action="append", default=[])
    skew.add_argument("--policy", metavar="FILE", help="YAML of thresholds, roles and ignored columns")
    skew.add_argument("--calibrate", action="store_true", help="thresholds from the reference's partitions")
    skew.add_argument("--multivariate", action="store_true", help="also compare all columns together")
    skew.add_argument("--html", metavar="FILE", help="write the report with plots")
    _data_arguments(skew, _skew)
    return parser


def _schema_commands(schema: Any) -> None:
    infer = _command(schema, "infer", _infer, "propose a schema from reference data")
    infer.add_argument("-o", "--output", help="write YAML here")
    infer.add_argument("--name", default="schema", help="name of the suite")
    infer.add_argument("--label", action="append", default=[], help="column only training data has")
    compare = schema.add_parser("diff", help="compare a schema with another one, or with data")
    compare.add_argument("old", help="YAML suite")
    compare.add_argument("new", help="YAML suite, or a dataset to infer one from")
    _partition_argument(compare, _diff)
    compare.add_argument("--json", action="store_true", help="print JSON")
    change = schema.add_parser("evolve", help="accept changes into a schema")
    change.add_argument("schema", help="YAML suite")
    change.add_argument("data", help="a dataset to infer changes from, or a YAML suite")
    accept = change.add_mutually_exclusive_group(required=True)
    accept.add_argument(
        "--accept", nargs="+", metavar="ID", help="changes by their ids, as `diff` shows them"
    )
    accept.add_argument("--accept-all", action="store_true", help="all changes")
    accept.add_argument("--accept-needed", action="store_true", help="changes without which the data fails")
    change.add_argument("-o", "--output", help="write here; over the schema itself if not given")
    _partition_argument(change, _evolve)


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    return _data_arguments(commands.add_parser(name, help=text), run)


def _data_arguments(parser: argparse.ArgumentParser, run: Any) -> argparse.ArgumentParser:
    parser.add_argument("uri", help="directory or file, parquet or csv")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return _partition_argument(parser, run)


def _partition_argument(parser: argparse.ArgumentParser, run: Any) -> argparse.ArgumentParser:
    parser.add_argument("--partition", action="append", default=[], help="partition key, may be repeated")
    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
