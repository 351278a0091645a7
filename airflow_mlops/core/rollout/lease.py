"""Lease on an endpoint's traffic, with expiry and fencing token.

The fencing token increases with every acquisition, also by the same holder: of two copies of one rollout (a
task that was thought dead, and its retry) only the later one can write. The store of the lease must provide
compare-and-set; the decisions are here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_mlops.core.errors import EndpointBusyError, InvalidConfigError, LeaseLostError
from airflow_mlops.core.record import Record

REAPER = "airflow-mlops reap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(Record):
    """The right to change an endpoint's traffic until it expires.

    :param holder: the rollout.
    :param token: fencing token, from 1; it never decreases, not even when the holder changes.
    :param expires_at: seconds since the epoch.
    """

    holder: str
    token: int
    expires_at: float

    def expired(self, now: float, *, skew_seconds: float = 0.0) -> bool:
        """Whether the lease has expired, with ``skew_seconds`` of tolerance for clock skew."""
        return now >= self.expires_at + skew_seconds


def acquire(current: Lease | None, holder: str, *, now: float, seconds: float) -> Lease:
    """Return a new lease of ``holder``, with a higher token than any before.

    :param current: the last lease of the endpoint, also if it expired or was released.
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
    """Return the lease extended; never shortened, so that a clock set back does no harm.

    An expired lease is not renewed: the reaper may already have taken the canary out of traffic.

    :raises LeaseLostError: it expired, or another rollout or a later copy of this one holds the endpoint.
    """
    held = require_lease(current, mine, now=now)
    return replace(held, expires_at=max(held.expires_at, now + seconds))


def release(current: Lease | None, mine: Lease, *, now: float) -> Lease | None:
    """Return the lease ended, with its token kept; unchanged if it is not ``mine``."""
    if current is None or current.token != mine.token:
        return current
    return replace(current, expires_at=min(current.expires_at, now))


def require_lease(current: Lease | None, mine: Lease, *, now: float) -> Lease:
    """Return the current lease if it is still ``mine`` and not expired: precondition for more traffic.

    :raises LeaseLostError: names the holder, or says how long ago the lease expired.
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
    """Return the current lease if its token is still that of ``mine``: precondition for every write.

    Independent of the clock: an expired lease still allows writes until another rollout or the reaper takes
    over.

    :raises LeaseLostError: names who took over.
    """
    if current is None or current.token != mine.token:
        seen = f"{current.holder} with token {current.token}" if current else "no rollout"
        msg = f"lease of {mine.holder} with token {mine.token} is lost: {seen} holds the endpoint"
        raise LeaseLostError(msg)
    return current


def reaped(current: Lease) -> Lease:
    """Return the lease with a new token, held by the reaper: the former holder can no longer write."""
    if current.holder == REAPER:
        return current
    return replace(current, holder=REAPER, token=current.token + 1)


def must_stop(current: Lease | None, canary_percent: int, *, now: float, skew_seconds: float = 5.0) -> bool:
    """Whether a reaper has to take the canary out of traffic: it gets requests without a valid lease."""
    if canary_percent == 0:
        return False
    return current is None or current.expired(now, skew_seconds=skew_seconds)


def _held_by(what: str, holder: str, wanted: str) -> str:
    return f"{what} is held by {holder}, not by {wanted}"
