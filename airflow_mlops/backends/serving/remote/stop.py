"""Stops of a remote endpoint: by a person, whoever holds it, and by the reaper, when a lease ran out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_mlops.backends.serving.denials import repeating_denied
from airflow_mlops.backends.serving.protocol import Stopped
from airflow_mlops.backends.serving.remote import state as transitions
from airflow_mlops.core.errors import MlopsError, TrafficConflictError, TransientError
from airflow_mlops.core.rollout.lease import REAPER, Lease

if TYPE_CHECKING:
    from airflow_mlops.backends.serving.remote.platform import RemotePlatform
    from airflow_mlops.backends.serving.remote.state import RemoteState
    from airflow_mlops.core.rollout.end import RolloutEnd

_DRAIN_SECONDS = 4.0
"""How long a stop waits for the canary's requests to end; if it takes longer, others complete the stop."""


class Stops:
    """Takes canaries out of traffic without holding their endpoint.

    A stop is written in two steps, as a rollback is. The first sets the canary to 0 %, frees the endpoint and
    fences off its holder. The second removes the canary, once the endpoint reports 0 %; if that takes long,
    or this process dies, the next stop, reaper or deployment does it.
    """

    def __init__(self, platform: RemotePlatform) -> None:
        self.platform = platform

    def stop(self, endpoint: str, end: RolloutEnd | None, holder: str | None = None) -> Stopped:
        """Stop a canary, whoever holds the endpoint, or only one holder's, and free it.

        :raises TrafficConflictError: the endpoint has a model that others set; it is freed all the same.
        """
        written: list[tuple[RemoteState, Stopped]] = []

        def once() -> Stopped:
            snapshot = self.platform.store.load_or_new(endpoint)
            for wanted, found in written:
                if _is_of(snapshot.state, wanted, end):
                    self._declare(snapshot, snapshot.state)
                    return found
            if holder not in (None, snapshot.state.holder):
                return Stopped(endpoint=endpoint)
            found = _found(snapshot.state, percent_of(self.platform, snapshot))
            if found.version is None and found.holder is None:
                return found
            wanted = transitions.stopping(snapshot.state, end, found.percent)
            written.append((wanted, found))
            self._declare(snapshot, wanted)
            return found

        with repeating_denied():
            found = self.platform.retrier.retry_on_conflict(once, f"stop {endpoint}")
        self.complete(endpoint)
        return found

    def complete(self, endpoint: str) -> None:
        """Remove a canary whose stop is not complete, once it is drained; no error if that takes long."""
        if not transitions.is_stopping(self.platform.store.load_or_new(endpoint).state):
            return
        with suppress(TransientError):
            self.platform.retrier.retry_on_conflict(lambda: self._repeat(endpoint), f"stop {endpoint}")
            self.platform.retrier.wait_until(
                lambda: self._missing(endpoint), endpoint, seconds=_DRAIN_SECONDS
            )
            self.platform.retrier.retry_on_conflict(lambda: self._remove(endpoint), f"stop {endpoint}")

    def reap(self, endpoint: str, *, now: float) -> Lease | None:
        """Set the canary to 0 % if its lease expired, also when others changed its weight.

        The result is not polled for: while the endpoint still reports more than 0, the next call writes 0
        again, which also undoes a write that was under way when the lease was taken away.
        """
        end_id, first = uuid4().hex, []

        def once() -> Lease | None:
            snapshot = self.platform.store.load_or_new(endpoint)
            ended: Lease | None = snapshot.state.lease
            percent = percent_of(self.platform, snapshot)
            wanted = transitions.unwatched(snapshot.state, percent, now=now, end_id=end_id)
            if wanted is None or ended is None or transitions.is_stopping(snapshot.state):
                return None
            first.append(ended)
            self.platform.declare(snapshot, wanted, force=True)
            return None

        self.platform.retrier.retry_on_conflict(once, f"stop the canary of {endpoint}")
        self.complete(endpoint)
        return next((ended for ended in first if ended.holder != REAPER), None)

    def _declare(self, snapshot: Any, wanted: RemoteState) -> None:
        try:
            self.platform.declare(snapshot, wanted, force=True)
        except TrafficConflictError:
            self.platform.store.save(snapshot, wanted)
            raise

    def _repeat(self, endpoint: str) -> None:
        """Write the canary's 0 % again: who began the stop may have died between the two writes."""
        snapshot = self.platform.store.load_or_new(endpoint)
        if transitions.is_stopping(snapshot.state):
            self.platform.declare(snapshot, snapshot.state, force=True)

    def _missing(self, endpoint: str) -> str:
        snapshot = self.platform.store.load_or_new(endpoint)
        return self.platform.missing(snapshot) if transitions.is_stopping(snapshot.state) else ""

    def _remove(self, endpoint: str) -> None:
        snapshot = self.platform.store.load_or_new(endpoint)
        if transitions.is_stopping(snapshot.state):
            self.platform.declare(snapshot, transitions.rolled_back(snapshot.state), force=True)


def percent_of(platform: RemotePlatform, snapshot: Any) -> int:
    """Return the canary's reported share; the requested one where none is reported."""
    try:
        return platform.percent(snapshot) if snapshot.state.canary else 0
    except MlopsError:
        return int(snapshot.state.percent)


def _found(state: RemoteState, percent: int) -> Stopped:
    """Return what there is to stop; a canary that is being stopped already is none."""
    canary = None if transitions.is_stopping(state) else state.version_of(state.canary)
    return Stopped(
        endpoint=state.endpoint,
        version=canary,
        percent=percent if canary else 0,
        holder=state.holder,
        stable=state.version_of(state.stable),
    )


def _is_of(state: RemoteState, wanted: RemoteState, end: RolloutEnd | None) -> bool:
    """Whether a state is what this stop wrote, though no answer came; another's stop has another end."""
    kept = end is None or any(known.id == end.id for known in state.ends)
    return kept and state.holder is None and state.lease == wanted.lease
