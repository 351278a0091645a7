"""Model registry in MLflow: aliases by compare-and-set over the ledger, never stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_mlops.backends.registry.ledger_order import decided_before, done_before, refuse_moved
from airflow_mlops.backends.registry.ledger_text import APPLIED, VOID, valid
from airflow_mlops.backends.registry.mlflow_ledger import UNKNOWN_MODEL_CODES, MlflowLedger, every_version
from airflow_mlops.backends.registry.protocol import (
    CHAMPION_ALIAS,
    PREVIOUS,
    DecisionEntry,
    LedgerEntry,
    ModelVersion,
    unknown_version,
)
from airflow_mlops.core.errors import InvalidConfigError, RegistryConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow import MlflowClient

    from airflow_mlops.backends.mlflow_server import MlflowServer
    from airflow_mlops.backends.registry.ledger_text import LedgerRow
    from airflow_mlops.core.rollout.end import RolloutEnd


class MlflowRegistry:
    """Implements :class:`~airflow_mlops.backends.registry.protocol.ModelRegistry`."""

    def __init__(self, server: MlflowServer) -> None:
        self.server = server
        self._ledger = MlflowLedger(server)

    def register(
        self, model: str, evidence_run: str, model_uri: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Register once per evidence run; of concurrent registrations the lowest number stays."""
        import mlflow

        known = self.registered(model, evidence_run)
        if known is not None:
            return known
        named = {**tags, "mlops.evidence_run": evidence_run}
        with self.server.session():
            mlflow.register_model(model_uri, model, tags=named, await_registration_for=60)
        made = self.registered(model, evidence_run)
        if made is None:
            msg = f"model {model!r}: the version of run {evidence_run} was deleted while it was registered"
            raise RegistryConflictError(msg)
        return made

    def registered(self, model: str, evidence_run: str) -> ModelVersion | None:
        """Return the version of an evidence run; of several the lowest number stays."""
        with self.server.session() as client:
            mine = [v for v in map(_version, every_version(client, model)) if v.evidence_run == evidence_run]
            for duplicate in mine[1:]:
                _remove(client, duplicate)
        return mine[0] if mine else None

    def version(self, model: str, version: str) -> ModelVersion:
        """Return a version."""
        from mlflow.exceptions import MlflowException

        with self.server.session() as client:
            try:
                return _version(client.get_model_version(model, str(version)))
            except MlflowException as error:
                if error.error_code not in UNKNOWN_MODEL_CODES:
                    raise
        raise InvalidConfigError(unknown_version(model, version, self.versions(model)))

    def versions(self, model: str) -> list[ModelVersion]:
        """Return all versions, newest first."""
        with self.server.session() as client:
            return [_version(found) for found in every_version(client, model)][::-1]

    def alias(self, model: str, alias: str) -> str | None:
        """Return the version an alias points to."""
        with self.server.session() as client:
            registered = _registered(client, model)
        target = registered.aliases.get(alias) if registered else None
        return None if target is None else str(target)

    def promote(self, entry: LedgerEntry) -> LedgerEntry:
        """Append to the ledger, which decides who wins; then move the aliases.

        The ledger is read before the alias: a promotion between the two is then a later entry than the one
        this claim follows, and the claim is not valid.
        """
        entry = replace(entry, identity=self.version(entry.model, entry.to_version).identity)
        rows = self._ledger.rows(entry.model)
        self._complete(rows)
        current, kept = self.alias(entry.model, CHAMPION_ALIAS), valid(rows)
        done = done_before(entry, kept)
        if done is not None and current == entry.to_version:
            return done
        refuse_moved(entry, kept, current)
        after = rows[-1].entry.number if rows else 0
        won = self._ledger.winner(self._ledger.append(replace(entry, after=after, claim=uuid4().hex)))
        if not self._apply(won):
            msg = f"{entry.model}: version {entry.to_version} was deleted while it was promoted"
            raise RegistryConflictError(msg)
        return won

    def settle(self, model: str) -> str | None:
        """Move the aliases as the last entry of the ledger says, if that was interrupted."""
        self._complete(self._ledger.rows(model))
        return self.alias(model, CHAMPION_ALIAS)

    def ledger(self, model: str) -> list[LedgerEntry]:
        """Return all changes of champion, oldest first."""
        return valid(self._ledger.rows(model))

    def decide(self, entry: DecisionEntry) -> DecisionEntry:
        """Append a decision once; of concurrent duplicates the first is valid."""
        self.version(entry.model, entry.version)
        before = decided_before(entry, self.decisions(entry.model))
        return before or self._ledger.append_decision(entry)

    def decisions(self, model: str) -> list[DecisionEntry]:
        """Return all decisions, oldest first."""
        return self._ledger.decisions(model)

    def record_end(self, end: RolloutEnd) -> RolloutEnd:
        """Append the end of a rollout once; of concurrent duplicates the first is valid."""
        known = next((each for each in self.ends(end.model) if each.id == end.id), None)
        return known or self._ledger.append_end(end)

    def ends(self, model: str) -> list[RolloutEnd]:
        """Return how rollouts ended, oldest first."""
        return self._ledger.ends(model)

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

    def _complete(self, rows: Sequence[LedgerRow]) -> None:
        if rows and not rows[-1].state:
            self._apply(rows[-1].entry)

    def _apply(self, entry: LedgerEntry) -> bool:
        """Move the aliases to an entry that won; if its version is gone, or another model, it becomes void.

        Reads the ledger again afterwards: a slow process must not leave an older champion than the ledger's.
        """
        with self.server.session() as client:
            moved = self._is_there(entry) and _point(client, entry.model, CHAMPION_ALIAS, entry.to_version)
            if moved and entry.from_version is not None:
                _point(client, entry.model, PREVIOUS, entry.from_version)
        self._ledger.close(entry, APPLIED if moved else VOID)
        last = self._ledger.rows(entry.model)[-1:]
        if last and last[0].entry.number > entry.number:
            self._apply(last[0].entry)
        return moved

    def _is_there(self, entry: LedgerEntry) -> bool:
        return any(entry.names(version) for version in self.versions(entry.model))


def _point(client: MlflowClient, model: str, alias: str, version: str) -> bool:
    """Set an alias; return whether the version exists."""
    from mlflow.exceptions import MlflowException

    try:
        client.set_registered_model_alias(model, alias, version)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def _registered(client: MlflowClient, model: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code in UNKNOWN_MODEL_CODES:
            return None
        raise


def _remove(client: MlflowClient, version: ModelVersion) -> None:
    """Delete a version, unless another process did so meanwhile."""
    from mlflow.exceptions import MlflowException

    try:
        client.delete_model_version(version.model, version.version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _version(found: Any) -> ModelVersion:
    tags = {str(k): str(v) for k, v in found.tags.items()}
    return ModelVersion(
        model=found.name,
        version=str(found.version),
        evidence_run=tags.get("mlops.evidence_run") or found.run_id or "",
        created_at=found.creation_timestamp / 1000,
        tags=tags,
    )
