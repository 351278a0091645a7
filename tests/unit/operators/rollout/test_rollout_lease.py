from __future__ import annotations

import asyncio

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from builders import VALIDATED, plan, promotion

from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS
from airflow_mlops.core.errors import ServiceUnavailableError
from airflow_mlops.core.rollout.plan import OnInconclusive
from airflow_mlops.core.rollout.state import Phase, RolloutState
from airflow_mlops.observe import analyse_window
from airflow_mlops.operators.rollout import (
    CleanUpRolloutOperator,
    DeployCanaryOperator,
    PromoteModelOperator,
    RollbackOperator,
    SetTrafficOperator,
)
from airflow_mlops.triggers.canary import CanaryAnalysisTrigger

PLAN = plan(bake_seconds=0.0, window_seconds=0.001, deadline_seconds=60.0, lease_seconds=60.0)
COMMON = {"model": "m", "version": "2"}


@pytest.fixture
def stepping(world, run):
    """Version 1 serves, version 2 gets 10 % under a lease; returns the step's state."""
    for number in ("1", "2"):
        world.registry.register("m", f"run-of-{number}", str(world.model_dir), VALIDATED)
    world.registry.promote(promotion("m", None, "1"))
    deployed = run(DeployCanaryOperator(task_id="deploy", plan=PLAN, **COMMON))
    return run(shift(deployed))


def shift(state, percent=10):
    return SetTrafficOperator(task_id="s", percent=percent, state=state, lease_seconds=60.0, **COMMON)


def lease_of(state):
    return RolloutState.from_json(state).lease


def seen_by(world, state, *, seconds=1.0):
    known = RolloutState.from_json(state)
    return analyse_window(world.serving, "m", PLAN, known, now=known.step_since + seconds)


def test_step_begins_under_a_lease_that_every_look_renews(world, stepping):
    lease = lease_of(stepping)
    assert (lease.holder, lease.token) == ("m__stage/run-1", 2)
    later = seen_by(world, stepping, seconds=50.0)
    assert later.is_open
    assert world.serving.leases["m"].expires_at == later.step_since + 50.0 + 60.0


def test_canary_unwatched_for_longer_than_its_lease_is_rolled_back(world, stepping):
    late = seen_by(world, stepping, seconds=120.0)
    assert late.phase is Phase.ROLLED_BACK
    assert "ran out" in late.reasons[0]


def test_of_two_copies_of_a_step_only_the_later_goes_on(world, run, stepping):
    before = RolloutState.from_json(stepping)
    again = run(shift(before_the_step(before)))
    assert lease_of(again).token == 3
    first = seen_by(world, stepping)
    assert (first.phase, "token 2 is lost" in first.reasons[0]) == (Phase.ROLLED_BACK, True)
    assert seen_by(world, again).is_open


@pytest.fixture
def overtaken(world, stepping, monkeypatch):
    """Another copy of a task takes each lease right after it was taken."""
    real = world.serving.take_lease

    def take_lease(endpoint, holder, **more):
        mine = real(endpoint, holder, **more)
        real(endpoint, holder, **more)
        return mine

    monkeypatch.setattr(world.serving, "take_lease", take_lease)


def before_the_step(state):
    fresh = {"phase": "ready", "percent": 0, "lease": None}
    return state.to_json() | fresh


@pytest.mark.usefixtures("overtaken")
def test_copy_from_the_past_moves_no_traffic(world, run, stepping):
    with pytest.raises(AirflowFailException, match=r"with token 3 is lost: .* with token 4 holds"):
        run(shift(before_the_step(RolloutState.from_json(stepping)), percent=50))
    assert world.serving.traffic("m").canary_percent == 10


@pytest.mark.usefixtures("overtaken")
def test_promotion_that_was_overtaken_moves_no_traffic(world, run, stepping):
    passed = stepping | {"phase": "passed"}
    with pytest.raises(
        AirflowFailException, match=r"with token 3 is lost: m__stage/run-1 with token 4 holds"
    ):
        run(PromoteModelOperator(task_id="p", state=passed, **COMMON))
    assert (world.serving.traffic("m").stable, world.registry.alias("m", CHAMPION_ALIAS)) == ("1", "1")


