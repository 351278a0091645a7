"""A promotion that is stopped, cut off or left alone at any moment: traffic, ledger and roles agree."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from passed_step import COMMON, HOLDER, PLAN, promotes

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, ROLLBACK
from airflow_mlops.core.errors import LeaseLostError, ServiceUnavailableError
from airflow_mlops.core.rollout.end import EndKind
from airflow_mlops.operators.rollout import (
    DeployCanaryOperator,
    PromoteModelOperator,
    RollbackOperator,
)
from airflow_mlops.runtime import ends
from airflow_mlops.runtime.stop import stop_rollout


@pytest.fixture
def promote(run, passed):
    return lambda: run(promotes(passed))


def roll_back(run):
    return run(RollbackOperator(task_id="r", **COMMON))


def stop(world):
    said = {"actor": "eve", "reason": "it is bad", "now": time.time(), "registry": world.registry}
    return stop_rollout(world.serving, "m", **said)


def away(*args, **kwargs):
    msg = "MLflow is away"
    raise ServiceUnavailableError(msg)


def stands(world):
    seen = world.serving.traffic("m")
    return (
        seen.stable,
        seen.canary_percent,
        world.registry.settle("m"),
        [e.to_version for e in world.registry.ledger("m")],
    )


def ended(world):
    return [(end.kind, end.version, end.percent) for end in world.registry.ends("m")]


def test_stop_while_mlflow_is_away_returns_all_requests_to_the_champion(world, promote, run, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(world.registry, "promote", away)
        with pytest.raises(ServiceUnavailableError):
            promote()
        assert world.serving.traffic("m").canary_percent == 100
        assert stop(world).sentence.startswith("m: version 2 stopped, 100 % → 0 %; version 1 serves")
    with pytest.raises(AirflowFailException):
        promote()
    roll_back(run)
    assert stands(world) == ("1", 0, "1", ["1"])
    assert ended(world) == [(EndKind.STOPPED, "2", 100)]


def test_stop_while_the_ledger_is_written_wins_and_the_ledger_says_so(world, promote, run, monkeypatch):
    write = world.registry.promote

    def stopped_meanwhile(entry):
        monkeypatch.setattr(world.registry, "promote", write)
        stop(world)
        return write(entry)

    monkeypatch.setattr(world.registry, "promote", stopped_meanwhile)
    with pytest.raises(AirflowFailException, match="a person stopped the rollout"):
        promote()
    assert stands(world) == ("1", 0, "1", ["1", "2", "1"])
    last = world.registry.ledger("m")[-1]
    assert (last.kind, last.from_version) == (ROLLBACK, "2")
    assert last.reason == "version 2 stopped at 100 % by eve: it is bad, before its promotion was complete"
    roll_back(run)
    assert ended(world) == [(EndKind.STOPPED, "2", 100)]


def test_stop_just_before_the_ledger_is_written_leaves_it_alone(world, promote, monkeypatch):
    raise_traffic = world.serving.set_traffic

    def stopped_after(*args, **more):
        seen = raise_traffic(*args, **more)
        stop(world)
        return seen

    monkeypatch.setattr(world.serving, "set_traffic", stopped_after)
    with pytest.raises(AirflowFailException, match="a person stopped the rollout"):
        promote()
    assert stands(world) == ("1", 0, "1", ["1"])


def test_promotion_that_nobody_completes_is_reaped(world, promote, monkeypatch):
    monkeypatch.setattr(world.registry, "promote", away)
    with pytest.raises(ServiceUnavailableError):
        promote()
    assert world.serving.stop_unwatched("m", now=time.time() + 3600) is not None
    assert (world.serving.traffic("m").stable, world.serving.traffic("m").canary_percent) == ("1", 0)


@pytest.mark.parametrize("written", [False, True], ids=["before the ledger", "after the ledger"])
def test_next_rollout_goes_on_from_what_a_deleted_run_left(world, promote, run, monkeypatch, written):
    cut_off = (world.serving, "promote") if written else (world.registry, "promote")
    with monkeypatch.context() as patched:
        patched.setattr(*cut_off, away)
        with pytest.raises(ServiceUnavailableError):
            promote()
    monkeypatch.setattr(ends, "run_state", lambda holder: "deleted")
    run(DeployCanaryOperator(task_id="d", plan=PLAN, model="m", version="3"), run_id="run-9")
    seen = world.serving.traffic("m")
    assert (seen.stable, seen.canary, seen.canary_percent) == ("1", "3", 0)
    assert world.registry.settle("m") == "1"
    assert [e.to_version for e in world.registry.ledger("m")] == (["1", "2", "1"] if written else ["1"])
    assert ended(world) == [(EndKind.SUPERSEDED, "2", 100)]


def test_promotion_that_was_cut_off_after_the_ledger_is_completed_by_the_next_try(
    world, passed, run, promote, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(world.serving, "promote", away)
        with pytest.raises(ServiceUnavailableError):
            promote()
    late = replace(passed, clock=time.time() - 45.0)
    run(promotes(late))
    assert stands(world) == ("2", 0, "2", ["1", "2"])


def test_roll_back_completes_a_promotion_that_the_ledger_has(world, promote, run, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(world.serving, "promote", away)
        with pytest.raises(ServiceUnavailableError):
            promote()
    roll_back(run)
    assert stands(world) == ("2", 0, "2", ["1", "2"])
    assert ended(world) == [(EndKind.PROMOTED, "2", 100)]


def test_roll_back_of_a_version_that_there_is_not_is_skipped_with_those_there_are(world, passed, run):
    world.serving.release("m", HOLDER)
    with pytest.raises(AirflowSkipException, match="no version '99'; versions: 3, 2, 1; nothing was changed"):
        run(RollbackOperator(task_id="r", model="m", version="99"))
    assert ended(world) == []


def test_roll_back_of_which_two_copies_run_at_once_succeeds_in_both(world, passed, run, monkeypatch):
    take = world.serving.take_lease

    def released_by_the_other_copy(*args, **more):
        monkeypatch.setattr(world.serving, "take_lease", take)
        roll_back(run)
        return take(*args, **more)

    monkeypatch.setattr(world.serving, "take_lease", released_by_the_other_copy)
    assert roll_back(run)["stable"] == "1"
    assert (stands(world)[:3], world.serving.traffic("m").holder) == (("1", 0, "1"), None)
    assert ended(world) == [(EndKind.FAILED, "2", 0)]


def test_alias_that_a_person_moved_to_the_canary_spares_it_no_clearance(world, passed, promote, monkeypatch):
    world.registry._aliases["m", CHAMPION_ALIAS] = "2"
    refused = []
    monkeypatch.setattr(
        PromoteModelOperator,
        "_clear",
        lambda *args, **more: refused.append(args) or (_ for _ in ()).throw(LeaseLostError("x")),
    )
    with pytest.raises(AirflowFailException):
        promote()
    assert len(refused) == 1
