from __future__ import annotations

from dataclasses import replace

import pytest
from builders import plan, reading, state_at, watched

from airflow_mlops.core.errors import LeaseLostError, RegistryConflictError
from airflow_mlops.core.rollout.lease import Lease, acquire
from airflow_mlops.core.rollout.machine import advance, recheck
from airflow_mlops.core.rollout.rise import is_stale, longest_age, require_same_champion, restarted
from airflow_mlops.core.rollout.state import Phase, RolloutAnswer

PLAN = plan(bake_seconds=5.0, window_seconds=1.0)


@pytest.fixture
def passed():
    state = watched(PLAN, state_at(bake_seconds=5.0, window_seconds=1.0), 20)
    assert state.phase is Phase.PASSED
    return state


def test_decision_is_stale_after_two_windows_or_a_hand_over_whichever_is_longer(passed):
    assert longest_age(plan(window_seconds=60.0)) == 120.0
    assert longest_age(PLAN) == 30.0
    assert not is_stale(PLAN, passed, now=passed.clock + 30.0)
    assert is_stale(PLAN, passed, now=passed.clock + 30.1)


def test_restarted_step_needs_its_bake_again_and_forgets_no_evidence(passed):
    again = restarted(passed, now=passed.clock + 100.0)
    assert (again.phase, again.percent, again.step_requests) == (Phase.STEPPING, 10, 0)
    assert again.share == passed.share
    assert "100 s old" in again.reasons[0]
    last = passed.last
    grown = replace(
        last, canary_requests=last.canary_requests + 300, stable_requests=last.stable_requests + 2700
    )
    soon = advance(PLAN, again, grown, now=again.clock + 1.0)
    assert soon.phase is Phase.STEPPING  # the bake counts from the restart
    assert advance(PLAN, soon, grown, now=again.clock + 6.0).phase is Phase.PASSED


def test_restarted_step_is_rolled_back_by_what_was_answered_while_it_was_unwatched(passed):
    again = restarted(passed, now=passed.clock + 100.0)
    worse = again
    for number in range(1, 12):
        last = worse.last
        bad = replace(
            last,
            canary_requests=last.canary_requests + 30,
            canary_errors=last.canary_errors + 25,
            stable_requests=last.stable_requests + 270,
        )
        worse = advance(PLAN, worse, bad, now=again.clock + number)
    assert worse.phase is Phase.ROLLED_BACK


def test_answer_of_a_person_stays_with_a_restarted_step(passed):
    said = RolloutAnswer(percent=10, go_on=True, by="ann")
    again = restarted(replace(passed, said=said, approved_by="ann"), now=passed.clock + 100.0)
    assert (again.said, again.approved_by) == (said, None)


def test_recheck_rolls_back_on_what_came_since_the_decision_and_else_changes_no_decision(passed):
    last = passed.last
    fine = replace(
        last, canary_requests=last.canary_requests + 30, stable_requests=last.stable_requests + 270
    )
    good = recheck(PLAN, passed, fine, now=passed.clock + 3.0)
    assert (good.phase, good.clock, good.last) == (Phase.PASSED, passed.clock, fine)
    assert recheck(PLAN, passed, None, now=passed.clock + 3.0).phase is Phase.PASSED
    worse = passed
    for number in range(1, 12):
        last = worse.last
        bad = replace(
            last,
            canary_requests=last.canary_requests + 30,
            canary_errors=last.canary_errors + 30,
            stable_requests=last.stable_requests + 270,
        )
        worse = recheck(PLAN, worse, bad, now=passed.clock + number)
        if worse.phase is not Phase.PASSED:
            break
    assert worse.phase is Phase.ROLLED_BACK
    assert "fails more" in worse.reasons[0]


def test_rollout_goes_on_only_against_the_champion_it_is_compared_with(passed):
    require_same_champion("m", "1", passed)
    require_same_champion("m", "2", passed)  # promoted by an earlier try
    with pytest.raises(RegistryConflictError, match=r"champion is version 7, .* started against 1; nothing"):
        require_same_champion("m", "7", passed)


def test_lease_that_has_ended_is_not_taken_in_silence_for_a_rise():
    held = Lease(holder="a", token=4, expires_at=100.0)
    assert acquire(held, "a", now=99.0, seconds=60.0, living=True).token == 5
    with pytest.raises(LeaseLostError, match="lease of a ended 20 s ago: nothing watched the canary since"):
        acquire(held, "a", now=120.0, seconds=60.0, living=True)
    with pytest.raises(LeaseLostError, match="lease of a is gone"):
        acquire(None, "a", now=120.0, seconds=60.0, living=True)
    assert acquire(held, "a", now=120.0, seconds=60.0).token == 5  # to roll back


def test_first_reading_of_a_step_is_no_evidence():
    assert recheck(PLAN, state_at(), reading(), now=1.0).phase is Phase.STEPPING
