"""Order of the ledger: which appended entries are valid, and which may be appended next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.core.errors import RegistryConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.backends.registry.protocol import DecisionEntry, LedgerEntry


def accepted(appended: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Return the valid entries in order: each follows the valid entry before it (optimistic concurrency).

    Every reader of the same entries finds the same winner, without a clock or a lock. An entry that follows
    one that was deleted by hand is still valid: it had won when it was written.

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
    """Return the entry by which the same DAG run promoted already, if it is the last one."""
    last = kept[-1] if kept else None
    return last if last is not None and _identity(last) == _identity(entry) else None


def refuse_moved(entry: LedgerEntry, kept: Sequence[LedgerEntry], current: str | None) -> None:
    """Refuse an entry if the champion is not the one that was expected.

    A version that was made champion by hand may be recorded afterwards.

    :raises RegistryConflictError: names the champion, and who promoted it.
    """
    by_hand = current == entry.to_version and (not kept or kept[-1].to_version != current)
    if current != entry.from_version and not by_hand:
        raise RegistryConflictError(moved(entry, current, kept))


def moved(entry: LedgerEntry, current: str | None, kept: Sequence[LedgerEntry]) -> str:
    """Return why an entry is refused."""
    last = kept[-1] if kept else None
    known = last is not None and last.to_version == current
    who = f"; {current} was promoted by {last.actor} in {last.dag_id}/{last.run_id}" if last and known else ""
    return (
        f"{entry.model}: champion is version {current}, expected {entry.from_version}; "
        f"version {entry.to_version} was not promoted{who}"
    )


def first_of_each(decisions: Sequence[DecisionEntry]) -> list[DecisionEntry]:
    """Return decisions without duplicates that a later try of the same task wrote."""
    kept: dict[tuple[str, ...], DecisionEntry] = {}
    for decision in decisions:
        kept.setdefault(_decided(decision), decision)
    return list(kept.values())


def decided_before(entry: DecisionEntry, kept: Sequence[DecisionEntry]) -> DecisionEntry | None:
    """Return the entry of the same decision, if there is one."""
    return next((one for one in kept if _decided(one) == _decided(entry)), None)


def _decided(entry: DecisionEntry) -> tuple[str, ...]:
    return (
        *(entry.dag_id, entry.run_id, entry.version),
        *(entry.decision, entry.because, entry.actor, entry.user, entry.comment),
    )


def _identity(entry: LedgerEntry) -> tuple[str, str, str]:
    return entry.dag_id, entry.run_id, entry.to_version
