"""NewPartitionSensor: waits for a partition that was neither announced nor profiled yet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_mlops.assets import announce
from airflow_mlops.core.data.partitions import Complete, Contents, PartitionWait, complete_partitions
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.storage import filesystem_of
from airflow_mlops.runtime.evidence import evidence_key
from airflow_mlops.runtime.failure import fail_fast
from airflow_mlops.runtime.profiles import mark_announced, newest_announced, profiled_partitions
from airflow_mlops.triggers.data import NewPartitionTrigger, partition_contents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class NewPartitionSensor(BaseOperator):
    """Waits for complete partitions newer than the newest that was announced or profiled.

    Returns their keys, at most 100, ascending, and adds them as partitions to the events of its outlets, the
    oldest first. What it announced is recorded beside the model's evidence, so that it announces it once. A
    partition is complete according to ``complete``: ``stable``, number and size of its files were the same
    in two consecutive listings; ``marker``, its directory has a file ``_SUCCESS`` (a partition of one file
    has no directory); ``present``, there is a data file.

    :param model: model whose stored profiles, beside the announcements, tell what is known. Templated.
    :param uri: dataset. Templated.
    :param partition: wait for this one, profiled or not. Templated.
    :param after: wait for one newer than this key instead of the newest known. Templated.
    :param poll_seconds: time between two listings.
    :param timeout_seconds: time after which the task fails without a retry.
    :param soft_fail: skip instead.
    :param deferrable: wait on the triggerer; otherwise on the worker, with the same decision function.
    """

    template_fields: Sequence[str] = ("model", "uri", "partition", "after")
    ui_color = "#cfe2f3"

    def __init__(
        self,
        *,
        model: str,
        uri: str,
        partition: str = "",
        after: str | None = None,
        complete: str = Complete.STABLE,
        poll_seconds: float = 60.0,
        timeout_seconds: float = 86400.0,
        deferrable: bool = True,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        self.soft_fail = bool(kwargs.pop("soft_fail", False))
        super().__init__(**kwargs)
        self.model = model
        self.uri = uri
        self.partition = partition
        self.after = after
        self.complete = complete
        self.poll_seconds = poll_seconds
        self.timeout_seconds = timeout_seconds
        self.deferrable = deferrable
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> list[str]:
        """Wait, on the triggerer or here."""
        with fail_fast():
            wait = self._partition_wait(context)
            filesystem_of(self.uri)
        if self.deferrable:
            trigger = NewPartitionTrigger(
                uri=self.uri, arrival=wait.to_json(), poll_seconds=self.poll_seconds
            )
            self.defer(trigger=trigger, method_name="execute_complete")
        return self.execute_complete(context, self._wait(wait))

    def execute_complete(self, context: Context, event: list[str]) -> list[str]:
        """Add the partitions to the outlets' events and return them, or fail or skip at the deadline."""
        if not event:
            wanted = self.partition or "new partition"
            msg = f"{self.uri}: no complete {wanted} after {self.timeout_seconds:g} s; "
            msg += f"complete: {self.complete}"
            raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(msg)
        if self.outlets and not self.partition:
            store = MlflowHook(self.mlflow_conn_id).evidence()
            mark_announced(store, evidence_key(self.model, context), self.uri, max(event))
        announce(context, self.outlets, event)
        self.log.info("arrived: %s", ", ".join(event))
        return list(event)

    def _partition_wait(self, context: Context) -> PartitionWait:
        after = self.after
        if after is None and not self.partition:
            store = MlflowHook(self.mlflow_conn_id).evidence()
            mine = evidence_key(self.model, context)
            announced = newest_announced(store, self.model, self.uri, mine)
            after = max([*profiled_partitions(store, self.model, self.uri), announced])
        deadline = time.time() + self.timeout_seconds
        return PartitionWait(
            partition=self.partition, after=after or "", complete=self.complete, deadline=deadline
        )

    def _wait(self, wait: PartitionWait) -> list[str]:
        filesystem, before = filesystem_of(self.uri), dict[str, Contents]()
        while True:
            current = partition_contents(self.uri, wait, filesystem)
            complete = complete_partitions(wait, before, current, now=time.time())
            if complete is not None:
                return list(complete)
            before = current
            time.sleep(self.poll_seconds)