def test_second_rollout_fails_at_once_with_the_holders_name(world, run, stepping):
    with pytest.raises(AirflowFailException, match="held by m__stage/run-1, not by m__stage/run-2"):
        run(shift(before_the_step(RolloutState.from_json(stepping))), run_id="run-2")


def test_lease_ends_with_the_rollout_so_that_the_next_may_begin(world, run, stepping):
    passed = RolloutState.from_json(stepping).to_json() | {"phase": "passed"}
    run(PromoteModelOperator(task_id="p", state=passed, **COMMON))
    run(CleanUpRolloutOperator(task_id="c", **COMMON))
    assert world.serving.leases["m"].expires_at == 0.0
    world.serving.claim("m", "next")
    assert world.serving.take_lease("m", "next", now=1.0, seconds=9.0).token == 5


def test_rollback_ends_the_lease(world, run, stepping):
    run(RollbackOperator(task_id="r", **COMMON))
    assert world.serving.leases["m"].expired(1.0)


def test_gateway_that_does_not_answer_keeps_the_lease(world, stepping):
    def silent(endpoint):
        raise ServiceUnavailableError("gateway is gone")

    world.serving.traffic = silent
    held = seen_by(world, stepping, seconds=50.0)
    assert held.arrivals == {"missing": 1}
    assert world.serving.leases["m"].expires_at == held.step_since + 110.0


def test_weight_that_somebody_changed_holds_and_is_not_overwritten(world, stepping):
    by_hand(world, 40)
    held = seen_by(world, stepping)
    assert (held.phase, held.intervened) == (Phase.HELD, True)
    assert held.reasons[0].startswith("INTERVENED: m's canary gets 40 %, last written was 10 %")
    assert world.serving.traffic("m").canary_percent == 40
    still = seen_by(world, held.to_json(), seconds=2.0)
    assert still.phase is Phase.HELD
    by_hand(world, 10)
    assert seen_by(world, still.to_json(), seconds=3.0).phase is Phase.STEPPING


def by_hand(world, percent):
    world.serving.set_traffic("m", "2", percent, holder="m__stage/run-1")


def test_canary_that_somebody_replaced_holds(world, stepping):
    world.serving.deploy("m", "9", world.model_dir, holder="m__stage/run-1")
    held = seen_by(world, stepping)
    assert "canary is version 9, not 2" in held.reasons[0]


def test_failing_canary_is_blamed_though_somebody_intervened(world, stepping):
    by_hand(world, 40)
    state = stepping
    for number in range(1, 4):
        world.serving.count("m", "1", requests=900)
        world.serving.count("m", "2", requests=100, errors=60)
        state = seen_by(world, state, seconds=float(number)).to_json()
    assert state["phase"] == "rolled_back"


def test_trigger_ends_with_the_reason_when_its_lease_is_lost(world, stepping):
    hold = plan(window_seconds=0.001, on_inconclusive=OnInconclusive.HOLD).to_json()
    world.serving.take_lease("m", "m__stage/run-1", now=0.0, seconds=1.0)
    trigger = CanaryAnalysisTrigger(serving_conn_id="x", endpoint="m", plan=hold, state=stepping)

    async def events():
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(events())
    assert (payload["phase"], payload["decision"]) == ("rolled_back", "rollback")


@pytest.mark.parametrize("operator", [CleanUpRolloutOperator, RollbackOperator])
def test_end_of_a_rollout_cut_off_after_it_freed_the_endpoint_is_done_again(world, stepping, run, operator):
    first = run(operator(task_id="end", **COMMON))
    again = run(operator(task_id="end", **COMMON))
    assert again["stable"] == first["stable"]
    assert world.serving.traffic("m").holder is None
    world.serving.claim("m", "other/run")
    with pytest.raises(AirflowSkipException, match=r"not mine: .*nothing was changed"):
        run(operator(task_id="end", **COMMON))
    assert world.serving.traffic("m").holder == "other/run"
