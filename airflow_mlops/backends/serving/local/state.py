"""State of one local endpoint on disk: any process can find it, one at a time can change it."""

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

    :param workers: processes that answer; of two or more, the death of one is not seen by new requests.
    :param baseline: the slot's counts when the version moved in.
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
    """Everything to find, judge and rebuild an endpoint.

    :param moving: whether weights were being set when this was written; if nobody holds the lock, whoever
        set them died.
    :param lease: how long the canary may get requests without being watched; ``None``: for ever.
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
        """Replace the state in one step, so that a reader or a crash never meets half of it."""
        fresh = self._path.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(state.to_json(), indent=1))
        fresh.replace(self._path)

    @contextmanager
    def locked(self) -> Iterator[EndpointState]:
        """Yield the state while nobody else can change it; written back when the block ends well."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.read()
            yield state
            self.write(state)
