"""Leases of remote endpoints: in the endpoint's state, changed by the same compare-and-set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.backends.serving.remote import state as move
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.lease import REAPER, Lease, acquire, fence, renew

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.remote.platform import Site


class HasSite(Protocol):
    """Whatever serves at a site."""

    site: Site


class RemoteLeases:
    """What :class:`RemoteServing` does about leases."""

    def take_lease(self: HasSite, endpoint: str, holder: str, *, now: float, seconds: float) -> Lease:
        """Begin to watch."""

        def take() -> Lease:
            sight = self.site.book.load(endpoint)
            move.require(sight.state, move.Writer(holder=holder))
            lease = acquire(sight.state.lease, holder, now=now, seconds=seconds)
            self.site.book.remember(sight, replace(sight.state, lease=lease))
            return lease

        return self.site.waiting.again_when_moved(take, f"lease {endpoint}")

    def keep_lease(self: HasSite, endpoint: str, mine: Lease, *, now: float, seconds: float) -> Lease:
        """Go on watching; written only when a third of the lease is used, since every write is a call."""

        def keep() -> Lease:
            sight = self.site.book.load(endpoint)
            longer = renew(sight.state.lease, mine, now=now, seconds=seconds)
            held = fence(sight.state.lease, mine)
            if longer.expires_at - held.expires_at < seconds / 3:
                return held
            self.site.book.remember(sight, replace(sight.state, lease=longer))
            return longer

        return self.site.waiting.again_when_moved(keep, f"lease {endpoint}")

    def endpoints(self: HasSite) -> list[str]:
        """Return the endpoints that may have a lease."""
        return self.site.book.endpoints()

    def stop_unwatched(self: HasSite, endpoint: str, *, now: float) -> Lease | None:
        """Set the canary to 0 % if its lease ran out, whatever weight somebody set meanwhile.

        Not waited for: what the endpoint still reports above 0 is asserted again at the next look, which
        also undoes a write that was under way when the lease was taken away.
        """

        def stop() -> Lease | None:
            sight = self.site.book.load_or_forget(endpoint)
            ended: Lease | None = sight.state.lease
            if ended is None or not ended.expired(now):
                return None
            state = move.stopped(sight.state, _percent(self.site, sight), now=now)
            if state is None:
                return None
            self.site.declare(sight, state, force=True)
            return None if ended.holder == REAPER else ended

        return self.site.waiting.again_when_moved(stop, f"stop the canary of {endpoint}")


def _percent(site: Site, sight: Any) -> int:
    """Return the canary's share; where none is reported, what was asked for has to do."""
    try:
        return site.percent(sight) if sight.state.canary else 0
    except ServiceUnavailableError:
        return int(sight.state.percent)
