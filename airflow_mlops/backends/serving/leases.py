"""Leases of local endpoints: taken and kept by whoever watches a canary, ended by the reaper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.backends.serving.endpoint_state import StateFile
from airflow_mlops.core.errors import EndpointBusyError, MlopsError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.lease import Lease, acquire, release, renew

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.backends.serving.local import LocalServing


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped(Record):
    """What the reaper did with one endpoint.

    :param problem: why it could not be done; empty when it was.
    :param revived: what was dead and runs again; empty when a canary was stopped.
    """

    endpoint: str
    holder: str = ""
    problem: str = ""
    revived: tuple[str, ...] = ()


class HasStateDir(Protocol):
    """Whatever keeps its endpoints below a folder."""

    state_dir: Path


class LocalLeases:
    """Leases in the endpoints' state files; the first half of ``LeasedServing`` for local serving."""

    def take_lease(self: HasStateDir, endpoint: str, holder: str, *, now: float, seconds: float) -> Lease:
        """Begin to watch an endpoint that ``holder`` has claimed.

        :raises EndpointBusyError: another rollout holds the endpoint, or its lease.
        """
        with _file(self, endpoint).locked() as state:
            if state.holder != holder:
                msg = f"endpoint {endpoint!r} is held by {state.holder or 'nobody'}, not by {holder}"
                raise EndpointBusyError(msg)
            state.lease = acquire(state.lease, holder, now=now, seconds=seconds)
            return state.lease

    def keep_lease(self: HasStateDir, endpoint: str, mine: Lease, *, now: float, seconds: float) -> Lease:
        """Go on watching.

        :raises LeaseLostError: it ran out, or a later copy of the rollout took over.
        """
        with _file(self, endpoint).locked() as state:
            state.lease = renew(state.lease, mine, now=now, seconds=seconds)
            return state.lease

    def end_lease(self: HasStateDir, endpoint: str, mine: Lease, *, now: float) -> None:
        """Stop watching; nothing happens when the lease is somebody else's."""
        with _file(self, endpoint).locked() as state:
            state.lease = release(state.lease, mine, now=now)


def reap(serving: LocalServing, *, now: float) -> list[Reaped]:
    """Take every canary out of traffic whose lease ran out: nobody watches it any more.

    Meant to run beside Airflow, not in it. One endpoint in trouble does not keep it from the others.
    """
    found = []
    for path in sorted(serving.state_dir.glob("*/state.json")):
        endpoint = path.parent.name
        holder, problem = "", ""
        try:
            lease = _file(serving, endpoint).read().lease
            holder = lease.holder if lease else ""
            if serving.stop_unwatched(endpoint, now=now) is None:
                continue
        except MlopsError as error:
            problem = str(error)
        found.append(Reaped(endpoint=endpoint, holder=holder, problem=problem))
    return found


def revive(serving: LocalServing) -> list[Reaped]:
    """Start again every gateway and stable server that died, with the weights they had.

    A dead canary stays dead: that it died is evidence. Needs to see the pids of what it looks after.
    """
    found = []
    for path in sorted(serving.state_dir.glob("*/state.json")):
        endpoint, problem = path.parent.name, ""
        back: tuple[str, ...] = ()
        try:
            back = serving.revive(endpoint)
        except MlopsError as error:
            problem = str(error)
        if back or problem:
            found.append(Reaped(endpoint=endpoint, problem=problem, revived=back))
    return found


def _file(serving: HasStateDir, endpoint: str) -> StateFile:
    return StateFile(serving.state_dir / endpoint, endpoint)
