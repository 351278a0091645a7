"""Serving on a remote platform: the serving port's rules over a :class:`RemotePlatform`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.serving.protocol import Counters, Traffic
from airflow_mlops.backends.serving.remote import state as transitions
from airflow_mlops.backends.serving.remote.state import Release, RemotePhase, RemoteState, Writer
from airflow_mlops.core.errors import (
    InvalidConfigError,
    MlopsError,
    ServiceUnavailableError,
    TrafficConflictError,
    TransientError,
)
from airflow_mlops.core.rollout.lease import REAPER, Lease, acquire, fence, renew
from airflow_mlops.core.rollout.plan import require_percent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.platform import RemotePlatform

    CountSource = Callable[[str, tuple[Release, ...]], Counters]


class RemoteServing:
    """Implements :class:`~airflow_mlops.backends.serving.protocol.ServingBackend` over a remote platform.

    Every change is a compare-and-set cycle: read a snapshot, decide, write unless it changed since. Then the
    platform is polled until the change is in effect; the writer's lease is renewed meanwhile. Leases are part
    of the endpoint's state and are changed in the same way.

    :param counts: reads requests and errors per version; platforms do not count.
    :param wall: wall clock of leases, in seconds since the epoch.
    """

    def __init__(
        self,
        platform: RemotePlatform,
        *,
        counts: CountSource | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.platform = platform
        self.counts = counts
        self.wall = wall

    def claim(self, endpoint: str, holder: str) -> None:
        """Take the endpoint."""

        def take() -> None:
            snapshot = self.platform.store.load_or_new(endpoint)
            self.platform.store.save(snapshot, transitions.claimed(snapshot.state, holder))

        self.platform.retrier.retry_on_conflict(take, f"claim {endpoint}")

    def release(self, endpoint: str, holder: str) -> None:
        """Give the endpoint back."""

        def give() -> None:
            snapshot = self.platform.store.load_or_new(endpoint)
            self.platform.store.save(snapshot, transitions.released(snapshot.state, holder))

        self.platform.retrier.retry_on_conflict(give, f"release {endpoint}")

    def take_lease(
        self, endpoint: str, holder: str, *, now: float, seconds: float, living: bool = False
    ) -> Lease:
        """Acquire the endpoint's lease."""

        def take() -> Lease:
            snapshot = self.platform.store.load(endpoint)
            transitions.require_writer(snapshot.state, Writer(holder=holder))
            lease = acquire(snapshot.state.lease, holder, now=now, seconds=seconds, living=living)
            self.platform.store.save(snapshot, replace(snapshot.state, lease=lease))
            return lease

        return self.platform.retrier.retry_on_conflict(take, f"lease {endpoint}")

    def keep_lease(self, endpoint: str, mine: Lease, *, now: float, seconds: float) -> Lease:
        """Renew the lease; to save remote calls it is written only once a third of it has passed."""

        def keep() -> Lease:
            snapshot = self.platform.store.load(endpoint)
            longer = renew(snapshot.state.lease, mine, now=now, seconds=seconds)
            held = fence(snapshot.state.lease, mine)
            if longer.expires_at - held.expires_at < seconds / 3:
                return held
            self.platform.store.save(snapshot, replace(snapshot.state, lease=longer))
            return longer

        return self.platform.retrier.retry_on_conflict(keep, f"lease {endpoint}")

    def endpoints(self) -> list[str]:
        """Return the endpoints that may have a lease."""
        return self.platform.store.endpoints()

    def stop_unwatched(self, endpoint: str, *, now: float) -> Lease | None:
        """Set the canary to 0 % if its lease expired, also when others changed its weight.

        The result is not polled for: while the endpoint still reports more than 0, the next call writes 0
        again, which also undoes a write that was under way when the lease was taken away.
        """

        def stop() -> Lease | None:
            snapshot = self.platform.store.load_or_new(endpoint)
            ended: Lease | None = snapshot.state.lease
            if ended is None or not ended.expired(now):
                return None
            state = transitions.stopped(snapshot.state, self._percent_or_asked(snapshot), now=now)
            if state is None:
                return None
            self.platform.declare(snapshot, state, force=True)
            return None if ended.holder == REAPER else ended

        return self.platform.retrier.retry_on_conflict(stop, f"stop the canary of {endpoint}")

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start a version at 0 % and wait until it is ready; one that does not become ready is removed."""
        writer = Writer(holder=holder)
        state = self._held_state(endpoint, writer)
        if state.phase is RemotePhase.RESTORING:
            self._reapply(endpoint, writer)
            self._wait_for_effect(endpoint, writer)
        if version != state.version_of(state.stable):
            self._bring_up(endpoint, self.platform.publish(endpoint, version, model_dir), writer)
        return self.traffic(endpoint)

    def traffic(self, endpoint: str) -> Traffic:
        """Return what the endpoint reports now."""
        snapshot = self.platform.store.load(endpoint)
        state: RemoteState = snapshot.state
        return Traffic(
            endpoint=endpoint,
            stable=state.version_of(state.stable),
            canary=state.version_of(state.canary),
            canary_percent=self.platform.percent(snapshot) if state.canary else 0,
            holder=state.holder,
        )

    def set_traffic(
        self, endpoint: str, version: str, percent: int, *, holder: str, lease: Lease | None = None
    ) -> Traffic:
        """Give the canary its share unless others changed it meanwhile."""
        require_percent(percent)
        writer = self._writer(holder, lease)
        self._change(endpoint, writer, lambda state: transitions.shifted(state, percent), canary=version)
        self._wait_for_effect(endpoint, writer)
        return self.traffic(endpoint)

    def promote(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Give all requests to a version that is up; one that was replaced is brought up again first."""
        writer = self._writer(holder, lease)
        state = self._held_state(endpoint, writer)
        known = state.find(version)
        if known is None:
            up = ", ".join(release.version for release in state.releases()) or "none"
            msg = f"{endpoint}: version {version} is not deployed; deployed: {up}"
            raise TrafficConflictError(msg)
        if version != state.version_of(state.stable):
            self._bring_up(endpoint, known, writer)
            self._change(endpoint, writer, transitions.promoting, canary=version)
            self._wait_for_effect(endpoint, writer)
            self._change(endpoint, writer, transitions.promoted, canary=version)
        else:
            self._reapply(endpoint, writer)
        self._wait_for_effect(endpoint, writer)
        return self.traffic(endpoint)

    def roll_back(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Take the canary out of traffic; then restore what it replaced."""
        writer = self._writer(holder, lease)
        state = self._held_state(endpoint, writer)
        if version == state.version_of(state.canary):
            self._change(endpoint, writer, transitions.draining, canary=version, force=True)
            self._wait_for_effect(endpoint, writer)
            self._change(endpoint, writer, transitions.rolled_back, canary=version, force=True)
        elif state.phase is RemotePhase.RESTORING:
            self._reapply(endpoint, writer)
        return self.traffic(endpoint)

    def clean_up(self, endpoint: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Stop versions without a role; complete a rollback whose restored model is ready."""
        writer = self._writer(holder, lease)
        self._stop_former(endpoint, writer)
        self._remove_former(endpoint, writer)
        self._complete_rollback(endpoint, writer)
        return self.traffic(endpoint)

    def counters(self, endpoint: str) -> Counters:
        """Return requests and errors per version from the configured source.

        :raises InvalidConfigError: no source is configured.
        """
        if self.counts is None:
            msg = f"{endpoint}: this back end counts no requests; say where they are counted ('prometheus')"
            raise InvalidConfigError(msg)
        return self.counts(endpoint, self.platform.store.load(endpoint).state.releases())

    def labels(self, endpoint: str) -> dict[str, str]:
        """Return what versions that are up are called in metrics."""
        snapshot = self.platform.store.load(endpoint)
        found = {
            release.version: self.platform.label(snapshot, release) for release in snapshot.state.releases()
        }
        return {version: label for version, label in found.items() if label}

    def url(self, endpoint: str) -> str:
        """Return the address for clients."""
        return self.platform.url(endpoint)

    def _writer(self, holder: str, lease: Lease | None) -> Writer:
        left = lease.expires_at - self.wall() if lease else 0.0
        return Writer(holder=holder, lease=lease, seconds=max(left, 0.0))

    def _held_state(self, endpoint: str, writer: Writer) -> RemoteState:
        state: RemoteState = self.platform.store.load(endpoint).state
        transitions.require_writer(state, writer)
        return state

    def _percent_or_asked(self, snapshot: Any) -> int:
        """Return the canary's reported share; the requested one where none is reported."""
        try:
            return self.platform.percent(snapshot) if snapshot.state.canary else 0
        except ServiceUnavailableError:
            return int(snapshot.state.percent)

    def _change(
        self,
        endpoint: str,
        writer: Writer,
        transition: Callable[[RemoteState], RemoteState],
        *,
        canary: str | None = None,
        force: bool = False,
    ) -> None:
        """Apply a transition by compare-and-set, once: a write whose answer was lost is recognised."""
        written: list[RemoteState] = []

        def once() -> None:
            snapshot = self.platform.store.load(endpoint)
            ours = any(transitions.same_intent(snapshot.state, wanted) for wanted in written)
            transitions.require_writer(snapshot.state, writer, None if ours else canary)
            wanted = snapshot.state if ours else transition(snapshot.state)
            written.append(wanted)
            self.platform.declare(snapshot, wanted, force=force)

        self.platform.retrier.retry_on_conflict(once, f"change {endpoint}")

    def _reapply(self, endpoint: str, writer: Writer) -> None:
        """Make the endpoint what its state says: a writer may have died between the two writes."""
        self._change(endpoint, writer, lambda state: state)

    def _wait_for_effect(self, endpoint: str, writer: Writer) -> None:
        def missing() -> str:
            if writer.lease is not None and writer.seconds:
                self.keep_lease(endpoint, writer.lease, now=self.wall(), seconds=writer.seconds)
            return self.platform.missing(self.platform.store.load(endpoint))

        self.platform.retrier.wait_until(missing, endpoint)

    def _bring_up(self, endpoint: str, release: Release, writer: Writer) -> None:
        self.platform.start(self.platform.store.load(endpoint), release)
        self._change(endpoint, writer, lambda state: transitions.deployed(state, release))
        try:
            self._wait_for_effect(endpoint, writer)
        except TransientError:
            self._take_down(endpoint, release, writer)
            raise

    def _take_down(self, endpoint: str, release: Release, writer: Writer) -> None:
        state: RemoteState = self.platform.store.load(endpoint).state
        if state.version_of(state.canary) != release.version or state.percent:
            return
        self._change(endpoint, writer, transitions.rolled_back, canary=release.version, force=True)
        self.platform.stop(self.platform.store.load(endpoint), (release,))
        self._remove_former(endpoint, writer)

    def _stop_former(self, endpoint: str, writer: Writer) -> None:
        snapshot = self.platform.store.load(endpoint)
        transitions.require_writer(snapshot.state, writer)
        self.platform.stop(snapshot, snapshot.state.former)

    def _remove_former(self, endpoint: str, writer: Writer) -> None:
        def once() -> None:
            snapshot = self.platform.store.load(endpoint)
            transitions.require_writer(snapshot.state, writer)
            self.platform.store.save(snapshot, transitions.cleaned(snapshot.state))

        self.platform.retrier.retry_on_conflict(once, f"clean up {endpoint}")

    def _complete_rollback(self, endpoint: str, writer: Writer) -> None:
        snapshot = self.platform.store.load(endpoint)
        if snapshot.state.phase is not RemotePhase.RESTORING:
            return
        self._reapply(endpoint, writer)
        try:
            ready = not self.platform.missing(self.platform.store.load(endpoint))
        except MlopsError:
            ready = False
        if ready:
            self._change(endpoint, writer, transitions.restored)
