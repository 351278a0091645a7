"""What an endpoint's state says about slots and weights, and how a conflict is put in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.local.gateway import SLOTS
from airflow_mlops.backends.serving.protocol import Count
from airflow_mlops.core.errors import EndpointBusyError

if TYPE_CHECKING:
    from airflow_mlops.backends.metrics.haproxy import ServerStat
    from airflow_mlops.backends.serving.local.state import EndpointState, Server
    from airflow_mlops.backends.serving.protocol import Traffic


def weight(state: EndpointState, version: str) -> int:
    """Return the weight that a version should have, 0 to 100."""
    if version == state.canary:
        return state.percent
    return 100 - state.percent if version == state.stable else 0


def count(stat: ServerStat, baseline: Count) -> Count:
    """Return what a slot counted since a version moved in."""
    return Count(requests=stat.requests - baseline.requests, errors=stat.errors - baseline.errors)


def life(server: Server) -> str:
    """Name the life of a server's process."""
    return f"{server.process.pid}-{server.process.started}" if server.process else ""


def free_slot(state: EndpointState) -> str:
    """Return a slot that no version has.

    :raises EndpointBusyError: all are in use.
    """
    used = {server.slot for server in state.servers.values()}
    for slot in SLOTS:
        if slot not in used:
            return slot
    msg = f"{state.endpoint}: all {len(SLOTS)} slots are in use ({', '.join(state.servers)}); clean up first"
    raise EndpointBusyError(msg)


def busy(state: EndpointState, holder: str) -> str:
    """Say who holds the endpoint."""
    return f"endpoint {state.endpoint!r} is held by {state.holder or 'nobody'}, not by {holder}"


def intervened(seen: Traffic, written: int) -> str:
    """Say which weights were found and which were written."""
    return (
        f"{seen.endpoint}: canary gets {seen.canary_percent} %, last written was {written} %; "
        "somebody changed it, nothing was overwritten"
    )
