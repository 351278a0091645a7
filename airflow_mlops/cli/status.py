"""``airflow-mlops status``: what an endpoint's rollout does now."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli.connections import add_serving_arguments, serving_of
from airflow_mlops.cli.terminal import NOT_MEASURED, PASSED
from airflow_mlops.core.errors import MlopsError

if TYPE_CHECKING:
    import argparse

    from airflow_mlops.backends.serving.protocol import ServingBackend
    from airflow_mlops.backends.serving.status import RolloutStatus
    from airflow_mlops.core.rollout.live import LiveRollout

_WATCH_SECONDS = 2.0


def add_status(commands: Any) -> None:
    """Add ``status`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "status", help="show an endpoint's rollout: weight, holder, lease, counts, evidence"
    )
    parser.add_argument("model", help="registered model; also the endpoint")
    parser.add_argument(
        "--watch", action="store_true", help=f"again every {_WATCH_SECONDS:g} s, until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one document per line")
    add_serving_arguments(parser)
    parser.set_defaults(run=run_status)


def run_status(options: argparse.Namespace) -> int:
    """Print the status once or repeatedly; while it is watched, an endpoint that is away is said to be.

    :raises EndpointMissingError: no such endpoint.
    """
    from airflow_mlops.runtime.stop import require_endpoint

    serving = serving_of(options)
    require_endpoint(serving, options.model)
    code = _show(serving, options)
    with contextlib.suppress(KeyboardInterrupt):
        while options.watch:
            time.sleep(_WATCH_SECONDS)
            code = _show(serving, options)
    return code


def _show(serving: ServingBackend, options: argparse.Namespace) -> int:
    from airflow_mlops.backends.serving.status import read_status

    try:
        status = read_status(serving, options.model, now=time.time())
    except MlopsError as error:
        print(f"error: {options.model}: {error}", file=sys.stderr, flush=True)
        return NOT_MEASURED
    if options.json:
        print(json.dumps(status.to_json(), allow_nan=False), flush=True)
        return PASSED
    if options.watch:
        print(f"{_time(status.at)}", flush=True)
    print("\n".join(_lines(status)), flush=True)
    return PASSED


def _lines(status: RolloutStatus) -> list[str]:
    seen = status.traffic
    canary = f"version {seen.canary} gets {seen.canary_share} %" if seen.canary else "none"
    lines = [
        f"{seen.endpoint}",
        *([f"  address  {status.url}"] if status.url else []),
        f"  stable   {f'version {seen.stable}' if seen.stable else 'none'}",
        f"  canary   {canary}",
        f"  holder   {seen.holder or 'none'}",
        f"  lease    {_lease(status)}",
    ]
    lines += [_counts(status, version) for version in (seen.stable, seen.canary) if version]
    lines += [f"  counts   cannot be read: {status.problem}"] if status.problem else []
    lines += _evidence(status.live, status.silent_seconds) if status.live else []
    return lines + [f"  pending  {_time(end.at)} {end.sentence}" for end in status.pending]


def _lease(status: RolloutStatus) -> str:
    left = status.lease_seconds
    if left is None:
        return "none"
    return f"{left:.0f} s left" if status.watched else f"ended {max(-left, 0):.0f} s ago: nobody watches"


def _counts(status: RolloutStatus, version: str) -> str:
    count = status.counts.get(version)
    known = f"{count.requests} requests, {count.errors} errors since it was deployed" if count else "none"
    return f"  version {version:<4} {known}"


def _evidence(live: LiveRollout, silent: float | None) -> list[str]:
    here = live.step_counts
    tests = ", ".join(f"{name} {value:.3g}" for name, value in live.e_values.items())
    phase = f"{live.phase.replace('_', ' ')}, {live.decision}"
    looked = f"looked at {_time(live.at)}"
    if silent is not None:
        looked = f"not looked at for {silent:.0f} s, nobody watches; at {_time(live.at)}"
    return [
        f"  step     {live.percent} % since {_time(live.began)}, {looked}: {phase}",
        f"  windows  canary {here.canary_errors}/{here.canary_requests} failed, "
        f"stable {here.stable_errors}/{here.stable_requests} failed in this step; {live.missing} unread",
        f"  e-values {tests} (rolls back at {live.bar:.3g}); harmless {live.harmless:.3g} "
        f"(goes on at {live.advance_bar:.3g})",
        *(f"  {'why' if silent is None else 'then':9}{reason}" for reason in live.reasons),
    ]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%SZ")
