"""The ledger in MLflow: an append-only log whose order decides between concurrent promotions.

MLflow has no compare-and-set, but it numbers the versions of a registered model inside a transaction: a
number is given once. So the ledger of model ``m`` is the registered model ``m.mlops-ledger``, an entry is a
version of it, and a change of champion is valid if it names the last valid one as its predecessor. A decision
is in the same log under another tag: it has a number, but does not affect promotions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.backends.registry.ledger_order import done_before, moved
from airflow_mlops.backends.registry.ledger_text import (
    DECISION_TAG,
    END_TAG,
    ENTRY_TAG,
    STATE_TAG,
    SUFFIX,
    decision_text,
    decisions_of,
    end_text,
    ends_of,
    entry_text,
    rows_of,
)
from airflow_mlops.core.errors import InvalidConfigError, RegistryConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow import MlflowClient

    from airflow_mlops.backends.mlflow_server import MlflowServer
    from airflow_mlops.backends.registry.ledger_text import LedgerRow
    from airflow_mlops.backends.registry.protocol import DecisionEntry, LedgerEntry
    from airflow_mlops.core.rollout.end import RolloutEnd

UNKNOWN_MODEL_CODES = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
OLDEST_FIRST = "version_number ASC"
_PAGE = 1000


def safe_name(model: str) -> str:
    """Return a model's name.

    :raises InvalidConfigError: it holds a quote, which a search filter cannot.
    """
    if "'" in model:
        msg = f"model name {model!r} holds a quote; letters, digits, '_', '-' and '.' are allowed"
        raise InvalidConfigError(msg)
    return model


class MlflowLedger:
    """Entries are appended and read, never changed; a second tag holds whether the aliases were moved."""

    def __init__(self, server: MlflowServer) -> None:
        self.server = server

    def append(self, entry: LedgerEntry) -> LedgerEntry:
        """Append an entry and return it with its number; :meth:`winner` tells whether it is valid."""
        sentence = f"{entry.kind}: {entry.from_version} → {entry.to_version} by {entry.actor}"
        return replace(entry, number=self._append(entry.model, ENTRY_TAG, entry_text(entry), sentence))

    def append_decision(self, entry: DecisionEntry) -> DecisionEntry:
        """Append a decision and return it with its number."""
        sentence = f"{entry.decision}: {entry.version} by {entry.by}"
        return replace(entry, number=self._append(entry.model, DECISION_TAG, decision_text(entry), sentence))

    def append_end(self, end: RolloutEnd) -> RolloutEnd:
        """Append the end of a rollout and return it with its number."""
        return replace(end, number=self._append(end.model, END_TAG, end_text(end), end.sentence))

    def ends(self, model: str) -> list[RolloutEnd]:
        """Return how rollouts ended, oldest first."""
        return ends_of(model, self._numbered(model))

    def winner(self, claim: LedgerEntry) -> LedgerEntry:
        """Return the valid entry of this claim; a request that was sent twice is one claim.

        Two copies of one rollout's task are one claim, too, e.g. one whose scheduler died and the next try.

        :raises RegistryConflictError: another claim was faster; names it.
        """
        kept = [row.entry for row in self.rows(claim.model)]
        for entry in kept:
            if entry.claim == claim.claim:
                return entry
        copy = done_before(claim, kept)
        if copy is not None:
            return copy
        raise RegistryConflictError(moved(claim, kept[-1].to_version if kept else None, kept))

    def rows(self, model: str) -> list[LedgerRow]:
        """Return the valid changes of champion, void ones too, oldest first."""
        return rows_of(model, self._numbered(model), self._model_tags(model))

    def decisions(self, model: str) -> list[DecisionEntry]:
        """Return the decisions, oldest first."""
        return decisions_of(model, self._numbered(model))

    def close(self, entry: LedgerEntry, state: str) -> None:
        """Record that the aliases were moved to an entry, or never can be."""
        with self.server.session() as client:
            client.set_model_version_tag(entry.model + SUFFIX, str(entry.number), STATE_TAG, state)

    def _append(self, model: str, tag: str, text: str, sentence: str) -> int:
        with self.server.session() as client:
            _make(client, model + SUFFIX)
            made = client.create_model_version(
                model + SUFFIX,
                f"mlops-ledger:/{model}",
                tags={tag: text},
                description=sentence,
                await_creation_for=None,
            )
        return int(made.version)

    def _numbered(self, model: str) -> dict[int, Mapping[str, str]]:
        with self.server.session() as client:
            entries = every_version(client, safe_name(model) + SUFFIX)
            return {int(found.version): found.tags for found in entries}

    def _model_tags(self, model: str) -> Mapping[str, str]:
        from mlflow.exceptions import MlflowException

        with self.server.session() as client:
            try:
                tags: Mapping[str, str] = client.get_registered_model(model).tags
            except MlflowException as error:
                if error.error_code in UNKNOWN_MODEL_CODES:
                    return {}
                raise
        return tags


def every_version(client: MlflowClient, name: str) -> Iterator[Any]:
    """Yield all versions of a registered model, oldest first, page by page.

    A page is a range of places: in the order of the numbers, which never change, a version that is added or
    tagged between two pages moves no other one out of the next page.
    """
    token = None
    while True:
        page = client.search_model_versions(
            f"name = '{safe_name(name)}'", max_results=_PAGE, order_by=[OLDEST_FIRST], page_token=token
        )
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
