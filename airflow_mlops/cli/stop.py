"""``airflow-mlops stop``: take a canary out of traffic at once, whoever holds the endpoint."""

from __future__ import annotations

import getpass
import os
import time
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli.connections import (
    TRACKING_URI,
    add_ledger_arguments,
    add_serving_arguments,
    end_ledger,
    serving_of,
)
from airflow_mlops.cli.terminal import PASSED
from airflow_mlops.core.errors import ServiceUnavailableError

if TYPE_CHECKING:
    import argparse


def add_stop(commands: Any) -> None:
    """Add ``stop`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "stop", help="take a rollout's canary out of traffic and free the endpoint; needs no running Airflow"
    )
    parser.add_argument("model", help="registered model; also the endpoint")
    parser.add_argument("--reason", required=True, help="why; kept in the ledger")
    parser.add_argument("--by", metavar="NAME", help="who; default: the user of this machine")
    add_serving_arguments(parser)
    add_ledger_arguments(parser, f"default: {TRACKING_URI}; without one the entry is written later")
    parser.set_defaults(run=run_stop)


def run_stop(options: argparse.Namespace) -> int:
    """Stop; return 0 also if there was nothing to stop.

    :raises ServiceUnavailableError: the endpoint could not be reached.
    """
    from airflow_mlops.runtime.stop import stop_rollout

    registry = end_ledger(options, tracking_uri=options.tracking_uri or os.environ.get(TRACKING_URI))
    try:
        done = stop_rollout(
            serving_of(options),
            options.model,
            actor=options.by or getpass.getuser(),
            reason=options.reason,
            now=time.time(),
            way="command line",
            registry=registry,
        )
    except OSError as error:
        msg = f"{options.model}: {error}"
        raise ServiceUnavailableError(msg) from error
    for line in (done.sentence, done.ledger_sentence):
        if line:
            print(line, flush=True)
    return PASSED
