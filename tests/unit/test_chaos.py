"""The rules by which a chaos run is judged: they must not excuse what nobody killed."""

from __future__ import annotations

import random

import pytest
from chaos.judging import PROMOTED, ROLLED_BACK, End, Kill, as_planned, charge, problems, table
from chaos.schedule import ROLL_BACK, STEPS, Cell, Target, cells, take_rollout


def killed(target, step="analyse_20", rollout=1, slot="slot1"):
    return Kill(target=str(target), step=step, rollout=rollout, at=10.0, gone=10.1, back=12.0, slot=slot)


def failed(began, ended, status=502, server="slot1", error=""):
    return {"status": status, "error": error, "server": server, "began": began, "ended": ended}


def ended(state=PROMOTED, entries=1, rollout=1):
    return End(rollout=rollout, version="7", state=state, entries=entries, seconds=40.0)


@pytest.mark.parametrize(
    ("target", "failure", "explained"),
    [
        (Target.CANARY, failed(9.9, 10.05), True),
        (Target.SIBLING, failed(9.9, 10.05), True),
        (Target.CANARY, failed(9.9, 10.05, server="slot2"), False),
        (Target.CANARY, failed(9.9, 10.05, status=503), False),
        (Target.CANARY, failed(9.9, 10.05, status=0, server="", error="ReadError"), True),
        (Target.CANARY, failed(9.9, 10.05, status=0, server="", error="ConnectError"), False),
        (Target.CANARY, failed(9.0, 9.9), False),
        (Target.CANARY, failed(10.3, 10.4), False),
        (Target.GATEWAY, failed(9.9, 10.05, status=0, server="", error="RemoteProtocolError"), True),
        (Target.GATEWAY, failed(9.9, 10.05, status=0, server="", error="ConnectError"), False),
        (Target.GATEWAY, failed(9.9, 40.0, status=0, server="", error="ReadTimeout"), False),
        (Target.GATEWAY, failed(10.2, 10.3, status=0, server="", error="ReadError"), False),
        (Target.GATEWAY, failed(11.9, 11.95, status=503, server=""), False),
        (Target.GATEWAY, failed(12.1, 12.2, status=503, server=""), False),
        (Target.SCHEDULER, failed(9.9, 10.05), False),
        (Target.WORKER, failed(9.9, 10.05), False),
    ],
)
def test_failed_request_is_excused_only_when_it_was_lost_with_what_was_killed(target, failure, explained):
    charged, unexplained = charge([killed(target)], [failure])
    assert (charged[0], unexplained) == (([failure], []) if explained else ([], [failure]))


@pytest.mark.parametrize(
    ("end", "target", "allowed"),
    [
        (ended(), Target.WORKER, True),
        (ended(entries=2), Target.WORKER, False),
        (ended(entries=0), Target.WORKER, False),
        (ended(ROLLED_BACK, 0), Target.CANARY, True),
        (ended(ROLLED_BACK, 0), Target.GATEWAY, False),
        (ended(ROLLED_BACK, 1), Target.CANARY, False),
        (ended("run failed, stable 7, canary None at 0 %", 1), Target.CANARY, False),
    ],
)
def test_good_version_is_rolled_back_only_when_its_server_was_killed(end, target, allowed):
    assert as_planned(end, [killed(target)]) is allowed


def test_run_with_too_few_kills_or_a_double_promotion_is_a_problem():
    found = problems([killed(Target.WORKER)], [], [ended(entries=2)], wanted=2)
    assert found[0] == "version 7 was promoted 2 times"
    assert found[-1] == "1 kills, wanted 2"


def test_table_counts_what_each_kill_cost():
    kills = [killed(Target.GATEWAY), killed(Target.GATEWAY, rollout=2)]
    failures = [failed(9.9, 10.05, error="ReadError"), failed(11.0, 11.1, error="ConnectError")]
    (row,) = table(kills, failures, [ended(), ended(ROLLED_BACK, 0, rollout=2)])
    assert (row["kills"], row["failed"], row["in_flight"]) == (2, 1, 1)
    assert (row["final"], row["as_planned"]) == ("promoted 1, rolled back 1", False)


def test_every_target_dies_at_every_step_when_there_are_kills_enough():
    every = cells(46, random.Random(1))
    assert len(set(every)) == 46
    assert {cell.step for cell in every if cell.target is Target.WORKER} == set(STEPS)
    assert {cell.target for cell in cells(6, random.Random(1))} == set(Target)


@pytest.mark.parametrize("seed", range(20))
def test_rollouts_take_all_kills_in_an_order_that_can_happen(seed):
    waiting = cells(46, random.Random(seed))
    wanted, taken = set(waiting), []
    while waiting:
        chosen = take_rollout(waiting)
        canaries = [cell for cell in chosen if cell.target is Target.CANARY]
        assert len(canaries) <= 1
        assert len({cell.step for cell in chosen}) == len(chosen) <= 5
        assert all((c.step == ROLL_BACK) is bool(canaries) for c in chosen if c not in canaries)
        taken += chosen
    assert wanted <= set(taken)
    assert set(taken) - wanted <= {Cell(Target.CANARY, "analyse_50")}
