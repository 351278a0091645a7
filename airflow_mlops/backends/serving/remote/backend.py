"""Serving on something that is not this machine: the port's rules, over whatever a ``Site`` moves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.protocol import Counters, Traffic
from airflow_mlops.backends.serving.remote import state as move
from airflow_mlops.backends.serving.remote.leases import RemoteLeases
from airflow_mlops.backends.serving.remote.state import Phase, Release, RemoteState, Writer
from airflow_mlops.core.errors import InvalidConfigError, MlopsError, TrafficConflictError, TransientError
from airflow_mlops.core.rollout.plan import require_percent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.platform import Site
    from airflow_mlops.core.rollout.lease import Lease

    CountSource = Callable[[str, tuple[Release, ...]], Counters]


class RemoteServing(RemoteLeases):
    """Implements :class:`~airflow_mlops.backends.serving.protocol.ServingBackend` over a site.

    Every change is: read, judge, write on condition that nothing changed; then wait until it is so. The
    lease of whoever waits is kept meanwhile.

    :param counts: reads requests and errors per version; the endpoints themselves do not count.
    :param wall: tells the time in seconds since the epoch, as leases count it.
    """

    def __init__(
        self, site: Site, *, counts: CountSource | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        self.site = site
        self.counts = counts
        self.wall = wall

    def claim(self, endpoint: str, holder: str) -> None:
        """Take the endpoint."""

        def take() -> None:
            sight = self.site.book.load_or_forget(endpoint)
            self.site.book.remember(sight, move.claimed(sight.state, holder))

        self.site.waiting.again_when_moved(take, f"claim {endpoint}")

    def release(self, endpoint: str, holder: str) -> None:
        """Give the endpoint back."""

        def give() -> None:
            sight = self.site.book.load_or_forget(endpoint)
            self.site.book.remember(sight, move.released(sight.state, holder))

        self.site.waiting.again_when_moved(give, f"release {endpoint}")

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start a version out of traffic and wait until it is ready; a failed one is taken back."""
        who = Writer(holder=holder)
        state = self._held(endpoint, who)
        if state.phase is Phase.RESTORING:
            self._again(endpoint, who)
            self._settle(endpoint, who)
        if version != state.version_of(state.stable):
            self._bring_up(endpoint, self.site.publish(endpoint, version, model_dir), who)
        return self.traffic(endpoint)

    def traffic(self, endpoint: str) -> Traffic:
        """Return what the endpoint reports now."""
        sight = self.site.book.load(endpoint)
        state: RemoteState = sight.state
        return Traffic(
            endpoint=endpoint,
            stable=state.version_of(state.stable),
            canary=state.version_of(state.canary),
            canary_percent=self.site.percent(sight) if state.canary else 0,
            holder=state.holder,
        )

    def set_traffic(
        self, endpoint: str, version: str, percent: int, *, holder: str, lease: Lease | None = None
    ) -> Traffic:
        """Give the canary its share unless somebody else changed it meanwhile."""
        require_percent(percent)
        who = self._writer(holder, lease)
        self._change(endpoint, who, lambda state: move.shifted(state, percent), canary=version)
        self._settle(endpoint, who)
        return self.traffic(endpoint)

    def promote(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Give all requests to a version that is up; one that was replaced is brought back first."""
        who = self._writer(holder, lease)
        state = self._held(endpoint, who)
        known = state.find(version)
        if known is None:
            up = ", ".join(release.version for release in state.releases()) or "none"
            msg = f"{endpoint}: version {version} is not deployed; deployed: {up}"
            raise TrafficConflictError(msg)
        if version != state.version_of(state.stable):
            self._bring_up(endpoint, known, who)
            self._change(endpoint, who, move.promoting, canary=version)
            self._settle(endpoint, who)
            self._change(endpoint, who, move.promoted, canary=version)
        else:
            self._again(endpoint, who)
        self._settle(endpoint, who)
        return self.traffic(endpoint)

    def roll_back(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Take the canary out of traffic; then put back what it replaced."""
        who = self._writer(holder, lease)
        state = self._held(endpoint, who)
        if version == state.version_of(state.canary):
            self._change(endpoint, who, move.draining, canary=version, force=True)
            self._settle(endpoint, who)
            self._change(endpoint, who, move.rolled_back, canary=version, force=True)
        elif state.phase is Phase.RESTORING:
            self._again(endpoint, who)
        return self.traffic(endpoint)

    def clean_up(self, endpoint: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Stop versions without a role; end a rollback whose restored model is ready."""
        who = self._writer(holder, lease)
        self._stop(endpoint, who)
        self._forget(endpoint, who)
        self._end_rollback(endpoint, who)
        return self.traffic(endpoint)

    def counters(self, endpoint: str) -> Counters:
        """Return requests and errors per version from the source that was handed in.

        :raises InvalidConfigError: none was.
        """
        if self.counts is None:
            msg = f"{endpoint}: this back end counts no requests; say where they are counted ('prometheus')"
            raise InvalidConfigError(msg)
        return self.counts(endpoint, self.site.book.load(endpoint).state.releases())

    def labels(self, endpoint: str) -> dict[str, str]:
        """Return what versions that are up are called in metrics."""
        sight = self.site.book.load(endpoint)
        found = {release.version: self.site.label(sight, release) for release in sight.state.releases()}
        return {version: label for version, label in found.items() if label}

    def url(self, endpoint: str) -> str:
        """Return the address for clients."""
        return self.site.url(endpoint)

    def _writer(self, holder: str, lease: Lease | None) -> Writer:
        left = lease.expires_at - self.wall() if lease else 0.0
        return Writer(holder=holder, lease=lease, seconds=max(left, 0.0))

    def _held(self, endpoint: str, who: Writer) -> RemoteState:
        state: RemoteState = self.site.book.load(endpoint).state
        move.require(state, who)
        return state

    def _change(
        self,
        endpoint: str,
        who: Writer,
        step: Callable[[RemoteState], RemoteState],
        *,
        canary: str | None = None,
        force: bool = False,
    ) -> None:
        tried: list[RemoteState] = []

        def once() -> None:
            sight = self.site.book.load(endpoint)
            ours = any(move.same(sight.state, wanted) for wanted in tried)
            move.require(sight.state, who, None if ours else canary)
            wanted = sight.state if ours else step(sight.state)
            tried.append(wanted)
            self.site.declare(sight, wanted, force=force)

        self.site.waiting.again_when_moved(once, f"change {endpoint}")

    def _again(self, endpoint: str, who: Writer) -> None:
        """Make the endpoint what the state says: whoever wrote the state may have died right after."""
        self._change(endpoint, who, lambda state: state)

    def _settle(self, endpoint: str, who: Writer) -> None:
        def missing() -> str:
            if who.lease is not None and who.seconds:
                self.keep_lease(endpoint, who.lease, now=self.wall(), seconds=who.seconds)
            return self.site.missing(self.site.book.load(endpoint))

        self.site.waiting.until(missing, endpoint)

    def _bring_up(self, endpoint: str, release: Release, who: Writer) -> None:
        self.site.start(self.site.book.load(endpoint), release)
        self._change(endpoint, who, lambda state: move.deployed(state, release))
        try:
            self._settle(endpoint, who)
        except TransientError:
            self._take_back(endpoint, release, who)
            raise

    def _take_back(self, endpoint: str, release: Release, who: Writer) -> None:
        state: RemoteState = self.site.book.load(endpoint).state
        if state.version_of(state.canary) != release.version or state.percent:
            return
        self._change(endpoint, who, move.rolled_back, canary=release.version, force=True)
        self.site.stop(self.site.book.load(endpoint), (release,))
        self._forget(endpoint, who)

    def _stop(self, endpoint: str, who: Writer) -> None:
        sight = self.site.book.load(endpoint)
        move.require(sight.state, who)
        self.site.stop(sight, sight.state.former)

    def _forget(self, endpoint: str, who: Writer) -> None:
        def once() -> None:
            sight = self.site.book.load(endpoint)
            move.require(sight.state, who)
            self.site.book.remember(sight, move.cleaned(sight.state))

        self.site.waiting.again_when_moved(once, f"clean up {endpoint}")

    def _end_rollback(self, endpoint: str, who: Writer) -> None:
        sight = self.site.book.load(endpoint)
        if sight.state.phase is not Phase.RESTORING:
            return
        self._again(endpoint, who)
        try:
            ready = not self.site.missing(self.site.book.load(endpoint))
        except MlopsError:
            ready = False
        if ready:
            self._change(endpoint, who, move.restored)
