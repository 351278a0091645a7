"""What a place for remote endpoints has to offer: state under compare-and-set; start, stop, split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_mlops.backends.serving.remote.retry import Waiting
    from airflow_mlops.backends.serving.remote.state import Release, RemoteState


class Book(Protocol):
    """Where an endpoint's state is kept.

    ``load`` returns a *sight*: an object with ``state``, opaque to others. What is written is written on
    condition that nothing changed since that sight.
    """

    def endpoints(self) -> list[str]:
        """Return the endpoints that may have a state."""

    def load(self, endpoint: str) -> Any:
        """Read state and endpoint.

        :raises EndpointMissingError: the state knows versions, but the endpoint is gone.
        """

    def load_or_forget(self, endpoint: str) -> Any:
        """Read; versions of an endpoint that is gone are forgotten, its holder and its lease are not."""

    def remember(self, sight: Any, state: RemoteState) -> None:
        """Store a state that moves no traffic.

        :raises MovedError: somebody wrote since.
        """


class Site(Protocol):
    """Where endpoints live."""

    waiting: Waiting

    @property
    def book(self) -> Book:
        """Return where the state is kept."""

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
