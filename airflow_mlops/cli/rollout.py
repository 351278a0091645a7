"""Commands on rollouts: reap."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli.terminal import NOT_MEASURED, PASSED
from airflow_mlops.core.errors import InvalidConfigError, MissingDependencyError

if TYPE_CHECKING:
    import argparse

    from airflow_mlops.backends.serving.local import LocalServing

LEAST_SECONDS = 1.0


def reap_command(commands: Any) -> None:
    """Add ``reap`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "reap", help="take canaries out of traffic that nobody watches any more; needs no Airflow"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--state-dir", metavar="DIR", help="folder of a local serving back end")
    where.add_argument("--conn", metavar="ID", help="Airflow connection of a serving type")
    parser.add_argument(
        "--revive", action="store_true", help="also start again gateways and stable servers that died"
    )
    often = parser.add_mutually_exclusive_group()
    often.add_argument("--once", action="store_true", help="look once (the default)")
    often.add_argument("--every", type=float, metavar="SECONDS", help="look again and again, 1 or more")
    parser.set_defaults(run=reap)


def reap(options: argparse.Namespace) -> int:
    """Reap once, or for ever; 2 if a canary could not be stopped."""
    if options.every is not None and options.every < LEAST_SECONDS:
        msg = f"--every {options.every:g}: allowed: {LEAST_SECONDS:g} s or more"
        raise InvalidConfigError(msg)
    serving = _serving(options)
    code = _look(serving, time.time(), revives=options.revive)
    try:
        while options.every is not None:
            time.sleep(options.every)
            code = _look(serving, time.time(), revives=options.revive)
    except KeyboardInterrupt:
        pass
    return code


def _look(serving: LocalServing, now: float, *, revives: bool) -> int:
    from airflow_mlops.backends.serving.leases import reap, revive

    with contextlib.suppress(ChildProcessError):  # what was started again may have died again
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    found = [*(revive(serving) if revives else ()), *reap(serving, now=now)]
    for each in found:
        if each.problem:
            print(f"error: {each.endpoint}: {each.problem}", file=sys.stderr, flush=True)
        elif each.revived:
            print(f"{each.endpoint}: started again: {', '.join(each.revived)}", flush=True)
        else:
            print(f"{each.endpoint}: canary at 0 %, lease of {each.holder} ran out", flush=True)
    return NOT_MEASURED if any(each.problem for each in found) else PASSED


def _serving(options: argparse.Namespace) -> LocalServing:
    """Return the back end.

    :raises InvalidConfigError: no such folder, or a connection of a back end that keeps no leases.
    """
    from airflow_mlops.backends.serving.local import LocalServing

    if options.state_dir:
        if not Path(options.state_dir).is_dir():
            msg = f"--state-dir {options.state_dir}: no such folder"
            raise InvalidConfigError(msg)
        return LocalServing(Path(options.state_dir))
    try:
        from airflow_mlops.hooks.serving import ServingHook
    except ImportError as error:
        msg = f"--conn needs Airflow ({error}); without it give --state-dir"
        raise MissingDependencyError(msg) from error
    backend = ServingHook(options.conn).backend()
    if not isinstance(backend, LocalServing):
        msg = f"--conn {options.conn}: {type(backend).__name__} keeps no leases, allowed: local serving"
        raise InvalidConfigError(msg)
    return backend
