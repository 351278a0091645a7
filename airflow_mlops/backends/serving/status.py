"""Everything an endpoint knows about its rollout, in one record for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.live import LiveStore
from airflow_mlops.backends.serving.protocol import Count, Traffic
from airflow_mlops.core.errors import MlopsError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.end import RolloutEnd
from airflow_mlops.core.rollout.lease import Lease, is_dead
from airflow_mlops.core.rollout.live import LiveRollout

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.protocol import ServingBackend


_SILENT_WINDOWS = 3
_HAND_OVER_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus(Record):
    """An endpoint at one moment.

    :param at: seconds since the epoch.
    :param url: where clients send requests; empty if the back end does not say.
    :param lease_seconds: how long the canary may go on without being analysed; ``None``: no lease.
    :param watched: whether the holder's lease has not ended; false also when there is no holder.
    :param counts: requests and errors by version; empty if they cannot be read, then ``problem`` says why.
    :param pending: ends of rollouts that the ledger does not have yet.
    :param silent_seconds: since when the canary was not analysed; ``None``: it is being analysed, or has no
        ``live``. What ``live`` says is of then: the task that watched it ended, or the triggerer is away.
    :param live: the analysis of the canary that has traffic, ``None`` if there is none or it is not kept.
    """

    traffic: Traffic
    at: float
    url: str = ""
    lease: Lease | None = None
    lease_seconds: float | None = None
    watched: bool = False
    counts: dict[str, Count] = field(default_factory=dict)
    pending: tuple[RolloutEnd, ...] = ()
    live: LiveRollout | None = None
    silent_seconds: float | None = None
    problem: str = ""


def read_status(backend: ServingBackend, endpoint: str, *, now: float) -> RolloutStatus:
    """Return an endpoint's status.

    :raises MlopsError: its traffic cannot be read.
    """
    traffic, lease = backend.traffic(endpoint), backend.current_lease(endpoint)
    counts, problem = _counts(backend, endpoint)
    live = _live(backend, endpoint)
    live = live if live is not None and _is_of(live, traffic) else None
    held = traffic.holder is not None
    return RolloutStatus(
        traffic=traffic,
        at=now,
        url=_url(backend, endpoint),
        lease=lease,
        lease_seconds=lease.expires_at - now if lease is not None and held else None,
        watched=held and not is_dead(lease, now),
        counts=counts,
        pending=backend.pending_ends(endpoint),
        live=live,
        silent_seconds=_silent_seconds(live, now) if live is not None else None,
        problem=problem,
    )


def _url(backend: ServingBackend, endpoint: str) -> str:
    try:
        return backend.url(endpoint)
    except MlopsError:
        return ""


def _is_of(live: LiveRollout, traffic: Traffic) -> bool:
    """Whether a live state is of the canary, and of the rollout that holds the endpoint, if one does."""
    held = traffic.holder if live.holder else None
    return live.version == traffic.canary and held in (None, live.holder)


def _silent_seconds(live: LiveRollout, now: float) -> float | None:
    """Return how long the canary was not analysed, once that is no hand-over between two tasks any more."""
    silent = now - live.at
    return silent if silent > max(_SILENT_WINDOWS * live.window_seconds, _HAND_OVER_SECONDS) else None


def _counts(backend: ServingBackend, endpoint: str) -> tuple[dict[str, Count], str]:
    try:
        return backend.counters(endpoint).versions, ""
    except MlopsError as error:
        return {}, str(error)


def _live(backend: ServingBackend, endpoint: str) -> LiveRollout | None:
    try:
        return backend.live(endpoint) if isinstance(backend, LiveStore) else None
    except (MlopsError, OSError, ValueError):
        return None
