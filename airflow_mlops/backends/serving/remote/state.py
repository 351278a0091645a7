"""Desired state of a remote endpoint and its transitions; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from airflow_mlops.core.errors import TrafficConflictError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout import lease as leases
from airflow_mlops.core.rollout.end import (
    RolloutEnd,
    as_found,
    ended_by_reaper,
    superseded,
    with_pending,
)


class RemotePhase(StrEnum):
    """Operation of several writes that is in progress.

    ``PROMOTING``: the canary still is one; the stable version is being replaced by it.
    ``DRAINING``: the canary is at 0 % and is removed next.
    ``RESTORING``: the canary is removed; the stable version's own model is being restored.
    """

    STEADY = "steady"
    PROMOTING = "promoting"
    DRAINING = "draining"
    RESTORING = "restoring"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Record):
    """A version and what serves it.

    :param source: model URI, Service name or deployed-model id, depending on the platform.
    :param identity: of the model, as far as it is known.
    :param pods: digest of the pod template with which a canary was started; empty where there is none.
    """

    version: str
    source: str
    identity: str = ""
    pods: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState(Record):
    """Desired state of an endpoint: the roles of its versions; stored with the endpoint as JSON.

    :param former: versions out of traffic that are not cleaned up yet.
    :param percent: the canary's share as last requested.
    :param mark: newest revision before the last change, which tells old readiness from new; on Vertex AI the
        deployment in progress.
    :param lease: limits how long the canary gets requests unattended; ``None``: never leased.
    :param ends: ends of rollouts that no ledger has yet.
    """

    endpoint: str
    holder: str | None = None
    stable: Release | None = None
    canary: Release | None = None
    former: tuple[Release, ...] = ()
    percent: int = 0
    phase: RemotePhase = RemotePhase.STEADY
    mark: str = ""
    lease: leases.Lease | None = None
    ends: tuple[RolloutEnd, ...] = ()

    def version_of(self, role: Release | None) -> str | None:
        """Return a role's version."""
        return None if role is None else role.version

    def releases(self) -> tuple[Release, ...]:
        """Return every version that is up."""
        return tuple(found for found in (self.stable, self.canary, *self.former) if found is not None)

    def find(self, version: str) -> Release | None:
        """Return a version that is up, ``None`` if it is not."""
        return next((release for release in self.releases() if release.version == version), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer(Record):
    """Who changes an endpoint.

    :param lease: fencing token of the writes; they are refused once the lease was taken over.
    :param seconds: rest of the lease when the operation begins; it is renewed to this length meanwhile.
    """

    holder: str
    lease: leases.Lease | None = None
    seconds: float = 0.0


def claimed(state: RemoteState, holder: str, *, now: float, percent: int, end_id: str) -> RemoteState:
    """Make a rollout the holder of the endpoint, under a lease.

    A dead holder's canary goes to 0 %; at a cold start it goes on, since nothing else could serve.

    :param percent: the canary's share that the endpoint reports.
    :param end_id: of the dead holder's end.
    :raises EndpointBusyError: another rollout holds it, and its lease has not ended.
    """
    lease = leases.claim(state.lease, state.holder, holder, state.endpoint, now=now, percent=percent)
    if state.holder in (None, holder):
        return replace(state, holder=holder, lease=lease)
    end = superseded(state.endpoint, str(state.holder), holder, state.lease, now=now, end_id=end_id)
    quiet = state if None in (state.stable, state.canary) else draining(state)
    return replace(quiet, holder=holder, lease=lease, ends=_with_end(state, end, percent))


def stopping(state: RemoteState, end: RolloutEnd | None, percent: int) -> RemoteState:
    """Begin a person's stop: the canary is at 0 %, the endpoint free, its lease's token new.

    At a cold start the canary is removed at once: there is nothing that it would have to be drained for.
    """
    quiet = state
    if state.canary is not None:
        quiet = rolled_back(state) if state.stable is None else draining(state)
    ends = state.ends if end is None else _with_end(state, end, percent)
    return replace(quiet, holder=None, lease=leases.stopped(state.lease), ends=ends)


def is_stopping(state: RemoteState) -> bool:
    """Whether a person's stop may not be complete: the canary still has its role, or was all that served."""
    if state.lease is None or state.lease.holder != leases.STOPPER:
        return False
    alone = state.stable is None and state.phase is RemotePhase.RESTORING
    return alone or state.phase is RemotePhase.DRAINING


def released(state: RemoteState, holder: str) -> RemoteState:
    """Remove the holder if it is this rollout; its lease ends, the fencing token is kept."""
    if state.holder != holder:
        return state
    return replace(state, holder=None, lease=state.lease and replace(state.lease, expires_at=0.0))


def without_versions(state: RemoteState) -> RemoteState:
    """Return the state of an endpoint that is gone; holder, lease and ends stay: no token is reused."""
    return RemoteState(endpoint=state.endpoint, holder=state.holder, lease=state.lease, ends=state.ends)


def unwatched(state: RemoteState, percent: int, *, now: float, end_id: str) -> RemoteState | None:
    """Set a canary with an expired lease to 0 % and free the endpoint; ``None``: there is nothing to stop.

    At a cold start there is no stable version to take its requests: the canary keeps them.

    :param percent: what the endpoint reports; after an interrupted write it differs from the state.
    :param end_id: of the end that is kept.
    """
    if state.lease is None or state.stable is None or state.canary is None:
        return None
    if not leases.must_stop(state.lease, max(percent, state.percent), now=now):
        return None
    quiet = shifted(state, 0)
    if state.lease.holder == leases.REAPER:
        return quiet
    end = ended_by_reaper(state.endpoint, state.lease, now=now, end_id=end_id)
    ends = _with_end(state, end, max(percent, state.percent))
    return replace(quiet, holder=None, lease=leases.reaped(state.lease), ends=ends)


def require_writer(state: RemoteState, writer: Writer, canary: str | None = None) -> None:
    """Refuse a writer that does not hold the endpoint, has lost its lease, or means another canary.

    :raises EndpointBusyError: names the holder.
    :raises LeaseLostError: names the new holder of the lease, or who ended it.
    :raises TrafficConflictError: names the canary.
    """
    leases.require_claim(state.holder, writer.holder, state.endpoint, current=state.lease, mine=writer.lease)
    found = state.version_of(state.canary)
    if canary is not None and found != canary:
        msg = f"{state.endpoint}: version {canary} is not the canary ({found or 'none'} is)"
        raise TrafficConflictError(msg)


def same_intent(state: RemoteState, other: RemoteState) -> bool:
    """Whether two states differ at most in mark, lease and ends: recognises a write whose answer was lost."""
    return _intent(state) == _intent(other)


def deployed(state: RemoteState, release: Release) -> RemoteState:
    """Make a version the canary at 0 %; a version that has a role keeps it.

    A canary that is deployed again before it gets requests has the pods that there are now.
    """
    if release.version == state.version_of(state.stable):
        return state
    if state.canary is not None and release.version == state.canary.version:
        return state if state.percent else replace(state, canary=replace(state.canary, pods=release.pods))
    former = _former_with(state, state.canary, but=release.version)
    return replace(state, canary=release, former=former, percent=0, phase=RemotePhase.STEADY)


def shifted(state: RemoteState, percent: int) -> RemoteState:
    """Give the canary its share."""
    return replace(state, percent=percent, phase=RemotePhase.STEADY)


def promoting(state: RemoteState) -> RemoteState:
    """Begin to promote the canary: phase ``PROMOTING``."""
    return replace(state, phase=RemotePhase.PROMOTING)


def promoted(state: RemoteState) -> RemoteState:
    """Make the canary the stable version; its pods may be changed by others from now on."""
    if state.canary is None:
        return state
    former, stable = (
        _former_with(state, state.stable, but=state.canary.version),
        replace(state.canary, pods=""),
    )
    return replace(state, stable=stable, canary=None, former=former, percent=0, phase=RemotePhase.STEADY)


def draining(state: RemoteState) -> RemoteState:
    """Begin to roll the canary back: 0 %, phase ``DRAINING``."""
    return replace(state, percent=0, phase=RemotePhase.DRAINING)


def rolled_back(state: RemoteState) -> RemoteState:
    """Remove the canary; what it replaced is restored next: phase ``RESTORING``."""
    former = _former_with(state, state.canary, but="")
    return replace(state, canary=None, former=former, percent=0, phase=RemotePhase.RESTORING)


def restored(state: RemoteState) -> RemoteState:
    """Complete a rollback."""
    return replace(state, phase=RemotePhase.STEADY) if state.phase is RemotePhase.RESTORING else state


def cleaned(state: RemoteState) -> RemoteState:
    """Remove versions without a role."""
    return replace(state, former=())


def _former_with(state: RemoteState, leaving: Release | None, *, but: str) -> tuple[Release, ...]:
    former = [release for release in state.former if release.version != but]
    if leaving is not None and leaving.version not in [release.version for release in former]:
        former.append(replace(leaving, pods=""))
    return tuple(former)


def _intent(state: RemoteState) -> RemoteState:
    return replace(state, mark="", lease=None, ends=())


def _with_end(state: RemoteState, end: RolloutEnd, percent: int) -> tuple[RolloutEnd, ...]:
    version, champion = state.version_of(state.canary), state.version_of(state.stable)
    found = as_found(end, version=version, champion=champion, percent=percent, holder=state.holder)
    return with_pending(state.ends, found)
