"""``airflow-mlops``: profile, infer a schema, check, compare; the functions the operators use.

Exit code 0: passed, 1: failed, 2: could not be measured or not understood.
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
    from airflow_mlops.core.data.window import Window

PASSED, FAILED, NOT_MEASURED = 0, 1, 2
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
    from airflow_mlops.core.data.inference import infer_schema

    schema = infer_schema(_scan(options.uri, options.partition), options.name, labels=options.label)
    text = schema.to_yaml()
    if options.output:
        Path(options.output).write_text(text)
        print(f"{options.output}: {len(schema.expectations)} rules; read and edit them")
    else:
        print(text, end="")
    return PASSED


def _check(options: argparse.Namespace) -> int:
    from airflow_mlops.backends.profiling.arrow import profile_window
    from airflow_mlops.backends.profiling.dataset import describe_window
    from airflow_mlops.backends.rules.great_expectations import check_schema
    from airflow_mlops.core.data.schema import schema_from_yaml

    schema = schema_from_yaml(_read(options.schema), options.schema)
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


def _read(path: str) -> str:
    from airflow_mlops.core.errors import InvalidConfigError

    try:
        return Path(path).read_text()
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InvalidConfigError(msg) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airflow-mlops", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    profile = _command(commands, "profile", _profile, "summarise a dataset in one pass")
    profile.add_argument("-o", "--output", help="write the profile as JSON")
    schema = commands.add_parser("schema", help="work on schemas").add_subparsers(required=True)
    infer = _command(schema, "infer", _infer, "propose a schema from reference data")
    infer.add_argument("-o", "--output", help="write YAML here")
    infer.add_argument("--name", default="schema", help="name of the suite")
    infer.add_argument("--label", action="append", default=[], help="column only training data has")
    check = _command(commands, "check", _check, "check data against a schema")
    check.add_argument("--schema", required=True, help="YAML suite")
    check.add_argument("--environment", default="training", choices=("training", "serving"))
    skew = commands.add_parser("skew", help="compare data with a reference")
    skew.add_argument("reference", help="reference dataset")
    skew.add_argument("--reference-partition", action="append", default=[])
    skew.add_argument("--policy", metavar="FILE", help="YAML of thresholds, roles and ignored columns")
    skew.add_argument("--calibrate", action="store_true", help="thresholds from the reference's partitions")
    skew.add_argument("--multivariate", action="store_true", help="also compare all columns together")
    skew.add_argument("--html", metavar="FILE", help="write the report with plots")
    _data_arguments(skew, _skew)
    return parser


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    return _data_arguments(commands.add_parser(name, help=text), run)


def _data_arguments(parser: argparse.ArgumentParser, run: Any) -> argparse.ArgumentParser:
    parser.add_argument("uri", help="directory or file, parquet or csv")
    parser.add_argument("--partition", action="append", default=[], help="partition key, may be repeated")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
