"""Serving in memory: the rules of the port without processes; for tests."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_mlops.backends.serving.protocol import Count, Counters, Stopped, Traffic
from airflow_mlops.core.errors import TrafficConflictError
from airflow_mlops.core.rollout import lease as leases
from airflow_mlops.core.rollout.end import (
    RolloutEnd,
    as_found,
    ended_by_reaper,
    superseded,
    with_pending,
    without_written,
)
from airflow_mlops.core.rollout.plan import require_percent

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from airflow_mlops.core.rollout.lease import Lease
    from airflow_mlops.core.rollout.live import LiveRollout


class InMemoryServing:
    """Implements :class:`~airflow_mlops.backends.serving.protocol.ServingBackend`."""

    def __init__(self) -> None:
        self._traffic: dict[str, Traffic] = {}
        self._counts: dict[str, dict[str, Count]] = {}
        self._ends: dict[str, tuple[RolloutEnd, ...]] = {}
        self._live: dict[str, LiveRollout] = {}
        self.leases: dict[str, Lease] = {}

    def claim(self, endpoint: str, holder: str, *, now: float | None = None) -> None:
        """Take the endpoint, also from a dead holder."""
        now = time.time() if now is None else now
        seen, last = self.traffic(endpoint), self.leases.get(endpoint)
        share = seen.canary_percent
        lease = leases.claim(last, seen.holder, holder, endpoint, now=now, percent=share)
        if seen.holder not in (None, holder):
            end = superseded(endpoint, str(seen.holder), holder, last, now=now, end_id=uuid4().hex)
            self._keep(endpoint, end, seen)
            seen = replace(seen, canary_percent=share if seen.stable is None else 0)
        self._traffic[endpoint], self.leases[endpoint] = replace(seen, holder=holder), lease

    def stop(
        self, endpoint: str, end: RolloutEnd | None, *, now: float, holder: str | None = None
    ) -> Stopped:
        """Take the canary out of traffic and free the endpoint."""
        seen = self.traffic(endpoint)
        if holder not in (None, seen.holder):
            return Stopped(endpoint=endpoint)
        stopped = Stopped(
            endpoint=endpoint,
            version=seen.canary,
            percent=seen.canary_percent,
            holder=seen.holder,
            stable=seen.stable,
        )
        if seen.canary is None and seen.holder is None:
            return stopped
        self._traffic[endpoint] = replace(seen, canary=None, canary_percent=0, holder=None)
        self.leases[endpoint] = leases.stopped(self.leases.get(endpoint))
        if end is not None:
            self._keep(endpoint, end, seen)
        return stopped

    def pending_ends(self, endpoint: str) -> tuple[RolloutEnd, ...]:
        """Return the ends that no ledger has yet."""
        return self._ends.get(endpoint, ())

    def ends_written(self, endpoint: str, ids: Collection[str]) -> None:
        """Forget ends that the ledger has."""
        self._ends[endpoint] = without_written(self.pending_ends(endpoint), ids)

    def release(self, endpoint: str, holder: str) -> None:
        """Give the endpoint back."""
        seen = self.traffic(endpoint)
        if seen.holder == holder:
            self._traffic[endpoint] = replace(seen, holder=None)
            if endpoint in self.leases:
                self.leases[endpoint] = replace(self.leases[endpoint], expires_at=0.0)

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start a version at 0 %."""
        seen = self._held(endpoint, holder)
        self._counts.setdefault(endpoint, {}).setdefault(version, Count())
        if version not in (seen.stable, seen.canary):
            self._traffic[endpoint] = replace(seen, canary=version, canary_percent=0)
        return self.traffic(endpoint)

    def traffic(self, endpoint: str) -> Traffic:
        """Return the current split."""
        seen = self._traffic.setdefault(endpoint, Traffic(endpoint=endpoint))
        alone = seen.stable is None and seen.canary_percent > 0
        return replace(seen, canary_percent=100) if alone else seen

    def set_traffic(
        self, endpoint: str, version: str, percent: int, *, holder: str, lease: Lease | None = None
    ) -> Traffic:
        """Give the canary its share."""
        require_percent(percent)
        seen = self._held(endpoint, holder, lease)
        if seen.canary != version:
            msg = f"{endpoint}: version {version} is not the canary ({seen.canary or 'none'} is)"
            raise TrafficConflictError(msg)
        self._traffic[endpoint] = replace(seen, canary_percent=percent)
        return self.traffic(endpoint)

    def take_lease(
        self, endpoint: str, holder: str, *, now: float, seconds: float, living: bool = False
    ) -> Lease:
        """Begin to watch."""
        self._held(endpoint, holder)
        self.leases[endpoint] = leases.acquire(
            self.leases.get(endpoint), holder, now=now, seconds=seconds, living=living
        )
        return self.leases[endpoint]

    def keep_lease(self, endpoint: str, mine: Lease, *, now: float, seconds: float) -> Lease:
        """Go on watching."""
        self.leases[endpoint] = leases.renew(self.leases.get(endpoint), mine, now=now, seconds=seconds)
        return self.leases[endpoint]

    def current_lease(self, endpoint: str) -> Lease | None:
        """Return the last lease."""
        return self.leases.get(endpoint)

    def keep_live(self, endpoint: str, live: LiveRollout) -> None:
        """Replace the live state."""
        self._live[endpoint] = live

    def live(self, endpoint: str) -> LiveRollout | None:
        """Return the live state."""
        return self._live.get(endpoint)

    def promote(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Make a deployed version the stable one."""
        seen = self._held(endpoint, holder, lease)
        if version not in self._counts.get(endpoint, {}):
            msg = f"{endpoint}: version {version} is not deployed"
            raise TrafficConflictError(msg)
        if version != seen.stable:
            self._traffic[endpoint] = replace(seen, stable=version, canary=None, canary_percent=0)
        return self.traffic(endpoint)

    def roll_back(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Take the canary out of traffic."""
        seen = self._held(endpoint, holder, lease)
        if version == seen.canary:
            self._traffic[endpoint] = replace(seen, canary=None, canary_percent=0)
        return self.traffic(endpoint)

    def clean_up(self, endpoint: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Forget versions without a role."""
        seen = self._held(endpoint, holder, lease)
        kept = {v: c for v, c in self._counts.get(endpoint, {}).items() if v in (seen.stable, seen.canary)}
        self._counts[endpoint] = kept
        return seen

    def counters(self, endpoint: str) -> Counters:
        """Return counts per version."""
        return Counters(endpoint=endpoint, generation="1", versions=dict(self._counts.get(endpoint, {})))

    def url(self, endpoint: str) -> str:
        """Return an address on which no server listens."""
        return f"memory://{endpoint}"

    def endpoints(self) -> list[str]:
        """Return the endpoints that were ever used."""
        return sorted(self._traffic)

    def stop_unwatched(self, endpoint: str, *, now: float) -> Lease | None:
        """Set the canary to 0 % if its lease ran out."""
        seen, ended = self.traffic(endpoint), self.leases.get(endpoint)
        if ended is None or seen.stable is None or not leases.must_stop(ended, seen.canary_percent, now=now):
            return None
        self._traffic[endpoint] = replace(seen, canary_percent=0, holder=None)
        self.leases[endpoint] = leases.reaped(ended)
        self._keep(endpoint, ended_by_reaper(endpoint, ended, now=now, end_id=uuid4().hex), seen)
        return ended

    def count(self, endpoint: str, version: str, *, requests: int, errors: int = 0) -> None:
        """Add to a version's counts, as if clients had called."""
        seen = self._counts[endpoint][version]
        added = Count(requests=seen.requests + requests, errors=seen.errors + errors)
        self._counts[endpoint][version] = added

    def _held(self, endpoint: str, holder: str, lease: Lease | None = None) -> Traffic:
        seen = self._traffic.setdefault(endpoint, Traffic(endpoint=endpoint))
        current = self.leases.get(endpoint)
        leases.require_claim(seen.holder, holder, endpoint, current=current, mine=lease)
        return seen

    def _keep(self, endpoint: str, end: RolloutEnd, seen: Traffic) -> None:
        filled = as_found(
            end,
            version=seen.canary,
            champion=seen.stable,
            percent=seen.canary_percent,
            holder=seen.holder,
        )
        self._ends[endpoint] = with_pending(self.pending_ends(endpoint), filled)
