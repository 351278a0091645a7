"""How a rollout ended: one record per rollout in the ledger, whoever or whatever ended it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_mlops.core.record import Record


class EndKind(StrEnum):
    """What ended a rollout.

    ``PROMOTED``: the version became champion. ``ROLLED_BACK``: the evidence was against it, or stayed
    inconclusive. ``ROLLED_BACK_BY_PERSON``: a person answered a rollout's question so. ``STOPPED``: a
    person's stop. ``REAPED``: its lease ended, so the reaper took the canary out of traffic. ``REFUSED``:
    nothing was deployed. ``SUPERSEDED``: a later rollout took over from a dead one. ``FAILED``: a task
    failed for another reason.
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
        who = f" by {self.actor}" if self.actor else ""
        why = f": {self.reason}" if self.reason else ""
        version = f"version {self.version} " if self.version else ""
        return f"{version}{self.kind.replace('_', ' ')} at {self.percent} %{who}{why}"
