"""The ledger in MLflow: an append-only list whose order decides between promotions made at once.

MLflow has no compare-and-set, but it numbers the versions of a registered model inside a transaction: a
number is given once. So the ledger of model ``m`` is the registered model ``m.mlops-ledger``, an entry is
a version of it, and an entry counts if it was written after the last one that counted.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.backends.registry.protocol import LedgerEntry
from airflow_mlops.backends.registry.succession import accepted, moved
from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError, RegistryConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

    from airflow_mlops.backends.mlflow_server import MlflowServer

SUFFIX = ".mlops-ledger"
ENTRY_TAG, STATE_TAG = "mlops.entry", "mlops.state"
APPLIED, VOID = "applied", "void"
OLD_TAG = "mlops.ledger."
"""Prefix of tags on the model itself, where entries were kept before they had numbers."""
LONGEST_REASON = 1000
LONGEST_VERDICT, MOST_VERDICTS = 150, 16
UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
PAGE = 1000


def safe_name(model: str) -> str:
    """Return a model's name.

    :raises InvalidConfigError: it cannot stand in a search.
    """
    if "'" in model:
        msg = f"model name {model!r} holds a quote; letters, digits, '_', '-' and '.' are allowed"
        raise InvalidConfigError(msg)
    return model


class Row(NamedTuple):
    """An entry, and whether the aliases followed it: ``applied``, ``void``, or not known yet."""

    entry: LedgerEntry
    state: str


class MlflowLedger:
    """Entries are added and read, never changed; a second tag says whether the aliases followed."""

    def __init__(self, server: MlflowServer) -> None:
        self.server = server

    def append(self, entry: LedgerEntry) -> LedgerEntry:
        """Append an entry and return it with its number; whether it counts, :meth:`winner` says."""
        name = entry.model + SUFFIX
        tags = {ENTRY_TAG: _text(entry)}
        sentence = f"{entry.kind}: {entry.from_version} → {entry.to_version} by {entry.actor}"
        with self.server.session() as client:
            _make(client, name)
            made = client.create_model_version(
                name, f"mlops-ledger:/{entry.model}", tags=tags, description=sentence, await_creation_for=None
            )
        return replace(entry, number=int(made.version))

    def winner(self, claim: LedgerEntry) -> LedgerEntry:
        """Return the entry that counts if it is this claim; a request sent twice is one claim.

        :raises RegistryConflictError: another one was faster; names it.
        """
        kept = [row.entry for row in self.rows(claim.model)]
        for entry in kept:
            if entry.claim == claim.claim:
                return entry
        raise RegistryConflictError(moved(claim, kept[-1].to_version if kept else None, kept))

    def rows(self, model: str) -> list[Row]:
        """Return what counts, void entries too, oldest first."""
        with self.server.session() as client:
            found = {
                int(version.version): version.tags for version in _versions(client, safe_name(model) + SUFFIX)
            }
        read = {n: _entry(tags[ENTRY_TAG], model, n) for n, tags in found.items() if ENTRY_TAG in tags}
        kept = accepted([read[number] for number in sorted(read)])
        numbered = [Row(entry, found[entry.number].get(STATE_TAG, "")) for entry in kept]
        return [*(Row(entry, APPLIED) for entry in self._old(model)), *numbered]

    def close(self, entry: LedgerEntry, state: str) -> None:
        """Note that the aliases followed an entry, or never can."""
        with self.server.session() as client:
            client.set_model_version_tag(entry.model + SUFFIX, str(entry.number), STATE_TAG, state)

    def _old(self, model: str) -> list[LedgerEntry]:
        from mlflow.exceptions import MlflowException

        with self.server.session() as client:
            try:
                tags = client.get_registered_model(model).tags
            except MlflowException as error:
                if error.error_code in UNKNOWN:
                    return []
                raise
        return [_entry(tags[name], model, 0) for name in sorted(tags) if name.startswith(OLD_TAG)]


def _versions(client: MlflowClient, name: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _make(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={"mlops.kind": "ledger"})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _text(entry: LedgerEntry) -> str:
    """Return an entry as JSON of at most 5,000 characters, whatever people wrote."""
    verdicts = tuple(verdict[:LONGEST_VERDICT] for verdict in entry.verdicts[:MOST_VERDICTS])
    bounded = replace(entry, reason=entry.reason[:LONGEST_REASON], verdicts=verdicts)
    return json.dumps(bounded.to_json(), ensure_ascii=False)


def _entry(text: str, model: str, number: int) -> LedgerEntry:
    try:
        return replace(LedgerEntry.from_json(json.loads(text)), number=number)
    except ValueError as error:
        msg = f"ledger of {model!r}, entry {number}: not JSON, somebody changed it by hand"
        raise InvalidRecordError(msg) from error
