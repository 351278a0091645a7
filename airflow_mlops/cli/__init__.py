"""``airflow-mlops``: profile data, infer and check schemas, compare, stop rollouts; as the operators do it.

Exit code 0: passed, equal or done, 1: failed or different, 2: not measurable, not reached or invalid input.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli import data, ledger, plan, rollout, schema, status, stop
from airflow_mlops.cli.csv_options import add_csv_options
from airflow_mlops.cli.terminal import NOT_MEASURED
from airflow_mlops.core.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_BROKEN_PIPE = 141
"""Exit code of a command whose reader is gone, as shells report it: 128 + SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        code = int(options.run(options))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader had enough, e.g. `| head`; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except MlopsError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_MEASURED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airflow-mlops", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    profile = _command(commands, "profile", data.run_profile, "summarise a dataset in one pass")
    profile.add_argument("-o", "--output", help="write the profile as JSON")
    rollout.add_reap(commands)
    stop.add_stop(commands)
    status.add_status(commands)
    plan.add_plan(commands)
    _schema_commands(commands.add_parser("schema", help="work on schemas").add_subparsers(required=True))
    check = _command(commands, "check", data.run_check, "check data against a schema")
    check.add_argument("--schema", required=True, help="YAML suite")
    check.add_argument("--environment", default="training", help="training or serving")
    skew = commands.add_parser("skew", help="compare data with a reference")
    skew.add_argument("reference", help="reference dataset")
    skew.add_argument("--reference-partition", action="append", default=[])
    skew.add_argument("--policy", metavar="FILE", help="YAML of thresholds, roles and ignored columns")
    skew.add_argument("--calibrate", action="store_true", help="thresholds from the reference's partitions")
    skew.add_argument("--multivariate", action="store_true", help="also compare all columns together")
    skew.add_argument("--html", metavar="FILE", help="write the report with plots")
    _data_arguments(skew, data.run_skew)
    _ledger_command(commands.add_parser("ledger", help="show changes of champion and decisions"))
    return parser


def _ledger_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="registered model")
    parser.add_argument("--tracking-uri", help="MLflow server; default: MLFLOW_TRACKING_URI")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=ledger.run_ledger)


def _schema_commands(commands: Any) -> None:
    infer = _command(commands, "infer", schema.run_infer, "propose a schema from reference data")
    infer.add_argument("-o", "--output", help="write YAML to this file")
    infer.add_argument("--name", default="schema", help="name of the suite")
    infer.add_argument("--label", action="append", default=[], help="column that only training data has")
    compare = commands.add_parser("diff", help="compare a schema with another one, or with data")
    compare.add_argument("old", help="YAML suite")
    compare.add_argument("new", help="YAML suite, or a dataset to infer one from")
    _partition_argument(compare, schema.run_diff)
    compare.add_argument("--json", action="store_true", help="print JSON")
    change = commands.add_parser("evolve", help="accept changes into a schema")
    change.add_argument("schema", help="YAML suite")
    change.add_argument("data", help="a dataset to infer changes from, or a YAML suite")
    accept = change.add_mutually_exclusive_group(required=True)
    accept.add_argument(
        "--accept", nargs="+", metavar="ID", help="changes by their ids, as `diff` shows them"
    )
    accept.add_argument("--accept-all", action="store_true", help="all changes")
    accept.add_argument(
        "--accept-needed", action="store_true", help="only changes without which the data fails"
    )
    change.add_argument("-o", "--output", help="output file; default: the schema itself")
    _partition_argument(change, schema.run_evolve)


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    return _data_arguments(commands.add_parser(name, help=text), run)


def _data_arguments(parser: argparse.ArgumentParser, run: Any) -> argparse.ArgumentParser:
    parser.add_argument(
        "uri", help="directory or file, parquet or csv; a Delta or Iceberg table; a database's"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return _partition_argument(parser, run)


def _partition_argument(parser: argparse.ArgumentParser, run: Any) -> argparse.ArgumentParser:
    parser.add_argument("--partition", action="append", default=[], help="partition key, may be repeated")
    add_csv_options(parser)
    parser.set_defaults(run=run)
    return parser
