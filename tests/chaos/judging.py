"""What a chaos run means: which failed requests a kill explains, and which ends the plan allows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from chaos.schedule import STEPS, Target

SEEN_SECONDS = 0.1
"""How long a gateway may take to see that a connection's other end is dead."""
PROMOTED, ROLLED_BACK = "promoted", "rolled back"
SERVERS = (Target.CANARY, Target.SIBLING)
BROKEN = 502
CUT_OFF = ("RemoteProtocolError", "ReadError")
"""How a client sees that the gateway closed its connection without an answer, as HTTP lets it do when a
server is lost under a request that is not the connection's first."""
CUT_OFF_HERE = (*CUT_OFF, "WriteError")
"""How a client sees that the gateway itself died; a refused connection is none of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill that was done.

    :param at: just before the signal; ``gone``: when no killed process was left; ``back``: when what was
        killed worked again (a gateway: answered a request). Epoch seconds.
    :param slot: the gateway's server slot of a killed model server.
    """

    target: str
    step: str
    rollout: int
    at: float
    gone: float
    back: float
    slot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one rollout ended.

    :param state: ``promoted``, ``rolled back``, or what is wrong.
    :param entries: ledger entries that name the version.
    """

    rollout: int
    version: str
    state: str
    entries: int
    seconds: float


def explains(kill: Kill, failed: dict) -> bool:
    """Say whether a failed request was lost with a killed process.

    A model server's: it was under way when the process died, and its connection broke, on that server. A
    gateway's: its connection was there when the gateway died, and broke. What is sent while there is no
    gateway must wait for the next one. The death of anything else explains nothing.
    """
    if kill.target == Target.GATEWAY:
        there = failed["began"] <= kill.gone and failed["ended"] >= kill.at
        return there and failed["error"] in CUT_OFF_HERE
    if kill.target not in SERVERS:
        return False
    there = failed["status"] == BROKEN and failed["server"] == kill.slot
    return in_flight(kill, failed) and (there or failed["error"] in CUT_OFF)


def in_flight(kill: Kill, failed: dict) -> bool:
    """Say whether a request was under way when the process died."""
    return failed["began"] <= kill.gone + SEEN_SECONDS and failed["ended"] >= kill.at


def charge(kills: list[Kill], failures: list[dict]) -> tuple[dict[int, list[dict]], list[dict]]:
    """Return the failed requests that each kill explains, by its position, and those that none does."""
    charged: dict[int, list[dict]] = {number: [] for number in range(len(kills))}
    unexplained = []
    for failed in failures:
        number = next((n for n, kill in enumerate(kills) if explains(kill, failed)), None)
        (unexplained if number is None else charged[number]).append(failed)
    return charged, unexplained


def as_planned(end: End, kills: list[Kill]) -> bool:
    """Say whether the plan allows an end: a good version is promoted, once, unless its server was killed."""
    if end.state == PROMOTED:
        return end.entries == 1
    died = any(kill.target == Target.CANARY and kill.rollout == end.rollout for kill in kills)
    return end.state == ROLLED_BACK and end.entries == 0 and died


def table(kills: list[Kill], failures: list[dict], ends: list[End]) -> list[dict]:
    """Return one row per target and step."""
    charged, _ = charge(kills, failures)
    end_of = {end.rollout: end for end in ends}
    rows = []
    for target in Target:
        for step in STEPS:
            mine = [n for n, kill in enumerate(kills) if (kill.target, kill.step) == (target, step)]
            if not mine:
                continue
            over = [end_of[kills[n].rollout] for n in mine if kills[n].rollout in end_of]
            row = {"target": str(target), "step": step, "kills": len(mine)}
            row["failed"] = sum(len(charged[n]) for n in mine)
            row["in_flight"] = sum(in_flight(kills[n], failed) for n in mine for failed in charged[n])
            row["double_promotions"] = sum(max(0, end.entries - 1) for end in over)
            row["final"] = ", ".join(f"{s} {c}" for s, c in Counter(e.state for e in over).items())
            row["as_planned"] = bool(over) and all(as_planned(end, kills) for end in over)
            rows.append(row)
    return rows


def problems(kills: list[Kill], failures: list[dict], ends: list[End], *, wanted: int) -> list[str]:
    """Return what must not be; nothing when the run is good."""
    _, unexplained = charge(kills, failures)
    found = [f"request failed that no kill explains: {failed}" for failed in unexplained]
    found += [f"version {e.version} was promoted {e.entries} times" for e in ends if e.entries > 1]
    found += [
        f"rollout {end.rollout} of version {end.version} ended {end.state} with {end.entries} ledger entries"
        for end in ends
        if not as_planned(end, kills)
    ]
    if len(kills) < wanted:
        found.append(f"{len(kills)} kills, wanted {wanted}")
    return found
