"""Serving on one machine: HAProxy in front of one MLflow scoring process per version."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.endpoint_state import EndpointState, Server, StateFile
from airflow_mlops.backends.serving.gateway import SLOTS, Gateway
from airflow_mlops.backends.serving.leases import LocalLeases
from airflow_mlops.backends.serving.model_process import ModelProcesses, free_port, is_up
from airflow_mlops.backends.serving.protocol import Count, Counters, Traffic
from airflow_mlops.core.errors import (
    EndpointBusyError,
    InvalidConfigError,
    ServiceUnavailableError,
    TrafficConflictError,
)
from airflow_mlops.core.rollout.lease import Lease, fence, must_stop, reaped, release
from airflow_mlops.core.rollout.plan import require_percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.backends.metrics.haproxy import ServerStat

DRAIN_SECONDS = 5.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class LocalServing(LocalLeases):
    """Implements :class:`~airflow_mlops.backends.serving.protocol.ServingBackend` on this machine.

    Gateway and model servers outlive the task that starts them; all state lies below ``state_dir``.

    :param ports: gateway port per endpoint; a free one is chosen, and kept, for the others.
    """

    def __init__(
        self, state_dir: Path, *, ports: Mapping[str, int] | None = None, log_dir: Path | None = None
    ) -> None:
        self.state_dir = Path(state_dir).absolute()
        self.ports = dict(ports or {})
        self.log_dir = (log_dir or self.state_dir / "inference_log").absolute()

    def claim(self, endpoint: str, holder: str) -> None:
        """Take the endpoint and bring back what of it has died since."""
        with self._file(endpoint).locked() as state:
            if state.holder not in (None, holder):
                raise EndpointBusyError(_busy(state, holder))
            state.holder = holder
            self._revive(state)

    def release(self, endpoint: str, holder: str) -> None:
        """Give the endpoint back; its lease ends."""
        with self._file(endpoint).locked() as state:
            if state.holder == holder:
                state.holder = None
                state.lease = state.lease and release(state.lease, state.lease, now=time.time())

    def deploy(self, endpoint: str, version: str, model_dir: Path, *, holder: str) -> Traffic:
        """Start a version out of traffic; at once if it is up already."""
        with self._file(endpoint).locked() as state:
            self._require(state, holder)
            self._revive(state)
            server = state.servers.get(version)
            if server is None or not server.healthy or not is_up(server):
                self._start(state, version, Path(model_dir))
            if version != state.stable:
                state.canary = version
            return self._traffic(state)

    def traffic(self, endpoint: str) -> Traffic:
        """Return what the gateway does now."""
        return self._traffic(self._file(endpoint).read())

    def set_traffic(
        self, endpoint: str, version: str, percent: int, *, holder: str, lease: Lease | None = None
    ) -> Traffic:
        """Set the canary's weight unless somebody else changed the weights meanwhile."""
        require_percent(percent)
        with self._file(endpoint).locked() as state:
            self._require(state, holder, lease, canary=version)
            seen = self._traffic(state)
            if state.stable is not None and seen.canary_percent not in (state.percent, percent):
                raise TrafficConflictError(_intervened(seen, state.percent))
            state.percent = percent
            return self._apply(state)

    def promote(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Give all requests to a version that is up; the one before is drained and stays up."""
        with self._file(endpoint).locked() as state:
            self._require(state, holder, lease)
            if version != state.stable:
                self._server(state, version)
                state.stable, state.canary, state.percent = version, None, 0
            return self._apply(state)

    def roll_back(self, endpoint: str, version: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Take the canary out of traffic."""
        with self._file(endpoint).locked() as state:
            self._require(state, holder, lease)
            if version == state.canary:
                state.canary, state.percent = None, 0
            return self._apply(state)

    def stop_unwatched(self, endpoint: str, *, now: float) -> Lease | None:
        """Take the canary out of traffic if its lease ran out."""
        with self._file(endpoint).locked() as state:
            ended = state.lease
            if None in (ended, state.stable) or not must_stop(ended, state.percent, now=now):
                return None
            state.percent, state.lease = 0, ended and reaped(ended)
            self._apply(state)
            return ended

    def clean_up(self, endpoint: str, *, holder: str, lease: Lease | None = None) -> Traffic:
        """Stop servers that have no role, after their last request is answered."""
        with self._file(endpoint).locked() as state:
            self._require(state, holder, lease)
            for version in [v for v in state.servers if v not in (state.stable, state.canary)]:
                self._retire(state, version)
            return self._traffic(state)

    def counters(self, endpoint: str) -> Counters:
        """Return requests and errors per version since it was deployed."""
        state = self._file(endpoint).read()
        stats = self._gateway(endpoint).stats()
        counts = {
            v: replace(_count(stats[s.slot], s.baseline), generation=_life(s))
            for v, s in state.servers.items()
            if s.healthy
        }
        generation = f"{state.gateway.pid}-{state.gateway.started}" if state.gateway else ""
        return Counters(endpoint=endpoint, generation=generation, versions=counts)

    def url(self, endpoint: str) -> str:
        """Return the gateway's address for clients."""
        port = self._file(endpoint).read().port
        if not port:
            msg = f"endpoint {endpoint!r} is not deployed below {self.state_dir}"
            raise ServiceUnavailableError(msg)
        return f"http://127.0.0.1:{port}"

    def stop_all(self) -> None:
        """Stop every gateway and model server recorded below the state directory."""
        for path in sorted(self.state_dir.glob("*/state.json")):
            with StateFile(path.parent, path.parent.name).locked() as state:
                for known in (state.gateway, *(server.process for server in state.servers.values())):
                    if known is not None:
                        known.stop()

    def _file(self, endpoint: str) -> StateFile:
        if not NAME.fullmatch(endpoint):
            msg = f"endpoint {endpoint!r}: letters, digits, '_', '-' and '.' are allowed, 64 at most"
            raise InvalidConfigError(msg)
        return StateFile(self.state_dir / endpoint, endpoint)

    def _gateway(self, endpoint: str) -> Gateway:
        return Gateway(self.state_dir / endpoint)

    def _require(
        self, state: EndpointState, holder: str, lease: Lease | None = None, *, canary: str | None = None
    ) -> None:
        if state.holder != holder:
            raise EndpointBusyError(_busy(state, holder))
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
        return server

    def _traffic(self, state: EndpointState) -> Traffic:
        weights = self._weights(state)
        total = sum(weights.values())
        percent = round(100 * weights.get(state.canary or "", 0) / total) if total else 0
        return Traffic(
            endpoint=state.endpoint,
            stable=state.stable,
            canary=state.canary,
            canary_percent=percent,
            holder=state.holder,
        )

    def _weights(self, state: EndpointState) -> dict[str, int]:
        if state.gateway is None:
            return {}
        stats = self._gateway(state.endpoint).stats()
        return {version: stats[server.slot].weight for version, server in state.servers.items()}

    def _apply(self, state: EndpointState) -> Traffic:
        """Set weights so that no moment has less capacity than before: raise first, drain after."""
        gateway = self._gateway(state.endpoint)
        wanted = {
            version: _weight(state, version) for version in state.servers if state.servers[version].healthy
        }
        for version, weight in sorted(wanted.items(), key=lambda item: -item[1]):
            gateway.set_weight(state.servers[version].slot, weight)
        return self._traffic(state)

    def _revive(self, state: EndpointState) -> None:
        """Bring back a gateway and a stable server that died, with the weights they had."""
        gateway = self._gateway(state.endpoint)
        if state.gateway is None or not state.gateway.is_alive():
            state.port = state.port or self.ports.get(state.endpoint) or free_port()
            state.gateway = gateway.start(state.port)
            for server in state.servers.values():
                server.baseline = Count()
                gateway.assign(server.slot, server.port)
            self._apply(state)
        stable = state.servers.get(state.stable or "")
        if stable is not None and not is_up(stable):
            self._launch(state, stable)
            self._apply(state)

    def _start(self, state: EndpointState, version: str, model_dir: Path) -> None:
        if not NAME.fullmatch(version):
            msg = f"version {version!r}: letters, digits, '_', '-' and '.' are allowed"
            raise InvalidConfigError(msg)
        self._processes(state).keep_model(version, model_dir)
        known = state.servers.get(version)
        server = Server(version=version, slot=known.slot if known else _free_slot(state))
        state.servers[version] = server
        self._launch(state, server)

    def _launch(self, state: EndpointState, server: Server) -> None:
        gateway = self._gateway(state.endpoint)
        self._processes(state).launch(state, server)
        gateway.assign(server.slot, server.port)
        server.baseline = _count(gateway.stats()[server.slot], Count())
        server.healthy = True

    def _processes(self, state: EndpointState) -> ModelProcesses:
        return ModelProcesses(self._file(state.endpoint), self.log_dir)

    def _retire(self, state: EndpointState, version: str) -> None:
        server, gateway = state.servers[version], self._gateway(state.endpoint)
        deadline = time.monotonic() + DRAIN_SECONDS
        gateway.set_weight(server.slot, 0)
        while gateway.stats()[server.slot].current and time.monotonic() < deadline:
            time.sleep(0.1)
        gateway.vacate(server.slot)
        self._processes(state).end(server)
        del state.servers[version]


def _weight(state: EndpointState, version: str) -> int:
    if version == state.canary:
        return state.percent
    return 100 - state.percent if version == state.stable else 0


def _count(stat: ServerStat, baseline: Count) -> Count:
    return Count(requests=stat.requests - baseline.requests, errors=stat.errors - baseline.errors)


def _life(server: Server) -> str:
    return f"{server.process.pid}-{server.process.started}" if server.process else ""


def _free_slot(state: EndpointState) -> str:
    used = {server.slot for server in state.servers.values()}
    for slot in SLOTS:
        if slot not in used:
            return slot
    msg = f"{state.endpoint}: all {len(SLOTS)} slots are in use ({', '.join(state.servers)}); clean up first"
    raise EndpointBusyError(msg)


def _busy(state: EndpointState, holder: str) -> str:
    return f"endpoint {state.endpoint!r} is held by {state.holder or 'nobody'}, not by {holder}"


def _intervened(seen: Traffic, written: int) -> str:
    return (
        f"{seen.endpoint}: canary gets {seen.canary_percent} %, last written was {written} %; "
        "somebody changed it, nothing was overwritten"
    )
