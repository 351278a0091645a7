"""Model registry and ledger in MLflow: aliases by compare-and-set, never stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.registry.protocol import CHAMPION, PREVIOUS, LedgerEntry, ModelVersion
from airflow_mlops.core.errors import InvalidConfigError, RegistryConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient

    from airflow_mlops.backends.mlflow_server import MlflowServer

LEDGER_TAG = "mlops.ledger."
LONGEST_REASON = 1000
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class MlflowRegistry:
    """Implements :class:`~airflow_mlops.backends.registry.protocol.ModelRegistry`."""

    def __init__(self, server: MlflowServer) -> None:
        self.server = server

    def register(
        self, model: str, evidence_run: str, model_uri: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Register once per evidence run; of versions made at once, the lowest number stays."""
        import mlflow

        with self.server.session() as client:
            if not _of_run(client, model, evidence_run):
                named = {**tags, "mlops.evidence_run": evidence_run}
                mlflow.register_model(model_uri, model, tags=named, await_registration_for=60)
            first, *extra = _of_run(client, model, evidence_run)
            for duplicate in extra:
                client.delete_model_version(model, duplicate.version)
        return first

    def version(self, model: str, version: str) -> ModelVersion:
        """Return a version."""
        for known in self.versions(model):
            if known.version == str(version):
                return known
        allowed = ", ".join(v.version for v in self.versions(model)) or "none registered yet"
        msg = f"model {model!r} has no version {version!r}; versions: {allowed}"
        raise InvalidConfigError(msg)

    def versions(self, model: str) -> list[ModelVersion]:
        """Return all versions, newest first."""
        with self.server.session() as client:
            found = client.search_model_versions(f"name = '{_safe(model)}'", max_results=1000)
        return sorted((_version(v) for v in found), key=lambda v: -int(v.version))

    def alias(self, model: str, alias: str) -> str | None:
        """Return the version an alias points to."""
        with self.server.session() as client:
            registered = _registered(client, model)
        target = registered.aliases.get(alias) if registered else None
        return None if target is None else str(target)

    def promote(self, entry: LedgerEntry) -> LedgerEntry:
        """Move the aliases and append to the ledger."""
        current = self.alias(entry.model, CHAMPION)
        if current == entry.to_version:  # done before, perhaps killed before the ledger was written
            done = [e for e in self.ledger(entry.model) if _same(e, entry)]
            return done[0] if done else self._append(entry)
        if current != entry.from_version:
            raise RegistryConflictError(_moved(entry, current))
        with self.server.session() as client:
            if entry.from_version is not None:
                client.set_registered_model_alias(entry.model, PREVIOUS, entry.from_version)
            client.set_registered_model_alias(entry.model, CHAMPION, entry.to_version)
        seen = self.alias(entry.model, CHAMPION)
        if seen != entry.to_version:
            raise RegistryConflictError(_moved(entry, seen))
        return self._append(entry)

    def ledger(self, model: str) -> list[LedgerEntry]:
        """Return all entries, oldest first."""
        with self.server.session() as client:
            registered = _registered(client, model)
        tags = registered.tags if registered else {}
        kept = sorted(name for name in tags if name.startswith(LEDGER_TAG))
        return [LedgerEntry.from_json(json.loads(tags[name])) for name in kept]

    def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""
        with self.server.session() as client:
            for name, value in tags.items():
                client.set_model_version_tag(model, version, name, value)

    def download(self, model: str, version: str, target: Path) -> Path:
        """Copy the version's model folder below ``target``."""
        import mlflow

        with self.server.session():
            folder = Path(
                mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=str(target))
            )
        if not (folder / "MLmodel").is_file():
            msg = f"model {model!r} version {version} holds no MLmodel file; it cannot be served"
            raise InvalidConfigError(msg)
        return folder

    def _append(self, entry: LedgerEntry) -> LedgerEntry:
        number = len(self.ledger(entry.model)) + 1
        text = json.dumps({**entry.to_json(), "reason": entry.reason[:LONGEST_REASON]})
        with self.server.session() as client:
            client.set_registered_model_tag(entry.model, f"{LEDGER_TAG}{number:06d}", text)
        return entry


def _registered(client: MlflowClient, model: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code in UNKNOWN:
            return None
        raise


def _of_run(client: MlflowClient, model: str, evidence_run: str) -> list[ModelVersion]:
    found = client.search_model_versions(f"name = '{_safe(model)}'", max_results=1000)
    mine = [v for v in map(_version, found) if v.evidence_run == evidence_run]
    return sorted(mine, key=lambda v: int(v.version))


def _version(found: Any) -> ModelVersion:
    tags = {str(k): str(v) for k, v in found.tags.items()}
    return ModelVersion(
        model=found.name,
        version=str(found.version),
        evidence_run=tags.get("mlops.evidence_run") or found.run_id or "",
        created_at=found.creation_timestamp / 1000,
        tags=tags,
    )


def _safe(model: str) -> str:
    if "'" in model:
        msg = f"model name {model!r} holds a quote; letters, digits, '_', '-' and '.' are allowed"
        raise InvalidConfigError(msg)
    return model


def _same(one: LedgerEntry, other: LedgerEntry) -> bool:
    keys = ("dag_id", "run_id", "to_version")
    return all(getattr(one, key) == getattr(other, key) for key in keys)


def _moved(entry: LedgerEntry, current: str | None) -> str:
    return (
        f"{entry.model}: champion is version {current}, expected {entry.from_version}; "
        f"version {entry.to_version} was not promoted"
    )
