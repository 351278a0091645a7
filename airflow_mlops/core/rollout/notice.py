"""Notice: message to people about an event of a rollout, complete without a dashboard."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from airflow_mlops.core.record import Record


class Event(StrEnum):
    """Event of a rollout that people are notified of."""

    STARTED = "started"
    HELD = "held"
    ROLLED_BACK = "rolled_back"
    PROMOTED = "promoted"


_EVENT_PHRASES = {
    Event.STARTED: "has started",
    Event.HELD: "waits for a person",
    Event.ROLLED_BACK: "was rolled back",
    Event.PROMOTED: "was promoted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Record):
    """One event of a rollout.

    :param step: number of the traffic step, from 1; 0 before the first.
    :param weight: the canary's share of requests at the event, 0 to 100 %.
    :param occasion: number of the hold within its step, from 1; 0 for events that occur once.
    :param links: URLs by name: ``run``, ``log``, ``evidence``, ``report``; empty where there is none.
    """

    event: Event
    model: str
    version: str
    champion: str | None
    step: int
    weight: int
    reason: str
    occasion: int = 0
    links: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Idempotency key: the same when the event is sent again, for instance by a retry."""
        return f"{self.event}_{self.weight}pct_{self.occasion}" if self.occasion else str(self.event)

    @property
    def subject(self) -> str:
        """One line, without the reason."""
        beside = f" beside version {self.champion}" if self.champion else ""
        where = f" at {self.weight} %" if self.event is Event.HELD else ""
        return f"Rollout of {self.model} version {self.version}{beside} {_EVENT_PHRASES[self.event]}{where}"

    @property
    def text(self) -> str:
        """Subject, reason and links, one line each."""
        links = [f"{name}: {url}" for name, url in self.links.items() if url]
        return "\n".join([f"{self.subject}: {self.reason}", *links])
