"""ModelRegistryTrigger: starts DAGs on changes of a registered model, as the trigger of an asset watcher."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_mlops.core.errors import InvalidConfigError, TransientError
from airflow_mlops.hooks.mlflow import MlflowHook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_mlops.backends.registry.registry_watch import RegistrySnapshot

_ALIAS, _VERSION = "alias", "version"


class ModelRegistryTrigger(BaseEventTrigger):
    """Polls MLflow and fires one event per moved alias and per new version.

    An event has ``model``, ``change`` and either ``version``, or ``alias`` with ``from`` and ``to``
    (``None`` for no version). Delivery is at least once: the last snapshot is kept in the asset's state
    store, so changes while the triggerer was down are reported afterwards. Of several moves of an alias
    between two polls only the net change is reported. While MLflow does not answer, the trigger waits. Only
    the connection's id is serialised.

    :param model: registered model; it may be registered later.
    :param on: ``alias``, ``version`` or both.
    :param poll_seconds: pause between two polls, at least 1.
    """

    def __init__(
        self,
        *,
        model: str,
        mlflow_conn_id: str = "mlflow_default",
        on: Sequence[str] = (_ALIAS, _VERSION),
        poll_seconds: float = 30.0,
    ) -> None:
        super().__init__()
        unknown = sorted(set(on) - {_ALIAS, _VERSION})
        if unknown or not on or poll_seconds < 1:
            problem = f"on {list(on)}" if unknown or not on else f"poll_seconds {poll_seconds}"
            msg = f"ModelRegistryTrigger: {problem}, allowed: on 'alias', 'version'; poll_seconds from 1"
            raise InvalidConfigError(msg)
        self.model = model
        self.mlflow_conn_id = mlflow_conn_id
        self.on = list(on)
        self.poll_seconds = poll_seconds
        self._silent = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path and the arguments to rebuild this trigger from."""
        kwargs = ("model", "mlflow_conn_id", "on", "poll_seconds")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in kwargs}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield events for as long as the watcher lives."""
        from airflow_mlops.backends.registry.registry_watch import changes

        before = await self._stored_snapshot()
        while True:
            now = await self._snapshot(before)
            if now is not None and now != before:
                for change in changes(self.model, before or now, now):
                    if change["change"] in self.on:
                        yield TriggerEvent(change)
                before = now
                await self._store_snapshot(now)
            await asyncio.sleep(self.poll_seconds)

    async def _snapshot(self, before: RegistrySnapshot | None) -> RegistrySnapshot | None:
        """Return a snapshot of the model; ``None`` while MLflow does not answer.

        The connection is read at every poll: a changed password needs no restart. An outage is logged once.
        """
        from airflow_mlops.backends.registry.registry_watch import read_snapshot

        server = await MlflowHook(self.mlflow_conn_id).aserver()
        try:
            now = await read_snapshot(server, self.model, before)
        except TransientError as error:
            if not self._silent:
                self.log.warning("%s", error)
            now = None
        self._silent = now is None
        return now

    async def _stored_snapshot(self) -> RegistrySnapshot | None:
        from airflow_mlops.backends.registry.registry_watch import RegistrySnapshot

        kept = await self.asset_state_store.aget(self._key) if self.asset_state_store else None
        return RegistrySnapshot.from_json(kept) if kept else None

    async def _store_snapshot(self, snapshot: RegistrySnapshot) -> None:
        if self.asset_state_store:
            await self.asset_state_store.aset(self._key, snapshot.to_json())

    @property
    def _key(self) -> str:
        return f"mlops.registry.{self.model}"
