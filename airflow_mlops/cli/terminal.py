"""Shared by the commands: reading with a progress bar, printing verdicts, exit codes."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mlops.core.nouns import with_noun
from airflow_mlops.core.verdict import Outcome, Severity, Verdict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.window import Window

PASSED, FAILED, NOT_MEASURED = 0, 1, 2
CODES = {Outcome.PASS: PASSED, Outcome.WARN: PASSED, Outcome.FAIL: FAILED}
_LONG_BYTES = 100_000_000
"""Bytes from which a terminal shows a progress bar."""


def scan(window: Window) -> Profile:
    """Profile files, or a table of a database."""
    from airflow_mlops.backends.profiling.files.arrow import profile_window
    from airflow_mlops.backends.profiling.tables.sql_table import is_table_uri, profile_table_uri

    if is_table_uri(window.uri):
        return profile_table_uri(window.uri, window.partitions)[1]
    with reading(window) as on_bytes:
        return profile_window(window, on_bytes=on_bytes)


@contextmanager
def reading(*windows: Window) -> Iterator[Callable[[float], None] | None]:
    """Show a progress bar on the terminal while large files are read; yield the function that advances it."""
    from airflow_mlops.backends.profiling.files.dataset import window_bytes

    size = sum(window_bytes(window) for window in windows) if sys.stderr.isatty() else 0
    if size < _LONG_BYTES:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{size / 1e6:,.0f} MB", total=size)
        yield lambda more: bar.advance(task, more)


def tell_notes(notes: Iterable[str]) -> None:
    """Say on the standard error stream how the data was read, where that was found and not stated."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def print_verdict(verdict: Verdict, options: argparse.Namespace) -> int:
    """Print a verdict and return its exit code."""
    if options.json:
        print(json.dumps(verdict.to_json(), allow_nan=False))
    else:
        print(f"{verdict.gate}: {verdict.outcome}, {with_noun(len(verdict.findings), 'check')}")
        for severity, reason in _graded(verdict):
            print(f"  {severity}: {reason}")
    return CODES.get(verdict.outcome, NOT_MEASURED)


def _graded(verdict: Verdict) -> Iterator[tuple[Severity, str]]:
    """Return what did not pass, each once, worst first, with its severity: that of the finding's rule."""
    bad = [f for f in verdict.findings if f.outcome is not Outcome.PASS]
    for reason in verdict.reasons:
        yield max((f.severity for f in bad if f.reason == reason), key=[*Severity].index), reason


def write(path: str, text: str) -> None:
    """Write a file atomically.

    :raises InvalidConfigError: the file cannot be written.
    """
    from airflow_mlops.backends.text_file import write_atomically

    write_atomically(path, text)
