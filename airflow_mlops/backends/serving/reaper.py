"""The reaper: takes canaries whose lease ran out of traffic, and restarts local processes that died."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.core.errors import MlopsError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.protocol import ServingBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped(Record):
    """What the reaper did with one endpoint.

    :param holder: holder of the lease that ran out; empty if the canary could not be stopped.
    :param problem: why it could not be done; empty when it was.
    :param revived: what was dead and runs again; empty when a canary was stopped.
    """

    endpoint: str
    holder: str = ""
    problem: str = ""
    revived: tuple[str, ...] = ()


class Revivable(Protocol):
    """A back end whose processes run on this machine and can be restarted there."""

    def endpoints(self) -> list[str]:
        """Return the endpoints it knows."""

    def revive(self, endpoint: str) -> tuple[str, ...]:
        """Restart what died of an endpoint, with the weights it had; return what was restarted."""


def reap(serving: ServingBackend, *, now: float) -> list[Reaped]:
    """Take every canary out of traffic whose lease ran out, because no task analyses it any more.

    Runs beside Airflow, not in it. An endpoint that fails is reported; the others are still handled.

    :raises MlopsError: the endpoints cannot be listed.
    """
    found = []
    for endpoint in serving.endpoints():
        try:
            ended = serving.stop_unwatched(endpoint, now=now)
        except (MlopsError, OSError) as error:
            found.append(Reaped(endpoint=endpoint, problem=str(error)))
            continue
        if ended is not None:
            found.append(Reaped(endpoint=endpoint, holder=ended.holder))
    return found


def revive(serving: Revivable) -> list[Reaped]:
    """Restart every gateway and stable server that died, with the weights they had.

    A dead canary is not restarted: its death is evidence. The reaper must run where it sees the pids of
    these processes.
    """
    found = []
    for endpoint in serving.endpoints():
        problem = ""
        back: tuple[str, ...] = ()
        try:
            back = serving.revive(endpoint)
        except (MlopsError, OSError) as error:
            problem = str(error)
        if back or problem:
            found.append(Reaped(endpoint=endpoint, problem=problem, revived=back))
    return found
