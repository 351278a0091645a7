"""Commands on rollouts: ``reap`` stops unattended canaries."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow_mlops.cli.terminal import NOT_MEASURED, PASSED
from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError, MlopsError

if TYPE_CHECKING:
    import argparse

    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.backends.serving.reaper import Revivable

_LEAST_SECONDS = 1.0


def add_reap(commands: Any) -> None:
    """Add ``reap`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "reap", help="set canaries with an expired lease to 0 %% of traffic; needs no running Airflow"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--state-dir", metavar="DIR", help="state directory of a local serving back end")
    where.add_argument("--conn", metavar="ID", help="Airflow connection of a serving type")
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
    serving = _serving(options)
    if options.revive and not hasattr(serving, "revive"):
        msg = f"--revive: {type(serving).__name__} has no processes of this machine, allowed: local serving"
        raise InvalidConfigError(msg)
    code = _look(serving, time.time(), revives=options.revive)
    with contextlib.suppress(KeyboardInterrupt):
        while options.every is not None:
            time.sleep(options.every)
            _bury()
            code = _look(serving, time.time(), revives=options.revive)
    return code


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


def _serving(options: argparse.Namespace) -> ServingBackend:
    """Return the back end.

    :raises InvalidConfigError: no such folder, or a connection that is not understood.
    """
    if options.state_dir:
        from airflow_mlops.backends.serving.local.backend import LocalServing

        if not Path(options.state_dir).is_dir():
            msg = f"--state-dir {options.state_dir}: no such folder"
            raise InvalidConfigError(msg)
        return LocalServing(Path(options.state_dir))
    try:
        from airflow_mlops.hooks.serving import ServingHook
    except ImportError as error:
        msg = f"--conn needs Airflow's package ({error}); without it give --state-dir"
        raise MissingDependencyError(msg) from error
    return ServingHook(options.conn).backend()
