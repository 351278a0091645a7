"""What a person does at which step of which rollout, with Airflow alive or killed: in a seeded order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING

from chaos.schedule import TASKS as CHAOS_TASKS

if TYPE_CHECKING:
    import random

ASK = "ask_20"
TASKS = {**CHAOS_TASKS, ASK: "step_1_20pct.ask"}
"""Task of each step; ``ask_20`` only in the rollout that asks a person."""
STEPS = ("deploy", "set_20", "analyse_20", ASK, "analyse_50", "promote", "clean_up")
CLEARED = ("deploy", "set_20", "analyse_20", "set_50", "analyse_50")
"""What is cleared while the last step is analysed."""


class Action(StrEnum):
    """What a person does."""

    PAUSE_SHORT = "pause, shorter than the lease"
    PAUSE_LONG = "pause, longer than the lease"
    MARK_FAILED = "mark run failed"
    MARK_SUCCESS = "mark run success"
    CLEAR = "clear task"
    DELETE_RUN = "delete run"
    DELETE_DAG = "delete DAG file"
    STOP_CLI = "stop by CLI"
    STOP_REST = "stop by REST"
    STOP_PAGE = "stop by page"
    TWO_STOPS = "two stops at once"
    STOP_AGAINST_PROMOTE = "stop against promote"
    ANSWER_AFTER_STOP = "answer after stop"


STOPS = (
    Action.STOP_CLI,
    Action.STOP_REST,
    Action.STOP_PAGE,
    Action.TWO_STOPS,
    Action.STOP_AGAINST_PROMOTE,
    Action.ANSWER_AFTER_STOP,
)
PAUSES = (Action.PAUSE_SHORT, Action.PAUSE_LONG)
BEFORE_THE_END = STEPS[:-1]
WHERE = {
    Action.PAUSE_SHORT: ("deploy", "analyse_20", ASK, "analyse_50", "promote"),
    Action.PAUSE_LONG: ("deploy", "analyse_20", ASK, "analyse_50", "promote"),
    Action.MARK_FAILED: BEFORE_THE_END,
    Action.MARK_SUCCESS: BEFORE_THE_END,
    Action.CLEAR: ("analyse_50",),
    Action.DELETE_RUN: BEFORE_THE_END,
    Action.DELETE_DAG: ("deploy", "analyse_20", "analyse_50"),
    Action.STOP_CLI: STEPS,
    Action.STOP_REST: STEPS,
    Action.STOP_PAGE: STEPS,
    Action.TWO_STOPS: ("analyse_20", "analyse_50", "promote"),
    Action.STOP_AGAINST_PROMOTE: ("promote",),
    Action.ANSWER_AFTER_STOP: (ASK,),
}
"""Steps at which an action makes sense."""
CHEAP = (
    (Action.STOP_CLI, "analyse_20", False),
    (Action.DELETE_RUN, "analyse_20", False),
    (Action.MARK_FAILED, "deploy", False),
    (Action.TWO_STOPS, "analyse_50", True),
)
"""Action, step, and whether Airflow is killed, of the short version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One action to be done.

    :param killed: scheduler, triggerer, DAG processor and workers are killed just before the action.
    :param clears: step whose task is cleared, with what comes after it.
    """

    action: Action
    step: str
    killed: bool = False
    clears: str = ""

    @property
    def name(self) -> str:
        """Return the cell in words."""
        what = f"{self.action} {self.clears}".strip()
        return f"{what} at {self.step}, Airflow {'killed' if self.killed else 'alive'}"


def every_cell() -> list[Cell]:
    """Return each action at each of its steps, with Airflow alive and killed."""
    found = []
    for (action, steps), killed in product(WHERE.items(), (False, True)):
        for step, cleared in product(steps, CLEARED if action is Action.CLEAR else ("",)):
            found.append(Cell(action=action, step=step, killed=killed, clears=cleared))
    return found


def cells(actions: int, rng: random.Random) -> list[Cell]:
    """Return ``actions`` cells: each action early, alive and killed; each once before any comes twice."""
    found: list[Cell] = []
    while len(found) < actions:
        all_cells = every_cell()
        rng.shuffle(all_cells)
        firsts = {(cell.action, cell.killed): cell for cell in reversed(all_cells)}
        chosen = list(firsts.values())
        rng.shuffle(chosen)
        found += [*chosen, *(cell for cell in all_cells if cell not in chosen)]
    return found[:actions]


def cheap_cells() -> list[Cell]:
    """Return the cells of the short version."""
    return [Cell(action=action, step=step, killed=killed) for action, step, killed in CHEAP]
