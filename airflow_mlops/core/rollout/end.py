"""How a rollout ended: one record per rollout in the ledger, whoever or whatever ended it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.lease import REAPER

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mlops.core.rollout.lease import Lease

PENDING_ENDS = 20
"""Ends that an endpoint's state keeps until they are written to the ledger; the oldest is dropped first."""
_REASON = 1000


class EndKind(StrEnum):
    """What ended a rollout.

    ``PROMOTED``: the version became champion. ``ROLLED_BACK``: the evidence was against it, or stayed
    inconclusive. ``ROLLED_BACK_BY_PERSON``: a person answered a rollout's question so. ``STOPPED``: a
    person's stop. ``REAPED``: its lease ended, so the reaper took the canary out of traffic. ``REFUSED``:
    the version was not validated or approved, or a person rejected it before or during the rollout.
    ``SUPERSEDED``: a later rollout took over from a dead one. ``FAILED``: a task failed for another reason.
    """

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ROLLED_BACK_BY_PERSON = "rolled_back_by_person"
    STOPPED = "stopped"
    REAPED = "reaped"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutEnd(Record):
    """The end of one rollout.

    :param id: given by whoever makes the record; writing a record twice is writing it once.
    :param version: the canary; empty when there was none.
    :param champion: the version that serves from then on; ``None`` when none does.
    :param reason: why, in words a person can act on; of a stop what the person wrote.
    :param actor: the person, or the program, that ended it.
    :param way: by which way a person did: the page, the command line, the API; empty if not known.
    :param percent: the canary's share of requests when it ended, 0 to 100.
    :param holder: the rollout that held the endpoint, as ``dag_id/run_id``.
    :param at: seconds since the epoch, UTC.
    :param number: place in the model's ledger. Given by the registry.
    """

    id: str
    model: str
    kind: EndKind
    version: str = ""
    champion: str | None = None
    reason: str = ""
    actor: str = ""
    way: str = ""
    percent: int = 0
    holder: str = ""
    at: float = 0.0
    number: int = 0

    @property
    def dag_id(self) -> str:
        """The DAG of the rollout that held the endpoint; empty when none did."""
        return self.holder.partition("/")[0]

    @property
    def run_id(self) -> str:
        """The DAG run of the rollout that held the endpoint; empty when none did."""
        return self.holder.partition("/")[2]

    @property
    def sentence(self) -> str:
        """Return the end in one line."""
        who = f" by {self.actor}{f' ({self.way})' if self.way else ''}" if self.actor else ""
        why = f": {self.reason}" if self.reason else ""
        if self.kind is EndKind.STOPPED and not self.version:
            return f"the endpoint was freed{who}{why}; there was no canary"
        version = f"version {self.version} " if self.version else ""
        left = "; no version serves" if self.version and self.champion is None else ""
        return f"{version}{self.kind.replace('_', ' ')} at {self.percent} %{who}{why}{left}"


def with_pending(ends: tuple[RolloutEnd, ...], end: RolloutEnd) -> tuple[RolloutEnd, ...]:
    """Return the pending ends with one more; one that is there already, by its id, is not added again."""
    if any(known.id == end.id for known in ends):
        return ends
    return (*ends, replace(end, reason=end.reason[:_REASON]))[-PENDING_ENDS:]


def without_written(ends: tuple[RolloutEnd, ...], ids: Collection[str]) -> tuple[RolloutEnd, ...]:
    """Return the pending ends but for those that the ledger has by now."""
    return tuple(end for end in ends if end.id not in ids)


def ended_by_reaper(endpoint: str, ended: Lease, *, now: float, end_id: str) -> RolloutEnd:
    """Return the end of a rollout whose lease ran out.

    :param ended: its lease.
    """
    late = now - ended.expires_at
    return RolloutEnd(
        id=end_id,
        model=endpoint,
        kind=EndKind.REAPED,
        reason=f"the lease of {ended.holder} ran out {late:.0f} s ago: nobody watched the canary",
        actor=REAPER,
        at=now,
    )


def superseded(
    endpoint: str, dead: str, by: str, last: Lease | None, *, now: float, end_id: str
) -> RolloutEnd:
    """Return the end of a dead holder that a later rollout took over from.

    :param dead: the holder.
    :param by: the rollout that took over.
    :param last: the lease that ended.
    """
    when = "it has no lease" if last is None else f"its lease ended {max(now - last.expires_at, 0):.0f} s ago"
    return RolloutEnd(
        id=end_id,
        model=endpoint,
        kind=EndKind.REAPED if last is not None and last.holder == REAPER else EndKind.SUPERSEDED,
        reason=f"{by} took over from {dead}: {when}",
        actor=by,
        at=now,
    )


def as_found(
    end: RolloutEnd, *, version: str | None, champion: str | None, percent: int, holder: str | None
) -> RolloutEnd:
    """Return an end with what the endpoint was when it ended: the back end knows it, not who asked."""
    return replace(
        end, version=version or end.version, champion=champion, percent=percent, holder=holder or end.holder
    )
