"""NewPartitionTrigger: watches a dataset for new partitions on the triggerer."""

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
    uri: str, arrival: PartitionWait, filesystem: AbstractFileSystem | None
) -> dict[str, Contents]:
    """List the wanted partitions; a storage that does not answer this time is asked again later."""
    from airflow_mlops.backends.profiling.files import partition_files as contents

    try:
        return contents.look(uri, arrival, filesystem)
    except (ConnectionError, TimeoutError, FileNotFoundError):
        return {}


class NewPartitionTrigger(BaseTrigger):
    """Lists the dataset at intervals, asks the core, and fires one event with the partitions that arrived.

    It holds no policy; started again from its arguments it needs one look more.

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
        arrival, before = PartitionWait.from_json(self.arrival), dict[str, Contents]()
        filesystem = await sync_to_async(filesystem_of)(self.uri)
        while True:
            current = await asyncio.to_thread(partition_contents, self.uri, arrival, filesystem)
            arrived = complete_partitions(arrival, before, current, now=time.time())
            if arrived is not None:
                yield TriggerEvent(list(arrived))
                return
            before = current
            await asyncio.sleep(self.poll_seconds)
