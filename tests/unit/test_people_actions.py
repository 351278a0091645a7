"""The rules by which people's actions are judged: they must not excuse what was promised not to happen."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from people.judging import UNWATCHED_SECONDS, Seen, percent_at, problems, zero_seconds
from people.report import row
from people.schedule import STOPS, WHERE, Action, Cell, cells, cheap_cells, every_cell

CELL = Cell(action=Action.STOP_CLI, step="analyse_20")
PROMOTION = {"ends": ("promoted",), "entries": 1, "stable": "2", "champion": "2", "state": "success"}


def seen(cell=CELL, **more):
    """A stop one second after it was asked for, of version 2 at 20 %."""
    known = {
        "version": "2",
        "champion_before": "1",
        "at": 10.0,
        "said": 11.0,
        "weights": ((5.0, 20), (11.0, 0)),
    }
    known |= {"state": "failed", "greens": ("deploy_canary", "roll_back"), "ends": ("stopped",)}
    return Seen(cell=cell, **known | {"stable": "1", "champion": "1"} | more)


def test_stop_that_did_what_it_promises_is_no_problem():
    assert problems(seen()) == []
    assert zero_seconds(seen()) == 1.0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"weights": ((5.0, 20), (16.0, 0))}, "weight 0 after 6.0 s, allowed: 5 s"),
        ({"weights": ((5.0, 20), (11.0, 0), (30.0, 20))}, "version 2 still gets 20 % of requests"),
        ({"weights": ((5.0, 20), (11.0, 0), (30.0, 20), (32.0, 0))}, "weight 0 after 22.0 s, allowed: 5 s"),
        ({"ends": ()}, "ledger tells no end; allowed: one of stopped"),
        ({"ends": ("stopped", "stopped")}, "ledger tells stopped, stopped; allowed: one of stopped"),
        ({"ends": ("failed",)}, "ledger tells failed; allowed: one of stopped"),
        ({"stable": "2"}, "stable 2 and champion 1, before it was 1"),
        ({"greens": ("clean_up",)}, "green without a promotion: clean_up"),
        ({"state": "success"}, "green without a promotion: the run"),
        ({"failures": 2}, "2 requests failed"),
        ({"next_problem": "held by x"}, "next rollout: held by x"),
        ({"refused": "404 /mlops/stop"}, "the action was refused: 404 /mlops/stop"),
    ],
)
def test_whatever_a_stop_promises_and_does_not_keep_is_a_problem(change, problem):
    assert problems(seen(**change)) == [problem]


def test_promotion_must_be_one_by_traffic_alias_and_ledger():
    cell = replace(CELL, step="promote")
    assert problems(seen(cell, **PROMOTION)) == []
    half = {**PROMOTION, "champion": "1"}
    assert len(problems(seen(cell, **half, weights=((5.0, 50), (11.0, 0))))) == 3


@pytest.mark.parametrize(("ends", "count"), [(("promoted", "stopped"), 0), (("stopped", "promoted"), 1)])
def test_endpoint_may_be_freed_after_the_promotion_and_that_is_told(ends, count):
    cell = replace(CELL, step="clean_up")
    assert len(problems(seen(cell, **{**PROMOTION, "ends": ends}))) == count
    assert problems(seen(cell, ends=("promoted", "stopped"))) != []


@pytest.mark.parametrize(("zero", "count"), [(UNWATCHED_SECONDS - 1, 0), (UNWATCHED_SECONDS + 1, 1)])
@pytest.mark.parametrize("action", [Action.MARK_FAILED, Action.MARK_SUCCESS, Action.DELETE_RUN])
def test_canary_that_nobody_watches_keeps_its_traffic_no_longer_than_the_lease(action, zero, count):
    cell = Cell(action=action, step="analyse_20")
    found = problems(seen(cell, weights=((5.0, 20), (10.0 + zero, 0)), ends=("reaped",)))
    assert len(found) == count


def test_weight_that_rises_while_the_dag_is_paused_is_a_problem():
    cell = Cell(action=Action.PAUSE_LONG, step="analyse_20")
    risen = ((5.0, 20), (20.0, 50), (40.0, 100))
    assert problems(seen(cell, **PROMOTION, weights=risen, released=15.0)) == []
    assert problems(seen(cell, **PROMOTION, weights=risen, released=30.0)) == [
        "weight rose from 20 % to 50 % while paused"
    ]


@pytest.mark.parametrize(("step", "count"), [("promote", 0), ("analyse_50", 1)])
def test_task_that_raises_the_weight_may_end_after_the_pause_when_it_was_queued_before(step, count):
    cell = Cell(action=Action.PAUSE_SHORT, step=step)
    risen = ((5.0, 50), (17.0, 100))
    assert len(problems(seen(cell, **PROMOTION, weights=risen, released=30.0))) == count


def test_version_that_never_got_a_request_has_weight_0_at_once():
    assert zero_seconds(seen(weights=((10.0, 0),))) == 0.0
    assert percent_at(((5.0, 20), (11.0, 0)), 4.0) == 0
    assert percent_at(((5.0, 20), (11.0, 0)), 10.9) == 20


def test_row_says_what_happened():
    assert row(seen()) == {
        "action": "stop by CLI",
        "step": "analyse_20",
        "airflow": "alive",
        "weight 0 after": "1.0 s",
        "failed": "0",
        "ledger end": "stopped",
        "next rollout": "ok",
        "as it must": "yes",
    }
    assert row(seen(weights=((5.0, 20),), next_problem="held"))["weight 0 after"] == "still there"


def test_every_action_is_done_at_each_of_its_steps_alive_and_killed():
    every = every_cell()
    assert len(every) == len(set(every)) == 2 * (sum(map(len, WHERE.values())) + 4)  # clear: five tasks
    assert {(cell.action, cell.killed) for cell in every} == {(a, k) for a in Action for k in (False, True)}
    assert {cell.step for cell in every if cell.action in STOPS} == set(WHERE[Action.STOP_CLI])
    assert set(cheap_cells()) <= set(every)


@pytest.mark.parametrize("seed", range(10))
def test_each_action_comes_early_and_no_cell_twice_before_each_came_once(seed):
    chosen = cells(60, random.Random(seed))
    assert len(set(chosen)) == len(chosen) == 60
    first = chosen[: 2 * len(Action)]
    assert {(cell.action, cell.killed) for cell in first} == {(a, k) for a in Action for k in (False, True)}
    everything = cells(len(every_cell()), random.Random(seed))
    assert set(everything) == set(every_cell())
