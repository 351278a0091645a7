"""Ledger entries as MLflow tags: written with bounded length, read back in order."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.backends.registry.ledger_order import accepted, first_of_each
from airflow_mlops.backends.registry.protocol import DecisionEntry, LedgerEntry
from airflow_mlops.core.errors import InvalidRecordError
from airflow_mlops.core.rollout.end import RolloutEnd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.record import Record

SUFFIX = ".mlops-ledger"
ENTRY_TAG, STATE_TAG, DECISION_TAG, END_TAG = "mlops.entry", "mlops.state", "mlops.decision", "mlops.end"
_OLD_TAG = "mlops.ledger."
"""Prefix of tags on the model itself, where entries were kept before they were numbered."""
APPLIED, VOID = "applied", "void"
_LONGEST_REASON, _LONGEST_APPROVAL = 1000, 600
_LONGEST_VERDICT, _MOST_VERDICTS = 150, 16
_LONGEST_TAG = 5000


class LedgerRow(NamedTuple):
    """A change of champion and its state: aliases moved (``applied``), never (``void``), or not known yet."""

    entry: LedgerEntry
    state: str


def entry_text(entry: LedgerEntry) -> str:
    """Return an entry as JSON of bounded length; long reasons and comments are cut."""
    bounded = replace(
        entry,
        reason=entry.reason[:_LONGEST_REASON],
        approval=entry.approval[:_LONGEST_APPROVAL],
        verdicts=_bounded(entry.verdicts),
    )
    text = _text(bounded)
    while len(text) > _LONGEST_TAG and (bounded.reason or bounded.approval):
        bounded = replace(bounded, reason=_half(bounded.reason), approval=_half(bounded.approval))
        text = _text(bounded)
    return text


def decision_text(entry: DecisionEntry) -> str:
    """Return a decision as JSON of bounded length; a long comment is cut."""
    bounded = replace(entry, comment=entry.comment[:_LONGEST_REASON], verdicts=_bounded(entry.verdicts))
    text = _text(bounded)
    while len(text) > _LONGEST_TAG and bounded.comment:
        bounded = replace(bounded, comment=_half(bounded.comment))
        text = _text(bounded)
    return text


def end_text(end: RolloutEnd) -> str:
    """Return the end of a rollout as JSON of bounded length; a long reason is cut."""
    bounded = replace(end, reason=end.reason[:_LONGEST_REASON])
    text = _text(bounded)
    while len(text) > _LONGEST_TAG and bounded.reason:
        bounded = replace(bounded, reason=_half(bounded.reason))
        text = _text(bounded)
    return text


def rows_of(
    model: str, numbered: Mapping[int, Mapping[str, str]], model_tags: Mapping[str, str]
) -> list[LedgerRow]:
    """Return the valid changes of champion, void ones too, without decisions; oldest first.

    :param numbered: the tags of the ledger's versions, by number.
    :param model_tags: the tags of the model itself, where the oldest entries may be.
    """
    old = [_entry(model_tags[name], model, 0) for name in sorted(model_tags) if name.startswith(_OLD_TAG)]
    read = [_entry(numbered[n][ENTRY_TAG], model, n) for n in sorted(numbered) if ENTRY_TAG in numbered[n]]
    kept = [LedgerRow(entry, numbered[entry.number].get(STATE_TAG, "")) for entry in accepted(read)]
    return [*(LedgerRow(entry, APPLIED) for entry in old), *kept]


def valid(rows: list[LedgerRow]) -> list[LedgerEntry]:
    """Return the entries that are not void."""
    return [row.entry for row in rows if row.state != VOID]


def decisions_of(model: str, numbered: Mapping[int, Mapping[str, str]]) -> list[DecisionEntry]:
    """Return the decisions, oldest first."""
    read = []
    for number in sorted(numbered):
        if DECISION_TAG in numbered[number]:
            known = DecisionEntry.from_json(_json(numbered[number][DECISION_TAG], model, number))
            read.append(replace(known, number=number))
    return first_of_each(read)


def ends_of(model: str, numbered: Mapping[int, Mapping[str, str]]) -> list[RolloutEnd]:
    """Return how rollouts ended, oldest first; of records with one id the first."""
    found: dict[str, RolloutEnd] = {}
    for number in sorted(numbered):
        if END_TAG in numbered[number]:
            end = RolloutEnd.from_json(_json(numbered[number][END_TAG], model, number))
            found.setdefault(end.id, replace(end, number=number))
    return list(found.values())


def _entry(text: str, model: str, number: int) -> LedgerEntry:
    return replace(LedgerEntry.from_json(_json(text, model, number)), number=number)


def _json(text: str, model: str, number: int) -> Mapping[str, object]:
    try:
        document: Mapping[str, object] = json.loads(text)
    except ValueError as error:
        msg = f"ledger of {model!r}, entry {number}: not JSON, changed by hand"
        raise InvalidRecordError(msg) from error
    return document


def _text(entry: Record) -> str:
    return json.dumps(entry.to_json(), ensure_ascii=False)


def _bounded(verdicts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(verdict[:_LONGEST_VERDICT] for verdict in verdicts[:_MOST_VERDICTS])


def _half(text: str) -> str:
    return text[: len(text) // 2]
