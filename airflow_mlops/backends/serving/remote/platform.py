"""Port: what a remote platform offers, and the store of its endpoints' state under compare-and-set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.retry import Retrier
    from airflow_mlops.backends.serving.remote.state import Release, RemoteState

Json = dict[str, Any]
"""An object as a platform's API represents it."""


class StateStore(Protocol):
    """Store of endpoints' state.

    ``load`` returns a *snapshot*: an object with ``state``, otherwise opaque to callers. Writes are
    compare-and-set: one that is based on an outdated snapshot fails with a conflict.
    """

    def endpoints(self) -> list[str]:
        """Return the endpoints that may have a state."""

    def load(self, endpoint: str) -> Any:
        """Read a snapshot: the state, and the endpoint as it is.

        :raises EndpointMissingError: the state has versions, but the endpoint is gone.
        """

    def load_or_new(self, endpoint: str) -> Any:
        """Read a snapshot; the state of an endpoint that is gone is new but for holder, lease and ends."""

    def save(self, snapshot: Any, state: RemoteState) -> None:
        """Store a state that moves no traffic.

        :raises ConflictError: the state was written since the snapshot.
        """


class RemotePlatform(Protocol):
    """Platform on which endpoints run."""

    retrier: Retrier

    @property
    def store(self) -> StateStore:
        """Return the store of endpoints' state."""

    def declare(self, snapshot: Any, state: RemoteState, *, force: bool = False) -> None:
        """Store the state, then change the endpoint accordingly; write nothing that is so already.

        :param force: overwrite a weight that others set; a model that others set is never overwritten.
        :raises ConflictError: state or endpoint was written since the snapshot.
        :raises TrafficConflictError: the endpoint is not what was last written.
        """

    def missing(self, snapshot: Any) -> str:
        """Say which part of the state is not in effect yet; empty when all of it is.

        :raises ServiceUnavailableError: it cannot come into effect any more.
        """

    def percent(self, snapshot: Any) -> int:
        """Return the canary's share as the endpoint reports it."""

    def label(self, snapshot: Any, release: Release) -> str:
        """Return what a release is called in metrics; empty when it is not up."""

    def publish(self, endpoint: str, version: str, model_dir: Path) -> Release:
        """Put the model where the endpoint can load it; idempotent."""

    def changed(self, snapshot: Any) -> str:
        """Say what others changed of what serves beside its weight; empty if nothing."""

    def make_room(self, snapshot: Any, percent: int) -> str:
        """Grow what serves the canary to a share of the requests; say what it still lacks.

        Idempotent, and polled before the share is written.
        """

    def start(self, snapshot: Any, release: Release, *, meanwhile: Callable[[], None]) -> Release:
        """Start what serves a release, at 0 %, and return it as it was started; idempotent.

        :param meanwhile: called with each poll while it is waited for; raises when the wait is to end.
        """

    def stop(self, snapshot: Any, releases: tuple[Release, ...]) -> None:
        """Stop what serves releases that are out of traffic."""

    def url(self, endpoint: str) -> str:
        """Return the address for clients."""
