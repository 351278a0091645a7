"""State of one local endpoint on disk: a JSON file that any process reads and one at a time writes."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.local.process import Process
from airflow_mlops.backends.serving.protocol import Count
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Server(Record):
    """One version's model server.

    Written before the process is started (``process`` is ``None``), again when it runs, and marked
    ``healthy`` once it answered.

    :param workers: worker processes; of two or more, the death of one does not affect new requests.
    :param baseline: the slot's counts when the version was assigned to it.
    """

    version: str
    slot: str
    port: int = 0
    workers: int = 1
    process: Process | None = None
    healthy: bool = False
    baseline: Count = field(default_factory=Count)


@dataclass(slots=True, kw_only=True)
class EndpointState(Record):
    """Everything needed to find, check and rebuild an endpoint.

    :param moving: whether weights were being set when this was written; if the lock is free, the process
        that set them died.
    :param lease: until when the canary may get requests without being analysed; ``None``: without limit.
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


class StateFile:
    """A JSON file with a lock beside it; the lock dies with the process that held it."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self._path = folder / "state.json"

    def read(self) -> EndpointState:
        """Return the last written state, an empty one if there is none.

        :raises InvalidRecordError: something else wrote the file.
        """
        try:
            return EndpointState.from_json(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return EndpointState(endpoint=self.endpoint)
        except ValueError as error:
            msg = f"{self._path}: no state of an endpoint: {error}"
            raise InvalidRecordError(msg) from error

    def write(self, state: EndpointState) -> None:
        """Replace the state atomically: neither a reader nor a crash leaves half of it."""
        fresh = self._path.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(state.to_json(), indent=1))
        fresh.replace(self._path)

    @contextmanager
    def locked(self) -> Iterator[EndpointState]:
        """Yield the state under the lock; it is written back when the block ends without an error."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.read()
            yield state
            self.write(state)
