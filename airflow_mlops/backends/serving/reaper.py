"""The reaper of canaries that nobody watches; and leases of local endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.backends.serving.local.state import StateFile
from airflow_mlops.core.errors import EndpointBusyError, MlopsError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.lease import Lease, acquire, renew

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.backends.serving.local.backend import LocalServing
    from airflow_mlops.backends.serving.protocol import ServingBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped(Record):
    """What the reaper did with one endpoint.

    :param holder: whose lease ran out; empty if the canary could not be stopped.
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
    """Leases in the endpoints' state files."""

    def endpoints(self: HasStateDir) -> list[str]:
        """Return the endpoints that have a state file."""
        return sorted(path.parent.name for path in self.state_dir.glob("*/state.json"))

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


def reap(serving: ServingBackend, *, now: float) -> list[Reaped]:
    """Take every canary out of traffic whose lease ran out: nobody watches it any more.

    Meant to run beside Airflow, not in it. One endpoint in trouble does not keep it from the others.

    :raises MlopsError: the endpoints cannot be listed.
    """
    found = []
    for endpoint in serving.endpoints():
        try:
            ended = serving.stop_unwatched(endpoint, now=now)
        except MlopsError as error:
            found.append(Reaped(endpoint=endpoint, problem=str(error)))
            continue
        if ended is not None:
            found.append(Reaped(endpoint=endpoint, holder=ended.holder))
    return found


def revive(serving: LocalServing) -> list[Reaped]:
    """Start again every gateway and stable server that died, with the weights they had.

    A dead canary stays dead: that it died is evidence. Needs to see the pids of what it looks after.
    """
    found = []
    for endpoint in serving.endpoints():
        problem = ""
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
