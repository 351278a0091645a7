"""``airflow-mlops ledger``: promotions, rollbacks and decisions of a model, newest first."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_mlops.cli.connections import TRACKING_URI, server_at
from airflow_mlops.cli.terminal import PASSED
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from airflow_mlops.backends.registry.protocol import DecisionEntry, LedgerEntry
    from airflow_mlops.core.rollout.end import RolloutEnd


def run_ledger(options: argparse.Namespace) -> int:
    """Print the entries of a model.

    :raises InvalidConfigError: no address, or an unknown model.
    """
    from airflow_mlops.backends.registry.mlflow import MlflowRegistry

    address = options.tracking_uri or os.environ.get(TRACKING_URI, "")
    if not address:
        msg = f"no MLflow server: give --tracking-uri or set {TRACKING_URI}"
        raise InvalidConfigError(msg)
    registry = MlflowRegistry(server_at(address))
    entries, decisions = registry.ledger(options.model), registry.decisions(options.model)
    ends = registry.ends(options.model)
    if not (entries or decisions or ends or registry.versions(options.model)):
        msg = f"MLflow at {registry.server.uri} has no model {options.model!r}"
        raise InvalidConfigError(msg)
    if options.json:
        every: list[LedgerEntry | DecisionEntry | RolloutEnd] = [*entries, *decisions, *ends]
        every.sort(key=lambda entry: entry.number)
        print(json.dumps([entry.to_json() for entry in reversed(every)]))
    else:
        print(_text(entries, decisions, ends))
    return PASSED


def _text(
    entries: Sequence[LedgerEntry], decisions: Sequence[DecisionEntry], ends: Sequence[RolloutEnd]
) -> str:
    """Return one paragraph per entry, with changes outside the ledger in between."""
    paragraphs = [(decision.number, _decision_lines(decision)) for decision in decisions]
    paragraphs += [(end.number, _end_lines(end)) for end in ends]
    for before, entry in zip([None, *entries], entries, strict=False):
        paragraphs.append((entry.number, [*_lines(entry), *_outside(before, entry)]))
    paragraphs.sort(key=lambda paragraph: paragraph[0])
    lines = [] if entries else ["no version was champion yet"]
    return "\n".join([*lines, *(line for _, paragraph in reversed(paragraphs) for line in paragraph)])


def _outside(before: LedgerEntry | None, entry: LedgerEntry) -> list[str]:
    """Return changes between two entries that are not in the ledger: removed entries, moved aliases."""
    if before is None:
        return []
    if before.number and entry.after != before.number:
        return [f"  entry {entry.after}, before it, was removed from MLflow"]
    if entry.from_version != before.to_version:
        return [f"  before it the alias moved outside the ledger: {before.to_version} → {entry.from_version}"]
    return []


def _lines(entry: LedgerEntry) -> list[str]:
    return [
        f"{_head(entry)} {entry.kind}: {entry.from_version or 'none'} → {entry.to_version} by {entry.actor}",
        f"  run {entry.dag_id}/{entry.run_id}",
        *([f"  reason {entry.reason}"] if entry.reason else []),
        *([f"  before it {entry.approval}"] if entry.approval else []),
        *(f"  verdict {verdict}" for verdict in entry.verdicts),
    ]


def _decision_lines(entry: DecisionEntry) -> list[str]:
    return [
        f"{_head(entry)} {entry.decision}: version {entry.version} by {entry.by}",
        f"  run {entry.dag_id}/{entry.run_id}",
        *([f"  comment {entry.comment}"] if entry.comment else []),
        *(f"  verdict {verdict}" for verdict in entry.verdicts),
    ]


def _end_lines(end: RolloutEnd) -> list[str]:
    return [f"{_head(end)} {end.sentence}", *([f"  run {end.holder}"] if end.holder else [])]


def _head(entry: LedgerEntry | DecisionEntry | RolloutEnd) -> str:
    when = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{entry.number:>3} {when}"
