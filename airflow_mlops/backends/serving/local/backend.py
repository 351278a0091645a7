"""Serving on one machine: HAProxy in front of MLflow scoring processes, one server per version."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

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
from airflow_mlops.backends.serving.protocol import Counters, Traffic
from airflow_mlops.core.errors import EndpointMissingError, ServiceUnavailableError, TrafficConflictError
from airflow_mlops.core.rollout.lease import (
    Lease,
    acquire,
    fence,
    must_stop,
    reaped,
    release,
    renew,
    require_holder,
)
from airflow_mlops.core.rollout.plan import require_percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.backends.metrics.haproxy import TimedAnswer


class LocalServing:
    """Implements :class:`~airflow_mlops.backends.serving.protocol.ServingBackend` on this machine.

    Gateway and model servers outlive the task that starts them; all state lies below ``state_dir``.

    :param ports: gateway port per endpoint; endpoints without one get a free port and keep it.
    :param workers: worker processes of each version's model server.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        ports: Mapping[str, int] | None = None,
        log_dir: Path | None = None,
        workers: int = 1,
    ) -> None:
        self.state_dir = Path(state_dir).absolute()
        self.ports = dict(ports or {})
        self.workers = workers
        self.log_dir = (log_dir or self.state_dir / "inference_log").absolute()

    def claim(self, endpoint: str, holder: str) -> None:
        """Claim the endpoint and restart those of its processes that died."""
        with self._file(endpoint).locked() as state:
            if state.holder is not None:
                require_holder(state.holder, holder, endpoint)
            state.holder = holder
            self._endpoint(endpoint).revive(state)

    def revive(self, endpoint: str) -> tuple[str, ...]:
        """Restart a gateway and a stable server that died, without a claim; return which."""
        with self._file(endpoint).locked() as state:
            return self._endpoint(endpoint).revive(state)

    def release(self, endpoint: str, holder: str) -> None:
        """Release the endpoint; its lease ends."""
        with self._file(endpoint).locked() as state:
            if state.holder == holder:
                state.holder = None
                state.lease = state.lease and release(state.lease, state.lease, now=time.time())

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
            require_holder(state.holder, holder, endpoint)
            state.lease = acquire(state.lease, holder, now=now, seconds=seconds, living=living)
            return state.lease

    def keep_lease(self, endpoint: str, mine: Lease, *, now: float, seconds: float) -> Lease:
        """Renew the lease.

        :raises LeaseLostError: it ran out, or a later copy of the rollout took over.
        """
        with self._file(endpoint).locked() as state:
            state.lease = renew(state.lease, mine, now=now, seconds=seconds)
            return state.lease

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start a version out of traffic; nothing is started if it is up already."""
        with self._file(endpoint).locked() as state:
            self._require(state, holder)
            here = self._endpoint(endpoint)
            here.revive(state)
            server = state.servers.get(version)
            if server is None or not server.healthy or not is_up(server):
                here.start(state, version, Path(model_dir))
            if version != state.stable:
                state.canary = version
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
        with self._file(endpoint).locked() as state:
            self._require(state, holder, lease, canary=version)
            if percent:
                self._server(state, version)
            here = self._endpoint(endpoint)
            seen = here.traffic(state)
            ours = state.moving or state.stable is None or seen.canary_percent in (state.percent, percent)
            if not ours:
                msg = (
                    f"{endpoint}: canary gets {seen.canary_percent} %, last written was {state.percent} %; "
                    "another process or a person changed it, nothing was overwritten"
                )
                raise TrafficConflictError(msg)
            state.percent = percent
            return here.apply(state)

    def promote(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Give all requests to a version that is up; the version before is drained and stays up."""
        with self._file(endpoint).locked() as state:
            self._require(state, holder, lease)
            if version != state.stable:
                server = self._server(state, version)
                self._endpoint(endpoint).stand_up(state, server)
                state.stable, state.canary = version, None
                state.percent = 0
            return self._endpoint(endpoint).apply(state)

    def roll_back(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Take the canary out of traffic."""
        with self._file(endpoint).locked() as state:
            self._require(state, holder, lease)
            if version == state.canary:
                state.canary, state.percent = None, 0
            return self._endpoint(endpoint).apply(state)

    def stop_unwatched(self, endpoint: str, *, now: float) -> Lease | None:
        """Take the canary out of traffic if its lease ran out."""
        with self._file(endpoint).locked() as state:
            ended = state.lease
            share = state.percent or int(state.moving)  # while weights are set it may still have requests
            if None in (ended, state.stable) or not must_stop(ended, share, now=now):
                return None
            state.percent = 0
            self._endpoint(endpoint).apply(state)
            state.lease = ended and reaped(ended)
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

    def counters(self, endpoint: str) -> Counters:
        """Return requests and errors per version since it was deployed."""
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
        """Return the last answers of each version, oldest first, as far as the gateway's log holds them."""
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

    def _endpoint(self, endpoint: str) -> LocalEndpoint:
        return LocalEndpoint(
            self._file(endpoint),
            self._gateway(endpoint),
            self.log_dir,
            port=self.ports.get(endpoint),
            workers=self.workers,
        )

    def _require(
        self, state: EndpointState, holder: str, lease: Lease | None = None, *, canary: str | None = None
    ) -> None:
        if state == EndpointState(endpoint=state.endpoint):
            msg = (
                f"endpoint {state.endpoint!r} has no state below {self.state_dir}: deleted, or never deployed"
            )
            raise EndpointMissingError(msg)
        require_holder(state.holder, holder, state.endpoint)
        if lease is not None:
            fence(state.lease, lease)
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
