"""Serving on one machine: HAProxy in front of MLflow scoring processes, one server per version."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_mlops.backends.serving.live import LiveFiles
from airflow_mlops.backends.serving.local.endpoint import (
    LocalEndpoint,
    counted,
    generation_of,
    idle,
    require_name,
)
from airflow_mlops.backends.serving.local.gateway import Gateway
from airflow_mlops.backends.serving.local.model_process import is_up
from airflow_mlops.backends.serving.local.state import EndpointState, Server, StateFile
from airflow_mlops.backends.serving.protocol import Counters, Stopped, Traffic
from airflow_mlops.core.errors import (
    EndpointMissingError,
    ServiceUnavailableError,
    StateFileError,
    TrafficConflictError,
)
from airflow_mlops.core.rollout import lease as leases
from airflow_mlops.core.rollout.end import (
    RolloutEnd,
    ended_by_reaper,
    superseded,
    without_written,
)
from airflow_mlops.core.rollout.plan import require_percent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from airflow_mlops.backends.metrics.haproxy import TimedAnswer
    from airflow_mlops.backends.serving.local.state import Limits
    from airflow_mlops.core.rollout.lease import Lease


class LocalServing(LiveFiles):
    """Implements :class:`~airflow_mlops.backends.serving.protocol.ServingBackend` on this machine.

    Gateway and model servers outlive the task that starts them; all state lies below ``state_dir``.

    :param ports: gateway port per endpoint; endpoints without one get a free port and keep it.
    :param workers: worker processes of each version's model server.
    :param limits: what the gateway allows a request, from its next start on; ``None``: what it did before.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        ports: Mapping[str, int] | None = None,
        log_dir: Path | None = None,
        workers: int = 1,
        limits: Limits | None = None,
    ) -> None:
        self.state_dir = Path(state_dir).absolute()
        self.ports = dict(ports or {})
        self.workers = workers
        self.limits = limits
        self.log_dir = (log_dir or self.state_dir / "inference_log").absolute()

    def claim(self, endpoint: str, holder: str, *, now: float | None = None) -> None:
        """Claim the endpoint, also from a dead holder, and restart those of its processes that died."""
        now = time.time() if now is None else now
        with self._changed(endpoint) as (here, state):
            last = state.lease
            lease = leases.claim(last, state.holder, holder, endpoint, now=now, percent=state.share)
            if state.holder not in (None, holder):
                dead, share = str(state.holder), state.share
                if state.stable is not None:
                    state.percent = 0
                    self._take_out(here, state)
                end = superseded(endpoint, dead, holder, last, now=now, end_id=uuid4().hex)
                state.keep(end, share, state)
            state.holder, state.lease = holder, lease
            here.revive(state)

    def stop(
        self, endpoint: str, end: RolloutEnd | None, *, now: float, holder: str | None = None
    ) -> Stopped:
        """Take the canary out of traffic and free the endpoint.

        The lock is waited for; if that takes longer than a second the weight is lowered without it, unless
        only one rollout is to be stopped.
        """
        if not self._file(endpoint).exists():
            return Stopped(endpoint=endpoint)
        late = None if holder else lambda: self._drain_canary(endpoint)
        with self._changed(endpoint, late=late) as (here, state):
            if holder not in (None, state.holder):
                return Stopped(endpoint=endpoint)
            share, before = state.share, replace(state)
            if (state.canary, state.holder) != (None, None):
                state.canary, state.percent, state.holder = None, 0, None
                state.lease = leases.stopped(state.lease)
                state.keep(end, share, before)
            self._take_out(here, state)
        return Stopped(
            endpoint=endpoint,
            version=before.canary,
            percent=share,
            holder=before.holder,
            stable=before.stable,
        )

    def pending_ends(self, endpoint: str) -> tuple[RolloutEnd, ...]:
        """Return the ends that no ledger has yet."""
        return self.endpoint_state(endpoint).ends

    def ends_written(self, endpoint: str, ids: Collection[str]) -> None:
        """Forget ends that the ledger has."""
        if not {end.id for end in self.pending_ends(endpoint)}.isdisjoint(ids):
            with self._file(endpoint).locked() as state:
                state.ends = without_written(state.ends, ids)

    def revive(self, endpoint: str) -> tuple[str, ...]:
        """Restart a gateway and a stable server that died, without a claim; return which."""
        with self._file(endpoint).locked() as state:
            return self._endpoint(endpoint).revive(state)

    def release(self, endpoint: str, holder: str) -> None:
        """Release the endpoint; its lease ends."""
        with self._file(endpoint).locked() as state:
            if state.holder == holder:
                state.holder = None
                state.lease = state.lease and leases.release(state.lease, state.lease, now=time.time())

    def endpoints(self) -> list[str]:
        """Return the endpoints that have a state file."""
        return [path.parent.name for path in self._state_files()]

    def take_lease(
        self, endpoint: str, holder: str, *, now: float, seconds: float, living: bool = False
    ) -> Lease:
        """Acquire the lease of an endpoint that ``holder`` has claimed.

        :raises EndpointBusyError: another rollout holds the endpoint, or its lease.
        """
        with self._file(endpoint).locked() as state:
            leases.require_holder(state.holder, holder, endpoint)
            state.lease = leases.acquire(state.lease, holder, now=now, seconds=seconds, living=living)
            return state.lease

    def keep_lease(self, endpoint: str, mine: Lease, *, now: float, seconds: float) -> Lease:
        """Renew the lease.

        :raises LeaseLostError: it ran out, or a later copy of the rollout took over.
        """
        with self._file(endpoint).locked() as state:
            state.lease = leases.renew(state.lease, mine, now=now, seconds=seconds)
            return state.lease

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start a version out of traffic; nothing is started if it is up already with this model.

        :raises ModelReplacedError: it gets requests, with another model under the same number.
        :raises LeaseLostError: the rollout was stopped, or taken over, while the server was starting.
        """
        with self._changed(endpoint) as (here, state):
            self._require(state, holder)
            mine = self._renewed_claim(state, holder)
            here.revive(state)
            if not here.serves(state, version, Path(model_dir)):
                here.start(
                    state, version, Path(model_dir), still_wanted=lambda: self._require(state, holder, mine)
                )
                self._renewed_claim(state, holder)
            if version not in (state.stable, state.canary):
                state.canary, state.percent = version, 0
                return here.apply(state, lowers=True)
            return here.traffic(state)

    def traffic(self, endpoint: str) -> Traffic:
        """Return what the gateway does now."""
        return self._endpoint(endpoint).traffic(self.endpoint_state(endpoint))

    def set_traffic(
        self, endpoint: str, version: str, percent: int, *, holder: str, lease: Lease | None = None
    ) -> Traffic:
        """Set the canary's weight.

        :raises TrafficConflictError: the weights are not the ones last written; nothing is changed.
        """
        require_percent(percent)
        with self._changed(endpoint) as (here, state):
            self._require(state, holder, lease, canary=version)
            if percent:
                self._server(state, version)
            seen = here.traffic(state)
            _require_ours(state, seen, percent)
            state.percent = percent
            return here.apply(state, lowers=percent <= seen.canary_percent)

    def promote(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Give all requests to a version that is up; the version before is drained and stays up."""
        with self._changed(endpoint) as (here, state):
            self._require(state, holder, lease)
            if version != state.stable:
                server = self._server(state, version)
                if version == state.canary:
                    _require_ours(state, here.traffic(state), state.percent)
                here.stand_up(state, server)
                state.stable, state.canary = version, None
                state.percent = 0
            return here.apply(state)

    def roll_back(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Take the canary out of traffic."""
        with self._changed(endpoint) as (here, state):
            self._require(state, holder, lease)
            if version == state.canary:
                state.canary, state.percent = None, 0
            return here.apply(state, lowers=True)

    def stop_unwatched(self, endpoint: str, *, now: float) -> Lease | None:
        """Take the canary out of traffic if its lease ran out, and free the endpoint."""
        if not self.endpoint_state(endpoint).is_unwatched(now):
            return None  # nothing is written, so that a full disk is no trouble
        with self._changed(endpoint) as (here, state):
            ended, share = state.lease, state.share
            if ended is None or not state.is_unwatched(now):
                return None
            state.percent = 0
            here.apply(state, lowers=True)
            state.keep(ended_by_reaper(endpoint, ended, now=now, end_id=uuid4().hex), share, state)
            state.holder, state.lease = None, leases.reaped(ended)
        return ended

    def clean_up(self, endpoint: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Stop servers that are neither stable nor canary, after their last request is answered."""
        here = self._endpoint(endpoint)
        here.drain(self.endpoint_state(endpoint))
        with self._file(endpoint).locked() as state:
            self._require(state, holder, lease)
            for version in idle(state):
                here.retire(state, version)
            return here.traffic(state)

    def current_lease(self, endpoint: str) -> Lease | None:
        """Return the last lease."""
        return self.endpoint_state(endpoint).lease

    def counters(self, endpoint: str) -> Counters:
        """Return predictions and errors per version since it was deployed."""
        state = self.endpoint_state(endpoint)
        stats = self._endpoint(endpoint).stats(state)
        counts = {
            v: replace(counted(stats[s.slot], s.baseline), generation=generation_of(s))
            for v, s in state.servers.items()
            if s.healthy
        }
        generation = f"{state.gateway.pid}-{state.gateway.started}" if state.gateway else ""
        if self.endpoint_state(endpoint).gateway != state.gateway:
            msg = f"gateway of {endpoint!r} was started again while its counters were read"
            raise ServiceUnavailableError(msg)
        return Counters(endpoint=endpoint, generation=generation, versions=counts)

    def answers(self, endpoint: str) -> dict[str, list[TimedAnswer]]:
        """Return each version's last predictions, oldest first, as far as the gateway's log holds them."""
        state = self.endpoint_state(endpoint)
        found: dict[tuple[str, int], list[TimedAnswer]] = {
            (s.slot, s.port): [] for s in state.servers.values() if s.healthy
        }
        for each in self._gateway(endpoint).answers() if state.gateway else ():
            if each.server in found:
                found[each.server].append(each)
        return {v: found[s.slot, s.port] for v, s in state.servers.items() if s.healthy}

    def url(self, endpoint: str) -> str:
        """Return the gateway's address for clients."""
        port = self.endpoint_state(endpoint).port
        if not port:
            msg = f"endpoint {endpoint!r} is not deployed below {self.state_dir}"
            raise ServiceUnavailableError(msg)
        return f"http://127.0.0.1:{port}"

    def stop_all(self) -> None:
        """Stop every gateway, its socket holder, and every model server below the state directory."""
        for path in self._state_files():
            with StateFile(path.parent, path.parent.name).locked() as state:
                for known in (state.gateway, *(server.process for server in state.servers.values())):
                    if known is not None:
                        known.stop()
                self._gateway(path.parent.name).listener.stop()

    def endpoint_state(self, endpoint: str) -> EndpointState:
        """Return what is recorded about an endpoint; empty if it was never deployed."""
        return self._file(endpoint).read()

    def _state_files(self) -> list[Path]:
        return sorted(self.state_dir.glob("*/state.json"))

    def _file(self, endpoint: str) -> StateFile:
        require_name("endpoint", endpoint)
        return StateFile(self.state_dir / endpoint, endpoint)

    def _gateway(self, endpoint: str) -> Gateway:
        return Gateway(self.state_dir / endpoint)

    @contextmanager
    def _changed(
        self, endpoint: str, *, late: Callable[[], object] | None = None
    ) -> Iterator[tuple[LocalEndpoint, EndpointState]]:
        """Yield an endpoint and its state under the lock; see :meth:`StateFile.locked`.

        :raises StateFileError: the state cannot be written; says so if the canary's share was lowered before.
        """
        here = self._endpoint(endpoint)
        try:
            with here.file.locked(late=late) as state:
                yield here, state
        except StateFileError as error:
            if not here.lowered:
                raise
            msg = f"the canary's share was lowered to {state.percent} %, but that is not stored: {error}"
            raise StateFileError(msg) from error

    def _drain_canary(self, endpoint: str) -> None:
        with suppress(ServiceUnavailableError):
            self._endpoint(endpoint).drain_canary(self.endpoint_state(endpoint))

    def _take_out(self, here: LocalEndpoint, state: EndpointState) -> None:
        """Lower the canary's share; a gateway that does not run answers nobody, and starts from the state."""
        try:
            here.apply(state, lowers=True)
        except ServiceUnavailableError:
            if state.gateway is not None and state.gateway.is_alive():
                raise

    def _renewed_claim(self, state: EndpointState, holder: str) -> Lease:
        now, share = time.time(), state.share
        state.lease = leases.claim(state.lease, state.holder, holder, state.endpoint, now=now, percent=share)
        return state.lease

    def _endpoint(self, endpoint: str) -> LocalEndpoint:
        return LocalEndpoint(
            self._file(endpoint),
            self._gateway(endpoint),
            self.log_dir,
            port=self.ports.get(endpoint),
            workers=self.workers,
            limits=self.limits,
        )

    def _require(
        self, state: EndpointState, holder: str, lease: Lease | None = None, *, canary: str | None = None
    ) -> None:
        if state == EndpointState(endpoint=state.endpoint):
            msg = (
                f"endpoint {state.endpoint!r} has no state below {self.state_dir}: deleted, or never deployed"
            )
            raise EndpointMissingError(msg)
        leases.require_claim(state.holder, holder, state.endpoint, current=state.lease, mine=lease)
        if canary is not None and state.canary != canary:
            msg = f"{state.endpoint}: version {canary} is not the canary ({state.canary or 'none'} is)"
            raise TrafficConflictError(msg)

    def _server(self, state: EndpointState, version: str) -> Server:
        server = state.servers.get(version)
        if server is None or not server.healthy:
            msg = f"{state.endpoint}: version {version} is not deployed; deployed: {', '.join(state.servers)}"
            raise TrafficConflictError(msg)
        if version == state.canary and not is_up(server):
            msg = f"{state.endpoint}: the server of version {version} died; it gets no more traffic"
            raise TrafficConflictError(msg)
        return server


def _require_ours(state: EndpointState, seen: Traffic, percent: int) -> None:
    """Refuse to overwrite weights that are neither the last written ones nor the wanted ones."""
    if state.moving or state.stable is None or seen.canary_percent in (state.percent, percent):
        return
    msg = (
        f"{state.endpoint}: canary gets {seen.canary_percent} %, last written was {state.percent} %; "
        "another process or a person changed it, nothing was overwritten"
    )
    raise TrafficConflictError(msg)
