"""A process that promotes when told to: one JSON order a line, one word of answer a line.

``{"at": seconds since the epoch, "killed": bool, …fields of a LedgerEntry}``; ``killed`` ends the process
after its entry is in the ledger and before the alias moves.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import mlflow  # noqa: F401 - loaded before the race, not within it

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.protocol import LedgerEntry
from airflow_mlops.core.errors import RegistryConflictError


def main():
    registry = MlflowRegistry(MlflowServer(sys.argv[1]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        if order["killed"]:
            MlflowRegistry._apply = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(max(0.0, order["at"] - time.time()))
        try:
            registry.promote(LedgerEntry.from_json(order))
            answer = "won"
        except RegistryConflictError:
            answer = "lost"
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
