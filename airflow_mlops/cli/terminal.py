"""What commands share: reading with a progress bar, answers, exit codes."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mlops.core.verdict import Outcome, Verdict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from airflow_mlops.core.data.profile.profile import Profile

PASSED, FAILED, NOT_MEASURED = 0, 1, 2
CODES = {Outcome.PASS: PASSED, Outcome.WARN: PASSED, Outcome.FAIL: FAILED}
_LONG_ROWS = 2_000_000
"""From so many rows on a terminal is shown how far the reading is."""


def scan(uri: str, partitions: Sequence[str]) -> Profile:
    """Profile files, or a table of a database."""
    from airflow_mlops.backends.profiling.files.arrow import profile_window
    from airflow_mlops.backends.profiling.files.dataset import describe_window
    from airflow_mlops.backends.profiling.tables.sql_table import is_table_uri, profile_table_uri

    if is_table_uri(uri):
        return profile_table_uri(uri, partitions)[1]
    window = describe_window(uri, partitions)
    with reading(window.rows) as on_rows:
        return profile_window(window, on_rows=on_rows)


@contextmanager
def reading(rows: int | None) -> Iterator[Callable[[float], None] | None]:
    """Show a progress bar on the terminal while many rows are read; yield what moves it."""
    if (rows or 0) < _LONG_ROWS or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{rows:,} rows", total=rows)
        yield lambda more: bar.advance(task, more)


def print_verdict(verdict: Verdict, options: argparse.Namespace) -> int:
    """Print a verdict and return its exit code."""
    if options.json:
        print(json.dumps(verdict.to_json(), allow_nan=False))
    else:
        print(f"{verdict.gate}: {verdict.outcome}, {len(verdict.findings)} checks")
        for reason in verdict.reasons:
            print(f"  {reason}")
    return CODES.get(verdict.outcome, NOT_MEASURED)


def write(path: str, text: str) -> None:
    """Write a file whole, or not at all.

    :raises InvalidConfigError: a place that cannot be written to.
    """
    from airflow_mlops.backends.rules.schema_file import write_atomically

    write_atomically(path, text)
