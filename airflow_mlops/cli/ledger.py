"""``airflow-mlops ledger``: who made which version champion, when and why; newest first."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING

from airflow_mlops.cli.terminal import PASSED
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from airflow_mlops.backends.registry.protocol import LedgerEntry

ADDRESS = "MLFLOW_TRACKING_URI"


def ledger(options: argparse.Namespace) -> int:
    """Print the entries of a model.

    :raises InvalidConfigError: no address, or no such model.
    """
    from airflow_mlops.backends.mlflow_server import MlflowServer
    from airflow_mlops.backends.registry.mlflow import MlflowRegistry

    address = options.tracking_uri or os.environ.get(ADDRESS, "")
    if not address:
        msg = f"no MLflow server: give --tracking-uri or set {ADDRESS}"
        raise InvalidConfigError(msg)
    registry = MlflowRegistry(MlflowServer(address))
    entries = registry.ledger(options.model)
    if not entries and not registry.versions(options.model):
        msg = f"MLflow at {address} has no model {options.model!r}"
        raise InvalidConfigError(msg)
    shown = entries[::-1]
    print(json.dumps([entry.to_json() for entry in shown]) if options.json else _text(shown))
    return PASSED


def _text(shown: Sequence[LedgerEntry]) -> str:
    """Return one paragraph an entry, with what happened outside the ledger in between."""
    lines = []
    for entry, before in zip_longest(shown, shown[1:]):
        lines += _lines(entry)
        if before is not None and before.number and entry.after != before.number:
            lines.append(f"  entry {entry.after}, before it, was removed from MLflow")
        elif before is not None and entry.from_version != before.to_version:
            lines.append(
                f"  before it the alias moved outside the ledger: {before.to_version} → {entry.from_version}"
            )
    return "\n".join(lines) or "no version was champion yet"


def _lines(entry: LedgerEntry) -> list[str]:
    when = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return [
        f"{entry.number:>3} {when} {entry.kind}: {entry.from_version or 'none'} → {entry.to_version} "
        f"by {entry.actor}",
        f"  run {entry.dag_id}/{entry.run_id}",
        *([f"  reason {entry.reason}"] if entry.reason else []),
        *(f"  verdict {verdict}" for verdict in entry.verdicts),
    ]
