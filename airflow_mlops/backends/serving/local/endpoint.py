"""One local endpoint: starts, weights, restarts and stops its gateway and model servers."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.identity import identity_of, require_same_model
from airflow_mlops.backends.serving.local.gateway import SERVER_SLOTS, UNUSED_PORT
from airflow_mlops.backends.serving.local.model_process import ModelProcesses, is_up
from airflow_mlops.backends.serving.local.state import Server
from airflow_mlops.backends.serving.protocol import Count, Traffic
from airflow_mlops.core.errors import (
    EndpointBusyError,
    InvalidConfigError,
    ServiceUnavailableError,
    StateFileError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_mlops.backends.metrics.haproxy import ServerStat
    from airflow_mlops.backends.serving.local.gateway import Gateway
    from airflow_mlops.backends.serving.local.process import Process
    from airflow_mlops.backends.serving.local.state import EndpointState, Limits, StateFile

_DRAIN_GRACE_SECONDS = 5.0
"""Beyond the gateway's own time-out, so that no request still running is cut off."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def require_name(what: str, name: str) -> None:
    """Refuse the name of an endpoint or a version that is no safe folder name.

    :raises InvalidConfigError: names it and what is allowed.
    """
    if not _NAME.fullmatch(name):
        msg = f"{what} {name!r}: letters, digits, '_', '-' and '.' are allowed, 64 at most"
        raise InvalidConfigError(msg)


