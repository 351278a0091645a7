"""Which of the entries that were appended to a ledger count, and what may be appended next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.errors import RegistryConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.backends.registry.protocol import DecisionEntry, LedgerEntry


def accepted(appended: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Return the entries that count, in order: each was written after the one that counted before it.

    Everybody who reads the same entries finds the same winner, with no clock and no lock. An entry that
    follows one that was deleted by hand still counts: it had won when it was written.

    :param appended: all entries, in the order of their numbers.
    """
    there, kept, last = {entry.number for entry in appended}, [], 0
    for entry in appended:
        lost = entry.after not in there and entry.after > last
        if entry.after == last or lost:
            kept.append(entry)
            last = entry.number
    return kept


def done_before(entry: LedgerEntry, kept: Sequence[LedgerEntry]) -> LedgerEntry | None:
    """Return what the same DAG run has promoted already, if nothing was promoted after it."""
    last = kept[-1] if kept else None
    return last if last is not None and _identity(last) == _identity(entry) else None


def refuse_moved(entry: LedgerEntry, kept: Sequence[LedgerEntry], current: str | None) -> None:
    """Refuse an entry whose champion is not the one it was decided against.

    A version that somebody made champion by hand may be written down after the fact.

    :raises RegistryConflictError: names the champion, and who promoted it.
    """
    by_hand = current == entry.to_version and (not kept or kept[-1].to_version != current)
    if current != entry.from_version and not by_hand:
        raise RegistryConflictError(moved(entry, current, kept))


def moved(entry: LedgerEntry, current: str | None, kept: Sequence[LedgerEntry]) -> str:
    """Say why an entry was refused."""
    last = kept[-1] if kept else None
    known = last is not None and last.to_version == current
    who = f"; {current} was promoted by {last.actor} in {last.dag_id}/{last.run_id}" if last and known else ""
    return (
        f"{entry.model}: champion is version {current}, expected {entry.from_version}; "
        f"version {entry.to_version} was not promoted{who}"
    )


def first_of_each(decisions: Sequence[DecisionEntry]) -> list[DecisionEntry]:
    """Return decisions without those that a later try of the same task wrote again."""
    kept: dict[tuple[str, ...], DecisionEntry] = {}
    for decision in decisions:
        kept.setdefault(_decided(decision), decision)
    return list(kept.values())


def decided_before(entry: DecisionEntry, kept: Sequence[DecisionEntry]) -> DecisionEntry | None:
    """Return the entry of the same decision, if it is there."""
    return next((one for one in kept if _decided(one) == _decided(entry)), None)


def _decided(entry: DecisionEntry) -> tuple[str, ...]:
    return (
        *(entry.dag_id, entry.run_id, entry.version),
        *(entry.decision, entry.because, entry.actor, entry.user, entry.comment),
    )


def _identity(entry: LedgerEntry) -> tuple[str, str, str]:
    return entry.dag_id, entry.run_id, entry.to_version
