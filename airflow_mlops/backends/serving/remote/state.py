"""What a remote endpoint is meant to be, and the only ways it may change; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from airflow_mlops.core.errors import EndpointBusyError, TrafficConflictError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout import lease as term


class Phase(StrEnum):
    """What has been begun and not ended.

    ``PROMOTING``: the canary still is one, the stable version is being replaced by it.
    ``DRAINING``: the canary is at 0 % and about to be taken out.
    ``RESTORING``: the canary is gone, the stable version's own model is being put back.
    """

    STEADY = "steady"
    PROMOTING = "promoting"
    DRAINING = "draining"
    RESTORING = "restoring"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Record):
    """A version and what serves it.

    :param source: model URI, Service name or deployed-model id, by back end.
    """

    version: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState(Record):
    """Roles of an endpoint's versions.

    :param former: out of traffic and not cleaned up yet.
    :param percent: the canary's share as last asked for.
    :param mark: what was newest at the back end before the last change; tells old readiness from new.
    :param lease: how long the canary may get requests without being watched; ``None``: never leased.
    """

    endpoint: str
    holder: str | None = None
    stable: Release | None = None
    canary: Release | None = None
    former: tuple[Release, ...] = ()
    percent: int = 0
    phase: Phase = Phase.STEADY
    mark: str = ""
    lease: term.Lease | None = None

    def version_of(self, role: Release | None) -> str | None:
        """Return a role's version."""
        return None if role is None else role.version

    def releases(self) -> tuple[Release, ...]:
        """Return every version that is still up."""
        return tuple(found for found in (self.stable, self.canary, *self.former) if found is not None)

    def find(self, version: str) -> Release | None:
        """Return a version that is still up."""
        return next((release for release in self.releases() if release.version == version), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer(Record):
    """Who wants to change an endpoint.

    :param lease: with it, the writer is refused if somebody took over since.
    :param seconds: what is left of the lease when the writing begins; kept up while it goes on.
    """

    holder: str
    lease: term.Lease | None = None
    seconds: float = 0.0


def claimed(state: RemoteState, holder: str) -> RemoteState:
    """Give the endpoint to a rollout.

    :raises EndpointBusyError: another one holds it.
    """
    if state.holder not in (None, holder):
        raise EndpointBusyError(_busy(state, holder))
    return replace(state, holder=holder)


def released(state: RemoteState, holder: str) -> RemoteState:
    """Take it back, if it is this rollout's; its lease ends, the token is kept."""
    if state.holder != holder:
        return state
    return replace(state, holder=None, lease=state.lease and replace(state.lease, expires_at=0.0))


def forgotten(state: RemoteState) -> RemoteState:
    """Forget the versions of an endpoint that is gone; holder and lease stay: no token comes twice."""
    return RemoteState(endpoint=state.endpoint, holder=state.holder, lease=state.lease)


def stopped(state: RemoteState, percent: int, *, now: float) -> RemoteState | None:
    """Set a canary that nobody watches to 0 %; ``None`` when there is nothing to stop.

    At a cold start there is no other version to give its requests to: it goes on.

    :param percent: what the endpoint reports; with a write cut short it is not what the state says.
    """
    if state.lease is None or state.stable is None or state.canary is None:
        return None
    if not term.must_stop(state.lease, max(percent, state.percent), now=now):
        return None
    return replace(shifted(state, 0), lease=term.reaped(state.lease))


def require(state: RemoteState, who: Writer, canary: str | None = None) -> None:
    """Refuse whoever does not hold the endpoint, comes from the past, or means another canary.

    :raises EndpointBusyError: names the holder.
    :raises LeaseLostError: names who took over.
    :raises TrafficConflictError: names the canary.
    """
    if state.holder != who.holder:
        raise EndpointBusyError(_busy(state, who.holder))
    if who.lease is not None:
        term.fence(state.lease, who.lease)
    found = state.version_of(state.canary)
    if canary is not None and found != canary:
        msg = f"{state.endpoint}: version {canary} is not the canary ({found or 'none'} is)"
        raise TrafficConflictError(msg)


def same(state: RemoteState, other: RemoteState) -> bool:
    """Whether two states mean the same: a write whose answer was lost is found again so, not made twice."""
    return replace(state, mark="", lease=None) == replace(other, mark="", lease=None)


def deployed(state: RemoteState, release: Release) -> RemoteState:
    """Make a version the canary at 0 %; one that has a role keeps it."""
    if release.version in (state.version_of(state.stable), state.version_of(state.canary)):
        return state
    former = _out(state, state.canary, but=release.version)
    return replace(state, canary=release, former=former, percent=0, phase=Phase.STEADY)


def shifted(state: RemoteState, percent: int) -> RemoteState:
    """Give the canary its share."""
    return replace(state, percent=percent, phase=Phase.STEADY)


def promoting(state: RemoteState) -> RemoteState:
    """Begin to promote the canary."""
    return replace(state, phase=Phase.PROMOTING)


def promoted(state: RemoteState) -> RemoteState:
    """Make the canary the stable version."""
    if state.canary is None:
        return state
    former = _out(state, state.stable, but=state.canary.version)
    return replace(state, stable=state.canary, canary=None, former=former, percent=0, phase=Phase.STEADY)


def draining(state: RemoteState) -> RemoteState:
    """Begin to take the canary out of traffic."""
    return replace(state, percent=0, phase=Phase.DRAINING)


def rolled_back(state: RemoteState) -> RemoteState:
    """Take the canary out; what it replaced has to be put back."""
    former = _out(state, state.canary, but="")
    return replace(state, canary=None, former=former, percent=0, phase=Phase.RESTORING)


def restored(state: RemoteState) -> RemoteState:
    """End a rollback."""
    return replace(state, phase=Phase.STEADY) if state.phase is Phase.RESTORING else state


def cleaned(state: RemoteState) -> RemoteState:
    """Forget versions without a role."""
    return replace(state, former=())


def _out(state: RemoteState, leaving: Release | None, *, but: str) -> tuple[Release, ...]:
    former = [release for release in state.former if release.version != but]
    if leaving is not None and leaving.version not in [release.version for release in former]:
        former.append(leaving)
    return tuple(former)


def _busy(state: RemoteState, holder: str) -> str:
    return f"endpoint {state.endpoint!r} is held by {state.holder or 'nobody'}, not by {holder}"
