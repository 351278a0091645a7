"""Snapshots of a registered model over MLflow's REST interface, and the changes between two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from airflow_mlops.backends.mlflow_server import MlflowServer

_ALIAS, _VERSION = "alias", "version"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySnapshot(Record):
    """Aliases and newest version of a model at one moment; empty for a model that is not registered.

    :param newest: number of the newest version, 0 for none.
    """

    aliases: dict[str, str] = field(default_factory=dict)
    newest: int = 0


async def read_snapshot(
    server: MlflowServer, model: str, before: RegistrySnapshot | None = None
) -> RegistrySnapshot:
    """Return the model's present snapshot.

    :param before: the previous snapshot: a newest version that was deleted since then still counts.
    :raises ServiceUnavailableError: no answer, or one that is no registered model; names the status.
    """
    document = await server.ask("registered-models/get", name=model)
    if document is None:
        return RegistrySnapshot()
    if "registered_model" not in document:
        msg = f"MLflow at {server.uri} does not answer: its answer is no registered model"
        raise ServiceUnavailableError(msg)
    found = document["registered_model"]
    versions = [int(version["version"]) for version in found.get("latest_versions", ())]
    aliases = {str(alias["alias"]): str(alias["version"]) for alias in found.get("aliases", ())}
    return RegistrySnapshot(aliases=aliases, newest=max([*versions, before.newest if before else 0]))


def changes(model: str, before: RegistrySnapshot, now: RegistrySnapshot) -> list[dict[str, Any]]:
    """Return changes between two snapshots, new versions first; a deleted alias moved to ``None``."""
    new = [
        {"model": model, "change": _VERSION, "version": str(number)}
        for number in range(before.newest + 1, now.newest + 1)
    ]
    names = sorted(before.aliases.keys() | now.aliases.keys())
    moved = [
        {"model": model, "change": _ALIAS, "alias": name, "from": before.aliases.get(name), "to": target}
        for name in names
        if (target := now.aliases.get(name)) != before.aliases.get(name)
    ]
    return [*new, *moved]
