"""Commands on schemas: infer, diff, evolve."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.cli.csv_options import window_of
from airflow_mlops.cli.terminal import FAILED, PASSED, reading, tell_notes, write
from airflow_mlops.core.nouns import with_noun

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from airflow_mlops.core.data.schema.diff import SchemaDiff
    from airflow_mlops.core.data.schema.schema import Schema
    from airflow_mlops.core.data.window import Window

_SCHEMA_SUFFIXES = (".yaml", ".yml", ".json")


def run_infer(options: argparse.Namespace) -> int:
    """Propose a schema from data, and say what is unsure."""
    from airflow_mlops.backends.rules.propose import propose_schema

    window = window_of(options, options.uri, options.partition)
    with _reading_twice(window) as on_bytes:
        proposal = propose_schema(window, options.name, labels=options.label, on_bytes=on_bytes)
    tell_notes(proposal.profile.notes)
    schema = proposal.schema
    text = json.dumps(schema.document(), allow_nan=False) if options.json else schema.to_yaml()
    unsure = _unsure(schema)
    if options.output:
        note = _keep_former(options.output, text)
        write(options.output, text)
        print(f"{options.output}: {with_noun(len(schema.expectations), 'rule')}{note}; review and edit them")
        print("".join(f"  {line}\n" for line in unsure), end="")
    else:
        print(text.rstrip())
        print("".join(f"{line}\n" for line in unsure), end="", file=sys.stderr)
    return PASSED


def _reading_twice(window: Window) -> AbstractContextManager[Callable[[float], None] | None]:
    """Show progress over files that are read in all and by partition."""
    from airflow_mlops.backends.profiling.tables.sql_table import is_table_uri

    return reading(*(() if is_table_uri(window.uri) else (window, window)))


def _unsure(schema: Schema) -> list[str]:
    """Return what inference was not sure of, long lists of columns shortened; the file has them in full."""
    from airflow_mlops.core.data.expectations.query import shortened

    lines = [schema.notes] if isinstance(schema.notes, str) else schema.notes or []
    told = (line.partition(": ") for line in lines)
    return [f"unsure: {shortened(columns.split(', '))}: {doubt}" for columns, _, doubt in told]


def _keep_former(path: str, text: str) -> str:
    """Keep a copy of a file that is about to be replaced by another text, and return a note of it."""
    former = Path(path)
    if not former.is_file() or former.read_bytes() == text.encode():
        return ""
    copy = former.with_name(f"{former.name}.bak")
    shutil.copyfile(former, copy)
    return f" (the file that was there is now {copy.name})"


def run_diff(options: argparse.Namespace) -> int:
    """Compare a schema with another one, or with the one inferred from data."""
    from airflow_mlops.backends.rules.schema_file import read_schema

    found = _changes(read_schema(options.old), options.new, options)
    if options.json:
        print(json.dumps(found.to_json(), allow_nan=False))
    else:
        print(f"{options.old} -> {options.new}: {with_noun(len(found.changes), 'change')}")
        for change in found.changes:
            print(f"  {'! ' if change.needed else ''}{change.sentence}")
    return FAILED if found.changes else PASSED


def run_evolve(options: argparse.Namespace) -> int:
    """Accept changes into a schema."""
    from airflow_mlops.backends.rules.schema_file import evolve_text, parse_schema
    from airflow_mlops.backends.text_file import read_utf8

    text = read_utf8(options.schema)
    found = _changes(parse_schema(text, options.schema), options.data, options)
    accepted = found.pick(_accepted(found, options))
    changed, kept = evolve_text(text, options.schema, accepted)
    kept_copy = ""
    if accepted or options.output:
        kept_copy = _keep_former(options.output, changed) if options.output else ""
        write(options.output or options.schema, changed)
    for change in accepted:
        print(f"  {change.sentence}")
    note = "" if kept else "; comments could not be preserved"
    of = with_noun(len(found.changes), "change")
    print(f"{options.output or options.schema}: {len(accepted)} of {of} accepted{note}{kept_copy}")
    return PASSED


def _accepted(found: SchemaDiff, options: argparse.Namespace) -> list[str]:
    """Return the ids of the changes that the options accept."""
    if options.accept_all:
        return [change.id for change in found.changes]
    return (
        [change.id for change in found.changes if change.needed] if options.accept_needed else options.accept
    )


def _changes(schema: Schema, new: str, options: argparse.Namespace) -> SchemaDiff:
    """Compare a schema with another one, or with data."""
    from airflow_mlops.backends.rules.propose import compare_with_data
    from airflow_mlops.backends.rules.schema_file import read_schema
    from airflow_mlops.core.data.schema.diff import diff

    if Path(new).suffix in _SCHEMA_SUFFIXES:
        return diff(schema, read_schema(new))
    window = window_of(options, new, options.partition)
    with _reading_twice(window) as on_bytes:
        found = compare_with_data(schema, window, on_bytes)
    tell_notes(found.notes)
    return found
