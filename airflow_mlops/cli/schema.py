"""Commands on schemas: infer, diff, evolve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.cli.terminal import FAILED, PASSED, reading, scan, write
from airflow_mlops.core.counted import counted
from airflow_mlops.core.data.window import Window

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from airflow_mlops.core.data.schema.diff import SchemaDiff
    from airflow_mlops.core.data.schema.schema import Schema

_SCHEMA_SUFFIXES = (".yaml", ".yml", ".json")


def run_infer(options: argparse.Namespace) -> int:
    """Propose a schema from data."""
    from airflow_mlops.backends.profiling.files.arrow import profile_window
    from airflow_mlops.backends.rules.confirm import confirm_estimates
    from airflow_mlops.core.data.schema.infer import infer_schema

    window = Window(uri=options.uri, partitions=tuple(options.partition))
    with reading(window) as on_bytes:
        profile = profile_window(window, on_bytes=on_bytes)
    proposed = infer_schema(profile, options.name, labels=options.label)
    schema = confirm_estimates(proposed, window)
    text = json.dumps(schema.document(), allow_nan=False) if options.json else schema.to_yaml()
    if options.output:
        write(options.output, text)
        print(f"{options.output}: {counted(len(schema.expectations), 'rule')}; review and edit them")
    else:
        print(text.rstrip())
    return PASSED


def run_diff(options: argparse.Namespace) -> int:
    """Compare a schema with another one, or with the one inferred from data."""
    from airflow_mlops.backends.rules.schema_file import read_schema

    found = _changes(read_schema(options.old), options.new, options.partition)
    if options.json:
        print(json.dumps(found.to_json(), allow_nan=False))
    else:
        print(f"{options.old} -> {options.new}: {counted(len(found.changes), 'change')}")
        for change in found.changes:
            print(f"  {'! ' if change.needed else ''}{change.sentence}")
    return FAILED if found.changes else PASSED


def run_evolve(options: argparse.Namespace) -> int:
    """Accept changes into a schema."""
    from airflow_mlops.backends.rules.schema_file import evolve_text, parse_schema, read_utf8

    text = read_utf8(options.schema)
    found = _changes(parse_schema(text, options.schema), options.data, options.partition)
    accepted = found.pick(_accepted(found, options))
    changed, kept = evolve_text(text, options.schema, accepted)
    if accepted or options.output:
        write(options.output or options.schema, changed)
    for change in accepted:
        print(f"  {change.sentence}")
    note = "" if kept else "; comments could not be preserved"
    of = counted(len(found.changes), "change")
    print(f"{options.output or options.schema}: {len(accepted)} of {of} accepted{note}")
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
    from airflow_mlops.core.data.schema.diff import diff, diff_from_data

    if Path(new).suffix in _SCHEMA_SUFFIXES:
        return diff(schema, read_schema(new))
    return diff_from_data(schema, scan(new, partitions))
