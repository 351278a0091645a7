"""Serving on something that is not this machine: the port's rules, over whatever a :class:`Site` moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.backends.serving import remote_state as move
from airflow_mlops.backends.serving.protocol import Counters, Traffic
from airflow_mlops.backends.serving.remote_state import Phase, Release, RemoteState
from airflow_mlops.core.errors import InvalidConfigError, MlopsError, TrafficConflictError, TransientError
from airflow_mlops.core.rollout.plan import require_percent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_mlops.backends.serving.patience import Waiting

    CountSource = Callable[[str, tuple[Release, ...]], Counters]


class Site(Protocol):
    """Where endpoints live: reads and writes one endpoint by compare-and-set.

    ``load`` returns a *sight*: an object with ``state``, opaque to others; ``declare`` and ``remember``
    write on condition that nothing changed since that sight.
    """

    waiting: Waiting

    def load(self, endpoint: str) -> Any:
        """Read state and endpoint.

        :raises EndpointMissingError: the state knows versions, but the endpoint is gone.
        """

    def load_or_forget(self, endpoint: str) -> Any:
        """Read; versions of an endpoint that is gone are forgotten, its holder is not."""

    def remember(self, sight: Any, state: RemoteState) -> None:
        """Store a state that moves no traffic.

        :raises MovedError: somebody wrote since.
        """

    def declare(self, sight: Any, state: RemoteState, *, force: bool = False) -> None:
        """Store the state, then make the endpoint so; nothing is written when it is so already.

        :param force: overwrite a weight somebody else set; never a model somebody else set.
        :raises MovedError: somebody wrote since.
        :raises TrafficConflictError: the endpoint is not what was last written.
        """

    def missing(self, sight: Any) -> str:
        """Say what of the state is not so yet; empty when all is.

        :raises ServiceUnavailableError: it never will be.
        """

    def percent(self, sight: Any) -> int:
        """Return the canary's share as the endpoint reports it."""

    def label(self, sight: Any, release: Release) -> str:
        """Return what a release is called in metrics; empty when it is not up."""

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Put the model where the endpoint can load it; done twice, it is done once."""

    def start(self, sight: Any, release: Release) -> None:
        """Start what serves a release, out of traffic; done twice, it is done once."""

    def stop(self, sight: Any, releases: tuple[Release, ...]) -> None:
        """Stop what serves releases that are out of traffic."""

    def url(self, endpoint: str) -> str:
        """Return the address for clients."""


class RemoteServing:
    """Implements :class:`~airflow_mlops.backends.serving.protocol.ServingBackend` over a site.

    Every change is: read, judge, write on condition that nothing changed; then wait until it is so.

    :param counts: reads requests and errors per version; the endpoints themselves do not count.
    """

    def __init__(self, site: Site, *, counts: CountSource | None = None) -> None:
        self.site = site
        self.counts = counts

    def claim(self, endpoint: str, holder: str) -> None:
        """Take the endpoint."""

        def take() -> None:
            sight = self.site.load_or_forget(endpoint)
            self.site.remember(sight, move.claimed(sight.state, holder))

        self.site.waiting.again_when_moved(take, f"claim {endpoint}")

    def release(self, endpoint: str, holder: str) -> None:
        """Give the endpoint back."""

        def give() -> None:
            sight = self.site.load_or_forget(endpoint)
            self.site.remember(sight, move.released(sight.state, holder))

        self.site.waiting.again_when_moved(give, f"release {endpoint}")

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start a version out of traffic and wait until it is ready; a failed one is taken back."""
        sight = self.site.load(endpoint)
        move.require(sight.state, holder)
        if sight.state.phase is Phase.RESTORING:
            self._again(endpoint, holder)
            self._settle(endpoint)
        if version != sight.state.version_of(sight.state.stable):
            self._bring_up(endpoint, self.site.publish(endpoint, version, model_dir), holder)
        return self.traffic(endpoint)

    def traffic(self, endpoint: str) -> Traffic:
        """Return what the endpoint reports now."""
        sight = self.site.load(endpoint)
        state: RemoteState = sight.state
        return Traffic(
            endpoint=endpoint,
            stable=state.version_of(state.stable),
            canary=state.version_of(state.canary),
            canary_percent=self.site.percent(sight) if state.canary else 0,
            holder=state.holder,
        )

    def set_traffic(self, endpoint: str, version: str, percent: int, *, holder: str) -> Traffic:
        """Give the canary its share unless somebody else changed it meanwhile."""
        require_percent(percent)
        self._change(endpoint, holder, lambda state: move.shifted(state, percent), canary=version)
        self._settle(endpoint)
        return self.traffic(endpoint)

    def promote(self, endpoint: str, version: str, *, holder: str) -> Traffic:
        """Give all requests to a version that is up; one that was replaced is brought back first."""
        state = self._held(endpoint, holder)
        known = state.find(version)
        if known is None:
            up = ", ".join(release.version for release in state.releases()) or "none"
            msg = f"{endpoint}: version {version} is not deployed; deployed: {up}"
            raise TrafficConflictError(msg)
        if version != state.version_of(state.stable):
            self._bring_up(endpoint, known, holder)
            self._change(endpoint, holder, move.promoting, canary=version)
            self._settle(endpoint)
            self._change(endpoint, holder, move.promoted, canary=version)
        else:
            self._again(endpoint, holder)
        self._settle(endpoint)
        return self.traffic(endpoint)

    def roll_back(self, endpoint: str, version: str, *, holder: str) -> Traffic:
        """Take the canary out of traffic; then put back what it replaced."""
        state = self._held(endpoint, holder)
        if version == state.version_of(state.canary):
            self._change(endpoint, holder, move.draining, canary=version, force=True)
            self._settle(endpoint)
            self._change(endpoint, holder, move.rolled_back, canary=version, force=True)
        elif state.phase is Phase.RESTORING:
            self._again(endpoint, holder)
        return self.traffic(endpoint)

    def clean_up(self, endpoint: str, *, holder: str) -> Traffic:
        """Stop versions without a role; end a rollback whose restored model is ready."""
        self._held(endpoint, holder)
        sight = self.site.load(endpoint)
        self.site.stop(sight, sight.state.former)
        self._forget(endpoint, holder)
        self._end_rollback(endpoint, holder)
        return self.traffic(endpoint)

    def counters(self, endpoint: str) -> Counters:
        """Return requests and errors per version from the source that was handed in.

        :raises InvalidConfigError: none was.
        """
        if self.counts is None:
            msg = f"{endpoint}: this back end counts no requests; say where they are counted ('prometheus')"
            raise InvalidConfigError(msg)
        return self.counts(endpoint, self.site.load(endpoint).state.releases())

    def labels(self, endpoint: str) -> dict[str, str]:
        """Return what versions that are up are called in metrics."""
        sight = self.site.load(endpoint)
        found = {release.version: self.site.label(sight, release) for release in sight.state.releases()}
        return {version: label for version, label in found.items() if label}

    def url(self, endpoint: str) -> str:
        """Return the address for clients."""
        return self.site.url(endpoint)

    def _held(self, endpoint: str, holder: str) -> RemoteState:
        state: RemoteState = self.site.load(endpoint).state
        move.require(state, holder)
        return state

    def _change(
        self,
        endpoint: str,
        holder: str,
        step: Callable[[RemoteState], RemoteState],
        *,
        canary: str | None = None,
        force: bool = False,
    ) -> None:
        def once() -> None:
            sight = self.site.load(endpoint)
            move.require(sight.state, holder, canary)
            self.site.declare(sight, step(sight.state), force=force)

        self.site.waiting.again_when_moved(once, f"change {endpoint}")

    def _again(self, endpoint: str, holder: str) -> None:
        """Make the endpoint what the state says: whoever wrote the state may have died right after."""
        self._change(endpoint, holder, lambda state: state)

    def _settle(self, endpoint: str) -> None:
        self.site.waiting.until(lambda: self.site.missing(self.site.load(endpoint)), endpoint)

    def _bring_up(self, endpoint: str, release: Release, holder: str) -> None:
        self.site.start(self.site.load(endpoint), release)
        self._change(endpoint, holder, lambda state: move.deployed(state, release))
        try:
            self._settle(endpoint)
        except TransientError:
            self._take_back(endpoint, release, holder)
            raise

    def _take_back(self, endpoint: str, release: Release, holder: str) -> None:
        state: RemoteState = self.site.load(endpoint).state
        if state.version_of(state.canary) != release.version or state.percent:
            return
        self._change(endpoint, holder, move.rolled_back, canary=release.version, force=True)
        self.site.stop(self.site.load(endpoint), (release,))
        self._forget(endpoint, holder)

    def _forget(self, endpoint: str, holder: str) -> None:
        def once() -> None:
            sight = self.site.load(endpoint)
            move.require(sight.state, holder)
            self.site.remember(sight, move.cleaned(sight.state))

        self.site.waiting.again_when_moved(once, f"clean up {endpoint}")

    def _end_rollback(self, endpoint: str, holder: str) -> None:
        sight = self.site.load(endpoint)
        if sight.state.phase is not Phase.RESTORING:
            return
        self._again(endpoint, holder)
        try:
            ready = not self.site.missing(self.site.load(endpoint))
        except MlopsError:
            ready = False
        if ready:
            self._change(endpoint, holder, move.restored)