class LocalEndpoint:
    """Operations on one endpoint; the caller holds its lock and writes the state afterwards.

    ``lowered``: whether the canary's share was lowered at the gateway, which holds also if the state is not
    written afterwards.

    :param port: the gateway's port; ``None``: the one it had, or a free one.
    :param workers: worker processes of a version's model server.
    :param limits: what the gateway allows a request; ``None``: what it did before.
    """

    def __init__(
        self,
        file: StateFile,
        gateway: Gateway,
        log_dir: Path,
        *,
        port: int | None = None,
        workers: int = 1,
        limits: Limits | None = None,
    ) -> None:
        self.file = file
        self.gateway = gateway
        self.log_dir = log_dir
        self.port = port
        self.workers = workers
        self.limits = limits
        self.lowered = False

    def revive(self, state: EndpointState) -> tuple[str, ...]:
        """Restart a gateway and a stable server that died, with the weights they had; return which."""
        back = self._revive_gateway(state) if state.servers else ()
        stable = state.servers.get(state.stable or "")
        if stable is not None and not (stable.healthy and is_up(stable)):
            self._launch(state, stable)
            back = (*back, f"version {stable.version}")
        if back or state.moving:
            self.apply(state)
        return back

    def start(
        self, state: EndpointState, version: str, model_dir: Path, *, still_wanted: Callable[[], object]
    ) -> None:
        """Start a version's server and give it a slot, out of traffic.

        Others may change the endpoint while its start is waited for: a stop does not wait for it.

        :param still_wanted: raises what ends the start.
        """
        require_name("version", version)
        self._revive_gateway(state)
        self._processes(state).keep_model(version, model_dir)
        known = state.servers.get(version)
        slot = known.slot if known else _free_slot(state)
        identity = identity_of(model_dir)
        server = Server(version=version, slot=slot, workers=self.workers, identity=identity)
        state.servers[version] = server

        def pause(seconds: float) -> None:
            with self.file.unlocked(state):
                time.sleep(seconds)
            still_wanted()

        self._launch(state, server, pause)
        if version == state.canary:
            state.percent = 0

    def serves(self, state: EndpointState, version: str, model_dir: Path) -> bool:
        """Say whether a version is up with this very model.

        :raises ModelReplacedError: it has another one under the same number, and gets requests.
        """
        server = state.servers.get(version)
        if server is None or not server.healthy or not is_up(server):
            return False
        wanted = identity_of(model_dir)
        known = server.identity or identity_of(self._processes(state).kept_model(version))
        if version == state.stable or (version == state.canary and state.percent):
            require_same_model(state.endpoint, version, known=known, wanted=wanted)
        return known == wanted or "" in (known, wanted)

    def stand_up(self, state: EndpointState, server: Server) -> None:
        """Restart a server that died while it was out of traffic."""
        if not is_up(server):
            self._launch(state, server)

    def apply(self, state: EndpointState, *, lowers: bool = False) -> Traffic:
        """Set the weights: raise first, drain after, so that capacity never falls in between.

        ``moving`` is written before: weights that a crash left half set are then known as our own and set
        again, not taken for an intervention. Taking the canary's requests needs no disk: nothing is written
        before, and after a crash the next rollback, or the reaper, sets the weights again.

        :param lowers: the canary's share does not rise.
        """
        state.moving = True
        if not lowers:
            self.file.write(state)
        elif state.percent:
            self._note(state)
        try:
            self._send(state)
        except ServiceUnavailableError:
            self._note(state)
            raise
        self.lowered = lowers
        state.moving = False
        return self.traffic(state)

    def _note(self, state: EndpointState) -> None:
        """Write the state if that is possible."""
        with suppress(StateFileError):
            self.file.write(state)

    def drain_canary(self, state: EndpointState) -> None:
        """Take the canary's requests at the gateway; needs neither lock nor disk.

        Without a lock another process may be making it the stable version: it is left alone unless another
        version gets requests, or none is to.
        """
        canary = state.servers.get(state.canary or "")
        seen = self.stats(state)
        others = sum(s.weight for slot, s in seen.items() if canary is None or slot != canary.slot)
        if canary is not None and (others or state.stable is None):
            self.gateway.set_weight(canary.slot, 0)

    def _send(self, state: EndpointState) -> None:
        wanted = {v: _weight(state, v) for v, server in state.servers.items() if server.healthy}
        for version, share in sorted(wanted.items(), key=lambda item: -item[1]):
            self.gateway.set_weight(state.servers[version].slot, share)

    def traffic(self, state: EndpointState) -> Traffic:
        """Return what the gateway does now."""
        stats = self.stats(state)
        weights = {v: stats[server.slot].weight for v, server in state.servers.items()}
        total = sum(weights.values())
        return Traffic(
            endpoint=state.endpoint,
            stable=state.stable,
            canary=state.canary,
            canary_percent=round(100 * weights.get(state.canary or "", 0) / total) if total else 0,
            holder=state.holder,
        )

    def stats(self, state: EndpointState) -> dict[str, ServerStat]:
        """Return what the gateway counted per slot; nothing of an endpoint that has no servers yet.

        :raises ServiceUnavailableError: the gateway does not answer, or is just being started again.
        """
        if state.gateway is None and state.servers:
            msg = f"gateway of {state.endpoint!r} is not back yet"
            raise ServiceUnavailableError(msg)
        return self.gateway.stats() if state.gateway else {}

    def drain(self, state: EndpointState) -> None:
        """Wait until idle versions have answered their last request; needs no lock."""
        slots = [state.servers[version].slot for version in idle(state)]
        deadline = time.monotonic() + state.limits.timeout_seconds + _DRAIN_GRACE_SECONDS
        while slots and self._busy(slots) and time.monotonic() < deadline:
            time.sleep(0.1)

    def retire(self, state: EndpointState, version: str) -> None:
        """Stop a version's server and free its slot."""
        server = state.servers[version]
        self.gateway.vacate(server.slot)
        self._processes(state).end(server)
        del state.servers[version]

    def _busy(self, slots: list[str]) -> bool:
        stats = self.gateway.stats()
        return any(stats[slot].current for slot in slots)

    def _processes(
        self, state: EndpointState, pause: Callable[[float], object] = time.sleep
    ) -> ModelProcesses:
        return ModelProcesses(
            self.file, self.log_dir, meanwhile=lambda: self._revive_gateway(state), pause=pause
        )

    def _revive_gateway(self, state: EndpointState) -> tuple[str, ...]:
        """Start the gateway if it does not run; its weights are set before it accepts a connection.

        Another program may listen on a dead server's port by now. Its slot points at an unused port until
        it is restarted: its requests fail over, and count as its errors.
        """
        if state.gateway is not None and state.gateway.is_alive():
            return ()
        state.gateway = None  # written before it starts: no reader takes its counters for the old one's
        self.file.write(state)
        slots = {
            server.slot: (
                server.port if is_up(server) else UNUSED_PORT,
                _weight(state, version) if server.healthy else 0,
            )
            for version, server in state.servers.items()
        }
        state.limits = self.limits or state.limits
        state.gateway, state.port = self._listening(state.port, slots, state.limits)
        for server in state.servers.values():
            server.baseline = Count()
        self.file.write(state)
        self.apply(state)
        return ("gateway",)

    def _listening(
        self, known: int, slots: dict[str, tuple[int, int]], limits: Limits
    ) -> tuple[Process, int]:
        if self.port:
            return self.gateway.start(self.port, slots, limits)
        try:
            return self.gateway.start(known, slots, limits)
        except InvalidConfigError:
            return self.gateway.start(0, slots, limits)

    def _launch(
        self, state: EndpointState, server: Server, pause: Callable[[float], object] = time.sleep
    ) -> None:
        self._processes(state, pause).launch(state, server)
        self.gateway.assign(server.slot, server.port)
        server.baseline = counted(self.gateway.stats()[server.slot], Count())
        server.healthy = True


def idle(state: EndpointState) -> list[str]:
    """Return versions that are neither stable nor canary."""
    return [version for version in state.servers if version not in (state.stable, state.canary)]


def counted(stat: ServerStat, baseline: Count) -> Count:
    """Return what a slot counted since its version was assigned to it."""
    return Count(
        requests=stat.requests - baseline.requests,
        errors=stat.errors - baseline.errors,
        client_errors=stat.client_errors - baseline.client_errors,
    )


def generation_of(server: Server) -> str:
    """Return the generation of a server's counters: it changes with each start of its process."""
    return f"{server.process.pid}-{server.process.started}" if server.process else ""


def _weight(state: EndpointState, version: str) -> int:
    """Return the weight that a version should have, 0 to 100."""
    if version == state.canary:
        return state.percent
    return 100 - state.percent if version == state.stable else 0


def _free_slot(state: EndpointState) -> str:
    """Return a slot that no version has.

    :raises EndpointBusyError: all are in use.
    """
    used = {server.slot for server in state.servers.values()}
    for slot in SERVER_SLOTS:
        if slot not in used:
            return slot
    in_use = f"all {len(SERVER_SLOTS)} slots are in use ({', '.join(state.servers)})"
    msg = f"{state.endpoint}: {in_use}; clean up first"
    raise EndpointBusyError(msg)
