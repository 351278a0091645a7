"""State of one local endpoint on disk: a JSON file that any process reads and one at a time writes."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.local.process import Process
from airflow_mlops.backends.serving.protocol import Count
from airflow_mlops.core.errors import InvalidRecordError, StateFileError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.end import RolloutEnd, as_found, with_pending
from airflow_mlops.core.rollout.lease import Lease, must_stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PATIENCE_SECONDS = 1.0
_POLL_SECONDS = 0.02


@dataclass(slots=True, kw_only=True)
class Server(Record):
    """One version's model server.

    Written before the process is started (``process`` is ``None``), again when it runs, and marked
    ``healthy`` once it answered.

    :param workers: worker processes; of two or more, the death of one does not affect new requests.
    :param baseline: the slot's counts when the version was assigned to it.
    :param identity: of the model that it serves; empty: not recorded.
    """

    version: str
    slot: str
    port: int = 0
    workers: int = 1
    process: Process | None = None
    healthy: bool = False
    baseline: Count = field(default_factory=Count)
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Record):
    """What a gateway allows a request; they hold from the gateway's next start on.

    :param timeout_seconds: longest time that a model server may take to answer; then the client gets a 504.
    :param max_body_mb: largest body in 10^6 bytes; the gateway answers a larger one with 413.
    """

    timeout_seconds: float = 10.0
    max_body_mb: float = 10.0


@dataclass(slots=True, kw_only=True)
class EndpointState(Record):
    """Everything needed to find, check and rebuild an endpoint.

    :param moving: whether weights were being set when this was written; if the lock is free, the process
        that set them died.
    :param lease: until when the canary may get requests without being analysed; ``None``: without limit.
    :param ends: ends of rollouts that no ledger has yet.
    """

    endpoint: str
    port: int = 0
    gateway: Process | None = None
    servers: dict[str, Server] = field(default_factory=dict)
    stable: str | None = None
    canary: str | None = None
    percent: int = 0
    moving: bool = False
    holder: str | None = None
    lease: Lease | None = None
    ends: tuple[RolloutEnd, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def share(self) -> int:
        """The canary's share of requests as last written, 0 to 100."""
        return 100 if self.stable is None and self.percent else self.percent

    def is_unwatched(self, now: float) -> bool:
        """Say whether the reaper has to stop the canary: while weights are set it may have requests."""
        share = self.percent or int(self.moving)
        return None not in (self.lease, self.stable) and must_stop(self.lease, share, now=now)

    def keep(self, end: RolloutEnd | None, percent: int, found: EndpointState) -> None:
        """Keep the end of a rollout until the ledger has it, with the endpoint as it was found."""
        if end is not None:
            filled = as_found(
                end, version=found.canary, champion=found.stable, percent=percent, holder=found.holder
            )
            self.ends = with_pending(self.ends, filled)

    def follow(self, written: EndpointState) -> None:
        """Become what others wrote meanwhile; servers that are still there stay the same objects."""
        known, fresh = self.servers, written.servers
        for version in known.keys() & fresh.keys():
            _copy(fresh[version], known[version])
        _copy(written, self)
        self.servers = {version: known.get(version, server) for version, server in fresh.items()}


def _copy(source: Record, target: Record) -> None:
    for each in fields(source):  # type: ignore[arg-type]
        setattr(target, each.name, getattr(source, each.name))


class StateFile:
    """A JSON file with a lock beside it; the lock dies with the process that held it."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self._path = folder / "state.json"
        self._held: int | None = None

    def exists(self) -> bool:
        """Say whether a state was ever written."""
        return self._path.exists()

    def read(self) -> EndpointState:
        """Return the last written state, an empty one if there is none.

        :raises InvalidRecordError: something else wrote the file.
        :raises StateFileError: it cannot be read.
        """
        try:
            return EndpointState.from_json(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return EndpointState(endpoint=self.endpoint)
        except OSError as error:
            msg = f"{self._path}: cannot be read: {error}"
            raise StateFileError(msg) from error
        except ValueError as error:
            msg = f"{self._path}: no state of an endpoint: {error}"
            raise InvalidRecordError(msg) from error

    def write(self, state: EndpointState) -> None:
        """Replace the state atomically: neither a reader nor a crash leaves half of it.

        :raises StateFileError: it cannot be written; the state before is still there.
        """
        fresh = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            fresh.write_text(json.dumps(state.to_json(), indent=1))
            fresh.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            msg = f"{self._path}: cannot be written: {error}"
            raise StateFileError(msg) from error

    @contextmanager
    def locked(self, *, late: Callable[[], object] | None = None) -> Iterator[EndpointState]:
        """Yield the state under the lock; it is written back when the block ends without an error.

        :param late: called once if another process keeps the lock for longer than a second.
        :raises StateFileError: the state cannot be read or written.
        """
        lock = self._open_lock()
        try:
            _acquire(lock, late)
            self._held = lock
            state = self.read()
            yield state
            self.write(state)
        finally:
            self._held = None
            os.close(lock)

    @contextmanager
    def unlocked(self, state: EndpointState) -> Iterator[None]:
        """Let others change the written state during a block; ``state`` then is what they wrote.

        Without the lock held by this object nothing happens.
        """
        if self._held is None:
            yield
            return
        fcntl.flock(self._held, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._held, fcntl.LOCK_EX)
            state.follow(self.read())

    def _open_lock(self) -> int:
        """Open the lock for reading only: it can be locked on a disk that is full or read-only."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return os.open(self.folder / "lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            msg = f"{self.folder}: cannot be locked: {error}"
            raise StateFileError(msg) from error


def _acquire(lock: int, late: Callable[[], object] | None) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while late is not None and time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_POLL_SECONDS)
    if late is not None:
        late()
    fcntl.flock(lock, fcntl.LOCK_EX)
