"""Lease: who may move an endpoint's traffic, until when, and with which fencing token.

The token rises with every acquisition, also by the same holder: of two copies of one rollout (a task
that was thought dead, and its retry) only the later one is admitted. Whatever stores the lease must
compare and set; the decisions are here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_mlops.core.errors import EndpointBusyError, InvalidConfigError, LeaseLostError
from airflow_mlops.core.record import Record

REAPER = "airflow-mlops reap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(Record):
    """A claim that ends by itself.

    :param holder: the rollout.
    :param token: fencing token, 1 and up; it never falls, not even when the holder changes.
    :param expires_at: seconds since the epoch.
    """

    holder: str
    token: int
    expires_at: float

    def expired(self, now: float, *, skew_seconds: float = 0.0) -> bool:
        """Whether the lease has run out, ``skew_seconds`` allowed for clocks that disagree."""
        return now >= self.expires_at + skew_seconds


def acquire(current: Lease | None, holder: str, *, now: float, seconds: float) -> Lease:
    """Return the lease of ``holder``, with a token above every one before.

    :param current: the last lease of the endpoint, also if it ran out or was released.
    :param seconds: length, above 0.
    :raises EndpointBusyError: another rollout holds it; names the holder.
    """
    if seconds <= 0:
        msg = f"lease: {seconds:g} s, allowed: above 0"
        raise InvalidConfigError(msg)
    if current is not None and current.holder != holder and not current.expired(now):
        holds = f"{current.holder} for {current.expires_at - now:.0f} s more"
        raise EndpointBusyError(_held_by("endpoint", holds, holder))
    return Lease(holder=holder, token=(current.token if current else 0) + 1, expires_at=now + seconds)


def require_holder(holder: str | None, wanted: str, endpoint: str) -> None:
    """Refuse every caller but the holder of the endpoint's claim.

    :param holder: who has claimed the endpoint; ``None`` if it is free.
    :param wanted: who calls.
    :raises EndpointBusyError: names both.
    """
    if holder != wanted:
        raise EndpointBusyError(_held_by(f"endpoint {endpoint!r}", holder or "no rollout", wanted))


def renew(current: Lease | None, mine: Lease, *, now: float, seconds: float) -> Lease:
    """Return the lease made longer; never shorter, so that a clock running back does no harm.

    A lease that ran out is not renewed: the canary may have been taken out of traffic meanwhile.

    :raises LeaseLostError: it ran out, or somebody else, or a later copy, holds the endpoint.
    """
    held = require_lease(current, mine, now=now)
    return replace(held, expires_at=max(held.expires_at, now + seconds))


def release(current: Lease | None, mine: Lease, *, now: float) -> Lease | None:
    """Return the lease ended, its token kept; nothing changes when it is not ``mine``."""
    if current is None or current.token != mine.token:
        return current
    return replace(current, expires_at=min(current.expires_at, now))


def require_lease(current: Lease | None, mine: Lease, *, now: float) -> Lease:
    """Return the current lease if ``mine`` still is it and runs: to be asked before a canary goes on.

    :raises LeaseLostError: says who holds the endpoint, or since when nobody does.
    """
    if current is not None and current.holder == REAPER and current.token == mine.token + 1:
        ended = f"ran out {now - current.expires_at:.0f} s ago; {REAPER} took the canary out of traffic"
        msg = f"lease of {mine.holder} with token {mine.token} {ended}"
        raise LeaseLostError(msg)
    held = fence(current, mine)
    if held.expired(now):
        msg = f"lease of {mine.holder} with token {mine.token} ran out {now - held.expires_at:.0f} s ago"
        raise LeaseLostError(msg)
    return held


def fence(current: Lease | None, mine: Lease) -> Lease:
    """Return the current lease if nobody took over since ``mine``: to be asked with each write.

    No clock is asked: a lease that ran out is good for a write until somebody, or the reaper, takes over.

    :raises LeaseLostError: says who took over.
    """
    if current is None or current.token != mine.token:
        seen = f"{current.holder} with token {current.token}" if current else "nobody"
        msg = f"lease of {mine.holder} with token {mine.token} is lost: {seen} holds the endpoint"
        raise LeaseLostError(msg)
    return current


def reaped(current: Lease) -> Lease:
    """Return the lease that ran out, with a token nobody has: who held it writes nothing any more."""
    if current.holder == REAPER:
        return current
    return replace(current, holder=REAPER, token=current.token + 1)


def must_stop(current: Lease | None, canary_percent: int, *, now: float, skew_seconds: float = 5.0) -> bool:
    """Whether a reaper has to take the canary out of traffic: it gets requests and nobody watches it."""
    if canary_percent == 0:
        return False
    return current is None or current.expired(now, skew_seconds=skew_seconds)


def _held_by(what: str, holder: str, wanted: str) -> str:
    return f"{what} is held by {holder}, not by {wanted}"
