"""Which process is killed at which step of which rollout: each pair of the two once, in a seeded order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

ROLL_BACK = "roll_back"
CLEAN_UP = "clean_up"
TASKS = {
    "deploy": "deploy_canary",
    "set_20": "step_1_20pct.set_traffic",
    "analyse_20": "step_1_20pct.analyse",
    "set_50": "step_2_50pct.set_traffic",
    "analyse_50": "step_2_50pct.analyse",
    "promote": "promote",
    CLEAN_UP: "clean_up",
    ROLL_BACK: "roll_back",
}
"""Task of each step, in the order of a rollout; a rollout ends in ``clean_up`` or ``roll_back``."""
STEPS = tuple(TASKS)
MOST_KILLS = 5


class Target(StrEnum):
    """What is killed.

    ``WORKER``: the process that runs the task and the one that supervises it. ``CANARY``: all processes of
    the canary's server. ``SIBLING``: one of the two processes that answer for the stable version.
    """

    SCHEDULER = "scheduler"
    TRIGGERER = "triggerer"
    WORKER = "worker"
    CANARY = "canary"
    SIBLING = "stable's sibling"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Cell:
    """One kill that is to be done.

    :param at_once: as soon as the step is seen, because it was over too soon before.
    """

    target: Target
    step: str
    at_once: bool = False

    @property
    def place(self) -> int:
        """Position of the step in a rollout."""
        return STEPS.index(self.step)


def cells(kills: int, rng: random.Random) -> list[Cell]:
    """Return ``kills`` pairs of target and step; each once before any comes twice, each target early.

    There is no canary any more when a rollout cleans up or has rolled back.
    """
    gone = (CLEAN_UP, ROLL_BACK)
    all_cells = [Cell(t, s) for t in Target for s in STEPS if not (t is Target.CANARY and s in gone)]
    found: list[Cell] = []
    while len(found) < kills:
        rng.shuffle(all_cells)
        firsts = {cell.target: cell for cell in reversed(all_cells) if cell.step != ROLL_BACK}
        rest = [cell for cell in all_cells if cell not in firsts.values()]
        found += [*firsts.values(), *rest]
    return found[:kills]


def take_rollout(waiting: list[Cell]) -> list[Cell]:
    """Take the kills of the next rollout out of ``waiting``: at most one a step, in the order of steps.

    A rollout whose canary is killed may be rolled back, so that nothing else is killed in it but in
    ``roll_back``: no other kill can hide behind that. Kills in ``roll_back`` need such a rollout; the last
    analysis kills its canary once more if none is left.
    """
    canary = next((cell for cell in waiting if cell.target is Target.CANARY), None)
    last = any(cell.step == ROLL_BACK for cell in waiting) and canary is None
    if last:
        canary = Cell(Target.CANARY, "analyse_50")
    chosen = [canary] if canary else []
    for cell in waiting:
        if len(chosen) < MOST_KILLS and _fits(cell, chosen, canary):
            chosen.append(cell)
    for cell in chosen:
        if cell in waiting:
            waiting.remove(cell)
    return sorted(chosen, key=lambda cell: cell.place)


def _fits(cell: Cell, chosen: list[Cell], canary: Cell | None) -> bool:
    if cell.target is Target.CANARY or cell.step in {other.step for other in chosen}:
        return False
    return (cell.step == ROLL_BACK) is (canary is not None)
