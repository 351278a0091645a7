"""Serving on a remote platform: the serving port's rules over a :class:`RemotePlatform`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_mlops.backends.serving.denials import repeating_denied
from airflow_mlops.backends.serving.identity import identity_of, require_same_model
from airflow_mlops.backends.serving.protocol import Counters, Stopped, Traffic
from airflow_mlops.backends.serving.remote import state as transitions
from airflow_mlops.backends.serving.remote.state import Release, RemotePhase, RemoteState, Writer
from airflow_mlops.backends.serving.remote.stop import Stops, percent_of
from airflow_mlops.core.errors import (
    InvalidConfigError,
    MlopsError,
    TrafficConflictError,
    TransientError,
)
from airflow_mlops.core.rollout.end import without_written
from airflow_mlops.core.rollout.lease import CLAIM_SECONDS, Lease, acquire, fence, renew, require_lease
from airflow_mlops.core.rollout.plan import require_percent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.platform import RemotePlatform
    from airflow_mlops.core.rollout.end import RolloutEnd

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

    def claim(self, endpoint: str, holder: str, *, now: float | None = None) -> None:
        """Take the endpoint under a lease, also from a dead holder, whose canary goes to 0 %."""
        at, end_id = self.wall() if now is None else now, uuid4().hex

        def take() -> None:
            snapshot = self.platform.store.load_or_new(endpoint)
            percent = percent_of(self.platform, snapshot)
            state = transitions.claimed(snapshot.state, holder, now=at, percent=percent, end_id=end_id)
            if state.phase is RemotePhase.DRAINING:
                self.platform.declare(snapshot, state, force=True)
            else:
                self.platform.store.save(snapshot, state)

        self.platform.retrier.retry_on_conflict(take, f"claim {endpoint}")

    def stop(
        self, endpoint: str, end: RolloutEnd | None, *, now: float, holder: str | None = None
    ) -> Stopped:
        """Take the canary out of traffic, whoever holds the endpoint, and free it.

        Weight, fencing token and end are one intent, written to the endpoint's own state; then the weight.
        """
        return Stops(self.platform).stop(endpoint, end, holder)

    def pending_ends(self, endpoint: str) -> tuple[RolloutEnd, ...]:
        """Return the ends that no ledger has yet."""
        ends: tuple[RolloutEnd, ...] = self.platform.store.load_or_new(endpoint).state.ends
        return ends

    def ends_written(self, endpoint: str, ids: Collection[str]) -> None:
        """Forget ends that the ledger has."""

        def forget() -> None:
            snapshot = self.platform.store.load_or_new(endpoint)
            left = without_written(snapshot.state.ends, ids)
            if left != snapshot.state.ends:
                self.platform.store.save(snapshot, replace(snapshot.state, ends=left))

        self.platform.retrier.retry_on_conflict(forget, f"ends of {endpoint}")

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
        """Set the canary to 0 % if its lease expired, and free the endpoint."""
        return Stops(self.platform).reap(endpoint, now=now)

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start a version at 0 % and wait until it is ready; one that does not become ready is removed.

        The claim's lease is renewed meanwhile. A canary that is being drained is removed first.

        :raises ModelReplacedError: another model is up under this version.
        """
        writer, identity = self._deploying(endpoint, holder), identity_of(model_dir)
        known = self._held_state(endpoint, writer).find(version)
        require_same_model(endpoint, version, known=known.identity if known else "", wanted=identity)
        self._remove_drained(endpoint, version, writer)
        state = self._held_state(endpoint, writer)
        if state.phase is RemotePhase.RESTORING:
            self._reapply(endpoint, writer)
            self._wait_for_effect(endpoint, writer)
        if version != state.version_of(state.stable):
            release = self.platform.publish(endpoint, version, model_dir)
            self._bring_up(endpoint, replace(release, identity=identity), writer)
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
            changed=self.platform.changed(snapshot),
        )

    def set_traffic(
        self, endpoint: str, version: str, percent: int, *, holder: str, lease: Lease | None = None
    ) -> Traffic:
        """Give the canary its share unless others changed it meanwhile.

        More than before only under a lease that has not expired, also when a storm of refusals is over.
        """
        require_percent(percent)
        writer = self._writer(holder, lease)

        def shift(state: RemoteState) -> RemoteState:
            if percent > state.percent:
                self._require_alive(state, writer)
            return transitions.shifted(state, percent)

        self._make_room(endpoint, version, percent, writer)
        self._change(endpoint, writer, shift, canary=version)
        self._wait_for_effect(endpoint, writer, drained=percent == 0)
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
            self._make_room(endpoint, version, 100, writer)
            self._require_alive(self._held_state(endpoint, writer), writer)
            self._change(endpoint, writer, transitions.promoting, canary=version)
            self._wait_for_effect(endpoint, writer)
            self._change(endpoint, writer, transitions.promoted, canary=version)
        else:
            self._reapply(endpoint, writer)
        self._wait_for_effect(endpoint, writer)
        return self.traffic(endpoint)

    def roll_back(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Take the canary out of traffic; then restore what it replaced.

        A denied call is repeated as others are: the API server may just have started.
        """
        writer = self._writer(holder, lease)
        with repeating_denied():
            state = self._held_state(endpoint, writer)
            if version == state.version_of(state.canary):
                self._drain(endpoint, version, writer)
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

    def current_lease(self, endpoint: str) -> Lease | None:
        """Return the last lease."""
        lease: Lease | None = self.platform.store.load(endpoint).state.lease
        return lease

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

    def _require_alive(self, state: RemoteState, writer: Writer) -> None:
        if writer.lease is not None:
            require_lease(state.lease, writer.lease, now=self.wall())

    def _held_state(self, endpoint: str, writer: Writer) -> RemoteState:
        state: RemoteState = self.platform.store.load(endpoint).state
        transitions.require_writer(state, writer)
        return state

    def _deploying(self, endpoint: str, holder: str) -> Writer:
        """Return the writer of a deployment: under the claim's lease, as long as that is valid."""
        lease = self._held_state(endpoint, Writer(holder=holder)).lease
        if lease is None or lease.holder != holder or lease.expired(self.wall()):
            return Writer(holder=holder)
        return Writer(holder=holder, lease=lease, seconds=CLAIM_SECONDS)

    def _remove_drained(self, endpoint: str, version: str, writer: Writer) -> None:
        """Remove a canary that was stopped or taken over, before another one replaces it.

        Knative would otherwise take a canary that had all requests for the one to keep.
        """
        snapshot = self.platform.store.load(endpoint)
        state: RemoteState = snapshot.state
        if state.canary is None or state.stable is None:
            return
        idle = state.percent == 0 and percent_of(self.platform, snapshot) == 0
        if state.phase is RemotePhase.DRAINING or not (idle or state.canary.version == version):
            self._drain(endpoint, state.canary.version, writer)

    def _drain(self, endpoint: str, version: str, writer: Writer) -> None:
        """Set the canary to 0 %, wait until it is, and remove it."""
        self._change(endpoint, writer, transitions.draining, canary=version, force=True)
        self._wait_for_effect(endpoint, writer)
        self._change(endpoint, writer, transitions.rolled_back, canary=version, force=True)

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

    def _make_room(self, endpoint: str, version: str, percent: int, writer: Writer) -> None:
        """Have a canary ready for a share before it gets it; for less than it has nothing is awaited."""

        def missing() -> str:
            snapshot = self.platform.store.load(endpoint)
            transitions.require_writer(snapshot.state, writer, version)
            self._renew(endpoint, writer)
            lowers = percent == 0 or percent < snapshot.state.percent
            return "" if lowers else self.platform.make_room(snapshot, percent)

        self.platform.retrier.wait_until(missing, endpoint)

    def _wait_for_effect(self, endpoint: str, writer: Writer, *, drained: bool = False) -> None:
        """Poll until the state is in effect; a drained canary need not be able to serve."""

        def missing() -> str:
            self._renew(endpoint, writer)
            seen = self.platform.store.load(endpoint)
            return self.platform.missing(
                replace(seen, state=transitions.draining(seen.state)) if drained else seen
            )

        self.platform.retrier.wait_until(missing, endpoint)

    def _renew(self, endpoint: str, writer: Writer) -> None:
        if writer.lease is not None and writer.seconds:
            self.keep_lease(endpoint, writer.lease, now=self.wall(), seconds=writer.seconds)

    def _bring_up(self, endpoint: str, release: Release, writer: Writer) -> None:
        snapshot = self.platform.store.load(endpoint)
        started = self.platform.start(snapshot, release, meanwhile=lambda: self._renew(endpoint, writer))
        self._change(endpoint, writer, lambda state: transitions.deployed(state, started))
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
