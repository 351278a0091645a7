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
STOPPER = "airflow-mlops stop"
CLAIM_SECONDS = 900.0
"""Length of the lease that a claim takes; it is renewed while a deployment is waited for."""
SKEW_SECONDS = 5.0
"""Tolerated difference between the clocks of a holder and of who ends or takes over its lease."""


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


def acquire(current: Lease | None, holder: str, *, now: float, seconds: float, living: bool = False) -> Lease:
    """Return a new lease of ``holder``, with a higher token than any before.

    What the reaper or a person ended is free at once, also before it would have expired: a lease that was
    reaped too early, by a clock ahead of the holder's, does not lock its own rollout out of its rollback.

    :param current: the last lease of the endpoint, also if it expired or was released.
    :param seconds: length, above 0.
    :param living: refuse to go on from a lease of ``holder`` that has ended: its canary was unattended.
    :raises EndpointBusyError: another rollout holds it; names the holder.
    :raises LeaseLostError: ``living``, and the lease has ended.
    """
    if seconds <= 0:
        msg = f"lease: {seconds:g} s, allowed: above 0"
        raise InvalidConfigError(msg)
    if current is not None and current.holder not in (holder, REAPER, STOPPER) and not current.expired(now):
        holds = f"{current.holder} for {current.expires_at - now:.0f} s more"
        raise EndpointBusyError(_held_by("endpoint", holds, holder))
    if living and (current is None or current.holder != holder or current.expired(now)):
        ended = "is gone" if current is None else f"ended {max(now - current.expires_at, 0):.0f} s ago"
        msg = f"lease of {holder} {ended}: nothing watched the canary since, so its traffic does not rise"
        raise LeaseLostError(msg)
    return Lease(holder=holder, token=(current.token if current else 0) + 1, expires_at=now + seconds)


def claim(
    current: Lease | None, held_by: str | None, holder: str, endpoint: str, *, now: float, percent: int = 0
) -> Lease:
    """Return the lease of a claim: whoever holds an endpoint has a lease from the first moment on.

    A second claim by the same holder keeps a lease that has not expired, and its token; it is extended only
    while the canary gets no requests, since a claim watches nothing.

    :param current: the last lease of the endpoint.
    :param held_by: who has claimed the endpoint; ``None`` if it is free.
    :param percent: the canary's share of requests.
    :raises EndpointBusyError: another rollout holds it, and its lease has not expired.
    """
    if held_by not in (None, holder) and current is not None and not is_dead(current, now):
        busy = _held_by(f"endpoint {endpoint!r}", str(held_by), holder)
        msg = f"{busy}; its lease lasts {current.expires_at - now:.0f} s more"
        raise EndpointBusyError(msg)
    if held_by != holder or current is None or current.holder != holder or current.expired(now):
        free = replace(current, expires_at=min(current.expires_at, now)) if current else None
        return acquire(free, holder, now=now, seconds=CLAIM_SECONDS)
    longer = current.expires_at if percent else now + CLAIM_SECONDS
    return replace(current, expires_at=max(current.expires_at, longer))


def is_dead(current: Lease | None, now: float, *, skew_seconds: float = SKEW_SECONDS) -> bool:
    """Whether nobody watches an endpoint although it has a holder: the next rollout may take it over.

    A lease ends when it expires, or when the reaper or a person ends it. An endpoint that was claimed before
    claims took leases has none: it is not watched either.
    """
    if current is None or current.holder in (REAPER, STOPPER):
        return True
    return current.expired(now, skew_seconds=skew_seconds)


def require_claim(
    holder: str | None, wanted: str, endpoint: str, *, current: Lease | None = None, mine: Lease | None = None
) -> None:
    """Refuse every writer but the holder, and of the holder's copies every one whose lease was taken over.

    :param holder: who has claimed the endpoint; ``None`` if it is free.
    :param wanted: who writes.
    :param current: the last lease of the endpoint.
    :param mine: the writer's lease; without one only the name of the holder counts.
    :raises LeaseLostError: the lease was taken over; after a stop, or by the reaper, the message says so.
    :raises EndpointBusyError: another rollout holds the endpoint, or none.
    """
    if mine is not None and holder is None:
        fence(current, mine)
    require_holder(holder, wanted, endpoint)
    if mine is not None:
        fence(current, mine)


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
        msg = f"lease of {mine.holder} with token {mine.token} {_reaped(current, now)}"
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
    if current is not None and current.holder == STOPPER and current.token > mine.token:
        lost = f"lease of {mine.holder} with token {mine.token} is lost"
        msg = f"{lost}: a person stopped the rollout; the ledger says who and why"
        raise LeaseLostError(msg)
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


def stopped(current: Lease | None) -> Lease:
    """Return the lease as a person's stop leaves it: a new token, expired, so that nobody holds it.

    Every former holder's writes are refused from then on; the next rollout may claim the endpoint at once.
    """
    return Lease(holder=STOPPER, token=(current.token if current else 0) + 1, expires_at=0.0)


def must_stop(
    current: Lease | None, canary_percent: int, *, now: float, skew_seconds: float = SKEW_SECONDS
) -> bool:
    """Whether a reaper has to take the canary out of traffic: it gets requests without a valid lease."""
    if canary_percent == 0:
        return False
    return current is None or current.expired(now, skew_seconds=skew_seconds)


def _reaped(current: Lease, now: float) -> str:
    ago = now - current.expires_at
    when = f"ran out {ago:.0f} s ago" if ago >= 0 else f"was to last {-ago:.0f} s more: compare the clocks"
    return f"{when}; {REAPER} took the canary out of traffic"


def _held_by(what: str, holder: str, wanted: str) -> str:
    return f"{what} is held by {holder}, not by {wanted}"
