"""NewPartitionTrigger: waits on the triggerer for new partitions of a dataset."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_mlops.core.data.partitions import Contents, PartitionWait, complete_partitions
from airflow_mlops.hooks.storage import filesystem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fsspec import AbstractFileSystem


def partition_contents(
    uri: str, wait: PartitionWait, filesystem: AbstractFileSystem | None
) -> dict[str, Contents]:
    """List the wanted partitions; empty while the storage does not answer, so that it is asked again."""
    from airflow_mlops.backends.profiling.files.partition_files import list_contents

    try:
        return list_contents(uri, wait, filesystem)
    except (ConnectionError, TimeoutError, FileNotFoundError):
        return {}


class NewPartitionTrigger(BaseTrigger):
    """Lists the dataset at intervals and fires one event with the complete partitions.

    The decision is :func:`~airflow_mlops.core.data.partitions.complete_partitions`. The trigger keeps no
    state: restarted from its arguments it needs one listing more.

    :param arrival: a ``PartitionWait`` as JSON.
    """

    def __init__(self, *, uri: str, arrival: dict[str, Any], poll_seconds: float) -> None:
        super().__init__()
        self.uri = uri
        self.arrival = arrival
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments to rebuild this trigger from."""
        kwargs = ("uri", "arrival", "poll_seconds")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in kwargs}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the list of partition keys, once; empty at the deadline."""
        wait, before = PartitionWait.from_json(self.arrival), dict[str, Contents]()
        filesystem = await sync_to_async(filesystem_of)(self.uri)
        while True:
            current = await asyncio.to_thread(partition_contents, self.uri, wait, filesystem)
            complete = complete_partitions(wait, before, current, now=time.time())
            if complete is not None:
                yield TriggerEvent(list(complete))
                return
            before = current
            await asyncio.sleep(self.poll_seconds)
