"""Write ends of rollouts over MLflow's REST interface: without MLflow's package, in bounded time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.backends.registry.history import numbered_tags
from airflow_mlops.backends.registry.ledger_text import END_TAG, SUFFIX, end_text, ends_of
from airflow_mlops.core.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from airflow_mlops.backends.mlflow_server import MlflowServer
    from airflow_mlops.core.rollout.end import RolloutEnd

_SECONDS = 4.0


class EndLedger(Protocol):
    """Whatever keeps ends of rollouts; every model registry does."""

    def record_end(self, end: RolloutEnd) -> RolloutEnd:
        """Append how a rollout ended; one with the same id that is there already is returned instead."""


class RestLedger:
    """Implements :class:`EndLedger`; the entries are those of ``MlflowRegistry``.

    It starts in milliseconds and does not use the environment, so that it suits a command that has to be
    quick, and a process that serves several requests at once. Do not call it on an event loop.

    :param seconds: how long one record may take at most.
    """

    def __init__(self, server: MlflowServer, *, seconds: float = _SECONDS) -> None:
        self.server = server
        self.seconds = seconds

    def record_end(self, end: RolloutEnd) -> RolloutEnd:
        """Append the end of a rollout once; of concurrent duplicates the first is valid.

        :raises ServiceUnavailableError: MLflow did not answer in time.
        """
        try:
            return asyncio.run(asyncio.wait_for(self._record(end), self.seconds))
        except TimeoutError as error:
            msg = f"MLflow at {self.server.uri} did not answer within {self.seconds:g} s"
            raise ServiceUnavailableError(msg) from error

    async def _record(self, end: RolloutEnd) -> RolloutEnd:
        for known in ends_of(end.model, await numbered_tags(self.server, end.model)):
            if known.id == end.id:
                return known
        name = end.model + SUFFIX
        kind = [{"key": "mlops.kind", "value": "ledger"}]
        await self.server.tell("registered-models/create", {"name": name, "tags": kind})
        document = {
            "name": name,
            "source": f"mlops-ledger:/{end.model}",
            "description": end.sentence,
            "tags": [{"key": END_TAG, "value": end_text(end)}],
        }
        made = await self.server.tell("model-versions/create", document)
        return replace(end, number=int(made["model_version"]["version"]))
