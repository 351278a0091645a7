"""Snapshots of a registered model over MLflow's REST interface, and the changes between two."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    :param created_at: when the model was registered, in milliseconds since the epoch, 0 if not known: it
        tells a model from one of the same name that was deleted.
    """

    aliases: dict[str, str] = field(default_factory=dict)
    newest: int = 0
    created_at: int = 0

    def is_another(self, before: RegistrySnapshot) -> bool:
        """Return whether the model was deleted and made again since."""
        return bool(before.created_at and self.created_at and before.created_at != self.created_at)


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
    created_at = int(found.get("creation_timestamp") or 0)
    now = RegistrySnapshot(aliases=aliases, newest=max(versions, default=0), created_at=created_at)
    if before is None or now.is_another(before):
        return now
    return replace(now, newest=max(now.newest, before.newest))


def changes(model: str, before: RegistrySnapshot, now: RegistrySnapshot) -> list[dict[str, Any]]:
    """Return changes between two snapshots, new versions first; a deleted alias moved to ``None``.

    Of a model that was deleted and made again every version is new, and every alias was set.
    """
    if now.is_another(before):
        before = RegistrySnapshot()
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
