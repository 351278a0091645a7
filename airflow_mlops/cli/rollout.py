"""Commands on rollouts: ``reap`` stops unattended canaries."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow_mlops.cli.connections import add_ledger_arguments, add_serving_arguments, end_ledger, serving_of
from airflow_mlops.cli.terminal import NOT_MEASURED, PASSED
from airflow_mlops.core.errors import InvalidConfigError, MlopsError

if TYPE_CHECKING:
    import argparse

    from airflow_mlops.backends.registry.rest_ledger import EndLedger
    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.backends.serving.reaper import Revivable

_LEAST_SECONDS = 1.0
_LEDGER_SECONDS = 20.0
"""How long a single look waits for the ledger: nobody looks again after it."""


def add_reap(commands: Any) -> None:
    """Add ``reap`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "reap", help="set canaries with an expired lease to 0 %% of traffic; needs no running Airflow"
    )
    add_serving_arguments(parser)
    add_ledger_arguments(parser, "also write ends of rollouts there that are not in the ledger yet")
    parser.add_argument(
        "--revive",
        action="store_true",
        help="local serving: also restart gateways and stable servers that died",
    )
    often = parser.add_mutually_exclusive_group()
    often.add_argument("--once", action="store_true", help="check once (default)")
    often.add_argument(
        "--every", type=float, metavar="SECONDS", help="check repeatedly, interval of 1 or more"
    )
    parser.set_defaults(run=run_reap)


def run_reap(options: argparse.Namespace) -> int:
    """Reap once or repeatedly; return 2 if a canary could not be stopped or the back end not be read."""
    if options.every is not None and options.every < _LEAST_SECONDS:
        msg = f"--every {options.every:g}: allowed: {_LEAST_SECONDS:g} s or more"
        raise InvalidConfigError(msg)
    if options.every is not None and options.state_dir and not _wait_for(options.state_dir, options.every):
        return PASSED
    serving = serving_of(options)
    if options.revive and not hasattr(serving, "revive"):
        msg = f"--revive: {type(serving).__name__} has no processes of this machine, allowed: local serving"
        raise InvalidConfigError(msg)
    registry = end_ledger(options, tracking_uri=options.tracking_uri)
    ledger = _Ledger(serving, registry, wait=_LEDGER_SECONDS if options.every is None else 0.0)
    code = _look(serving, time.time(), revives=options.revive)
    ledger.write()
    with contextlib.suppress(KeyboardInterrupt):
        while options.every is not None:
            time.sleep(options.every)
            _bury()
            code = _look(serving, time.time(), revives=options.revive)
            ledger.write()
    return code


class _Ledger:
    """Writes ends to the ledger without delaying the reaper, and says once what is in the way.

    :param registry: ``None``: no end is written.
    :param wait: seconds to wait for the registry each time.
    """

    def __init__(self, serving: ServingBackend, registry: EndLedger | None, *, wait: float) -> None:
        from airflow_mlops.runtime.stop import LedgerWriter

        self._writer = LedgerWriter(serving, registry) if registry else None
        self._wait, self._said = wait, ""

    def write(self) -> None:
        problem = self._writer.flush(seconds=self._wait) if self._writer else ""
        if problem and problem != self._said:
            print(f"ledger entries pending: {problem}", file=sys.stderr, flush=True)
        self._said = problem


def _wait_for(folder: str, seconds: float) -> bool:
    """Wait for the first deployment, which creates the folder; return false if interrupted."""
    if not Path(folder).is_dir():
        print(f"waiting for {folder}: not created yet", flush=True)
    try:
        while not Path(folder).is_dir():
            time.sleep(seconds)
    except KeyboardInterrupt:
        return False
    return True


def _bury() -> None:
    """Reap ended child processes, which would otherwise remain zombies."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _look(serving: ServingBackend, now: float, *, revives: bool) -> int:
    from airflow_mlops.backends.serving.reaper import reap, revive

    try:
        found = [*(revive(cast("Revivable", serving)) if revives else ()), *reap(serving, now=now)]
    except MlopsError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return NOT_MEASURED
    for each in found:
        if each.problem:
            print(f"error: {each.endpoint}: {each.problem}", file=sys.stderr, flush=True)
        elif each.revived:
            print(f"{each.endpoint}: restarted: {', '.join(each.revived)}", flush=True)
        else:
            print(f"{each.endpoint}: canary at 0 %, lease of {each.holder} expired", flush=True)
    return NOT_MEASURED if any(each.problem for each in found) else PASSED
