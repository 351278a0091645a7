"""The live document: bounded, across the steps of one rollout, and which windows are worth a line."""

from __future__ import annotations

from dataclasses import replace

from builders import plan, reading, state_at, watched

from airflow_mlops.core.rollout.lease import Lease
from airflow_mlops.core.rollout.live import LIVE_WINDOWS, LiveRollout, change_of, live_rollout
from airflow_mlops.core.rollout.machine import advance, begin_step
from airflow_mlops.core.rollout.state import Phase

PLAN = plan()


def leased(state, holder="m__rollout/run-1"):
    return replace(state, lease=Lease(holder=holder, token=1, expires_at=300.0))


def test_document_says_where_the_step_stands():
    state = leased(watched(PLAN, state_at(10), windows=3, stable_errors=1))
    live = live_rollout(PLAN, state, None)
    assert (live.version, live.champion, live.percent, live.phase) == ("2", "1", 10, Phase.STEPPING)
    assert (live.holder, live.lease_until, live.at) == ("m__rollout/run-1", 300.0, 3.0)
    assert (live.bar, live.e_values["errors"]) == (1 / PLAN.alpha_each, state.share.e_value)
    assert (live.step_counts.canary_requests, live.step_counts.canary_errors) == (90, 0)
    assert LiveRollout.from_json(live.to_json()) == live


def test_windows_of_earlier_steps_are_kept_and_those_of_another_rollout_are_not():
    first = leased(watched(PLAN, state_at(10)))
    before = live_rollout(PLAN, first, None)
    passed = replace(first, phase=Phase.PASSED)
    second = watched(PLAN, leased(begin_step(passed, 50, first.last, now=20.0)), windows=2, now=20.0)
    live = live_rollout(PLAN, second, before)
    assert {point.percent for point in live.windows} == {10, 50}
    assert live.step_counts.canary_requests == 60
    again = live_rollout(PLAN, leased(second, "m__rollout/run-2"), before)
    assert {point.percent for point in again.windows} == {50}


def test_step_that_is_analysed_again_does_not_count_its_windows_twice():
    state = leased(watched(PLAN, state_at(10), windows=4))
    once = live_rollout(PLAN, state, None)
    assert live_rollout(PLAN, state, once) == once


def test_long_rollout_is_merged_and_loses_no_request():
    long = plan(deadline_seconds=10_000.0, bake_seconds=9_000.0)
    state = leased(watched(long, state_at(10), windows=3 * LIVE_WINDOWS))
    live = live_rollout(long, state, None)
    assert len(live.windows) <= LIVE_WINDOWS
    assert live.step_counts.canary_requests == 30 * 3 * LIVE_WINDOWS


def test_only_a_change_is_worth_a_line():
    begun = state_at(10)
    assert change_of(None, begun) == "version 2 at 10 %: stepping, continue"
    watching = watched(PLAN, begun, windows=2)
    assert change_of(begun, watching) == ""
    decided = watched(PLAN, begun, windows=12)
    assert change_of(watching, decided).startswith("version 2 at 10 %: passed, advance: ")
    lost = advance(PLAN, watching, None, now=5.0)
    assert change_of(watching, lost) != ""
    assert change_of(lost, advance(PLAN, lost, None, now=6.0)) == ""


def test_held_step_says_why():
    held = replace(state_at(10), phase=Phase.HELD, intervened=True, reasons=("INTERVENED: 30 %",))
    said = change_of(state_at(10), held)
    assert said == "version 2 at 10 %: held, continue, held because traffic was changed: INTERVENED: 30 %"
    assert change_of(held, replace(held, last=reading(canary=5))) == ""
