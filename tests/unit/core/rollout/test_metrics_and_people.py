"""Other metrics than errors, A/B tests, approvals, holds and freezes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import plan, reading, state_at, watched

from airflow_mlops.core.rollout.evidence.prediction import BinCounts
from airflow_mlops.core.rollout.evidence.share import ArmCounts, StepDecision
from airflow_mlops.core.rollout.freeze import FreezePeriod
from airflow_mlops.core.rollout.machine import advance, answer, begin, begin_step
from airflow_mlops.core.rollout.plan import OnInconclusive, RolloutMetric, Step, Strategy
from airflow_mlops.core.rollout.state import Phase, RolloutAnswer

FREEZE = FreezePeriod(start="1970-01-01T00:00:00+00:00", end="1970-01-01T00:01:00+00:00")  # to second 60
ANN, STOP = RolloutAnswer(percent=10, go_on=True, by="ann"), RolloutAnswer(percent=10, go_on=False, by="bob")


def also(metric, **more):
    its_plan = plan(metrics=(RolloutMetric.ERRORS, metric), **more)
    return its_plan, begin_step(begin(its_plan, "2", "1"), 10, reading(), now=0.0)


def seconds(its_plan, state, count, per_second, *, now=0):
    """Healthy requests, and beside them what ``per_second`` says of another metric."""
    for n in range(now + 1, now + count + 1):
        seen = reading(30 * n, 0, 270 * n, 0, **per_second(n))
        state = advance(its_plan, state, seen, now=float(n))
    return state


def slow(canary, stable):
    return lambda n: {
        "latency": ArmCounts(
            canary_requests=30 * n,
            canary_errors=canary * n,
            stable_requests=270 * n,
            stable_errors=stable * n,
        )
    }


def bins(low, high):
    return lambda n: {"predictions": BinCounts(canary=(low * n, high * n), stable=(150 * n, 120 * n))}


def test_slow_canary_is_rolled_back_by_name_though_it_never_fails():
    state = seconds(*also(RolloutMetric.LATENCY), 8, slow(6, 2))
    assert state.phase is Phase.ROLLED_BACK
    assert "canary is slow more often than stable" in state.reasons[0]
    assert "rolls back at 40" in state.reasons[0]  # alpha is divided among the two metrics


def test_canary_as_fast_as_stable_may_advance():
    assert seconds(*also(RolloutMetric.LATENCY), 10, slow(1, 9)).phase is Phase.PASSED


def test_canary_that_is_wrong_more_often_is_rolled_back_when_labels_come():
    def labels(n):
        return {"quality": slow(15, 20)(n)["latency"]}

    state = seconds(*also(RolloutMetric.QUALITY), 10, labels)
    assert (state.phase, "wrong more often" in state.reasons[0]) == (Phase.ROLLED_BACK, True)


@pytest.mark.parametrize("metric", [RolloutMetric.LATENCY, RolloutMetric.QUALITY, RolloutMetric.PREDICTIONS])
def test_watched_metric_that_never_comes_is_inconclusive(metric):
    state = seconds(*also(metric), 100, lambda n: {})
    assert state.decision is StepDecision.INCONCLUSIVE
    assert f"no data on {metric}" in state.reasons[0]


@pytest.mark.parametrize("metric", [RolloutMetric.LATENCY, RolloutMetric.QUALITY, RolloutMetric.PREDICTIONS])
def test_metric_that_comes_no_more_in_a_later_step_is_inconclusive(metric):
    said = {RolloutMetric.LATENCY: slow(1, 9), RolloutMetric.PREDICTIONS: bins(17, 13)}
    said[RolloutMetric.QUALITY] = lambda n: {"quality": slow(1, 9)(n)["latency"]}
    its_plan, state = also(metric)
    state = seconds(its_plan, state, 30, said[metric])
    assert state.phase is Phase.PASSED
    state = begin_step(state, 50, state.last, now=31.0)
    state = seconds(its_plan, state, 100, lambda n: {}, now=31)
    assert state.phase is Phase.ROLLED_BACK
    assert f"no data on {metric}" in state.reasons[0]


def test_metric_that_was_silent_for_a_while_is_counted_once():
    steady, silent = also(RolloutMetric.LATENCY), also(RolloutMetric.LATENCY)
    gap = (4, 5)
    steady = seconds(*steady, 8, slow(1, 9))
    silent = seconds(*silent, 8, lambda n: {} if n in gap else slow(1, 9)(n))
    assert silent.seen[RolloutMetric.LATENCY] == steady.seen[RolloutMetric.LATENCY] == 30 * 8


def test_metric_that_was_silent_while_its_server_started_again_is_counted_from_zero():
    its_plan, state = also(RolloutMetric.LATENCY, deadline_seconds=1e6)
    state = seconds(its_plan, state, 4, slow(1, 9))
    again = reading(5, 0, 270 * 5, 0, canary_generation="2")
    state = advance(its_plan, state, again, now=5.0)
    late = ArmCounts(canary_requests=7, canary_errors=0, stable_requests=270 * 5, stable_errors=45)
    state = advance(its_plan, state, replace(again, canary_requests=9, latency=late), now=6.0)
    assert state.seen[RolloutMetric.LATENCY] == 30 * 4 + 7
    assert "backwards" not in state.arrivals


def test_other_predictions_pause_and_a_person_decides_once():
    its_plan, state = also(
        RolloutMetric.PREDICTIONS, on_inconclusive=OnInconclusive.ADVANCE, bake_seconds=30.0
    )
    state = seconds(its_plan, state, 30, bins(2, 28))
    assert (state.phase, state.decision) == (Phase.HELD, StepDecision.INCONCLUSIVE)
    assert "predicts differently from stable: most in prediction bin 1" in state.reasons[0]
    state = answer(its_plan, state, ANN, now=31)
    assert (state.phase, state.decision) == (Phase.PASSED, StepDecision.ADVANCE)
    state = begin_step(state, 50, state.last, now=32)
    assert seconds(its_plan, state, 30, bins(2, 28), now=32).phase is Phase.PASSED


def test_who_agrees_to_other_predictions_does_not_cut_the_step_short():
    its_plan, state = also(RolloutMetric.PREDICTIONS, bake_seconds=60.0)
    state = answer(its_plan, seconds(its_plan, state, 30, bins(2, 28)), ANN, now=31)
    assert (state.phase, state.decision) == (Phase.STEPPING, StepDecision.CONTINUE)
    assert seconds(its_plan, state, 30, bins(2, 28), now=31).phase is Phase.PASSED


def test_same_predictions_do_not_pause():
    assert seconds(*also(RolloutMetric.PREDICTIONS), 30, bins(17, 13)).phase is Phase.PASSED


GATED = plan(steps=(Step(percent=10, approve=True), 50))


def test_gate_is_passed_only_by_a_person():
    state = watched(GATED, state_at(), 60)
    assert (state.phase, state.decision) == (Phase.WAITING_FOR_APPROVAL, StepDecision.CONTINUE)
    assert "a person has to approve" in state.reasons[0]
    elsewhere = answer(GATED, state, replace(ANN, percent=50), now=61)
    assert elsewhere is state
    assert answer(GATED, state, ANN, now=61).phase is Phase.PASSED
    assert answer(GATED, state, STOP, now=61).reasons == ("bob rolled back version 2 at 10 %",)


def test_answer_that_nobody_asked_for_changes_nothing():
    state = watched(GATED, state_at(), 3)
    assert answer(GATED, state, ANN, now=4) is state


def test_answer_given_twice_is_given_once():
    state = answer(GATED, watched(GATED, state_at(), 20), ANN, now=21)
    assert answer(GATED, state, STOP, now=22) is state


def test_canary_that_fails_while_it_waits_for_approval_is_rolled_back():
    state = watched(GATED, state_at(), 20)
    state = watched(GATED, state, 9, now=20, canary_errors=9)
    assert state.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("said", [ANN, STOP])
def test_plan_that_holds_waits_for_a_person_when_the_evidence_says_nothing(said):
    patient = plan(on_inconclusive=OnInconclusive.HOLD)
    state = advance(patient, state_at(), None, now=100.0)
    assert (state.phase, state.decision, state.is_open) == (Phase.HELD, StepDecision.INCONCLUSIVE, True)
    state = watched(patient, state, 20, now=100)
    assert state.phase is Phase.HELD
    ended = answer(patient, state, said, now=130.0)
    assert ended.phase is (Phase.PASSED if said.go_on else Phase.ROLLED_BACK)


def test_canary_does_not_rise_in_a_freeze_but_may_be_rolled_back():
    frozen = plan(freeze=(FREEZE,))
    state = watched(frozen, state_at(), 50)
    assert state.phase is Phase.STEPPING
    assert "frozen until 1970-01-01 00:01 UTC" in state.reasons[0]
    assert watched(frozen, state, 11, now=50).phase is Phase.PASSED
    assert watched(frozen, state, 5, now=50, canary_errors=15).phase is Phase.ROLLED_BACK


def test_approval_given_in_a_freeze_holds_until_it_ends():
    frozen = plan(steps=GATED.steps, freeze=(FREEZE,))
    state = answer(frozen, watched(frozen, state_at(), 20), ANN, now=21)
    assert state.phase is Phase.WAITING_FOR_APPROVAL
    assert advance(frozen, state, None, now=60).phase is Phase.PASSED


def test_deadline_in_a_freeze_does_not_rise_either():
    bold = plan(freeze=(FREEZE,), on_inconclusive=OnInconclusive.ADVANCE, deadline_seconds=30.0)
    state = advance(bold, watched(bold, state_at(), 1), None, now=40.0)
    assert state.phase is Phase.STEPPING
    assert advance(bold, state, None, now=61.0).phase is Phase.PASSED


SPLIT = plan(steps=(50,), strategy=Strategy.AB)


@pytest.mark.parametrize(
    ("canary", "stable", "phase", "verb"),
    [(2, 12, Phase.PASSED, "better"), (5, 5, Phase.ROLLED_BACK, "no decision")],
)
def test_split_is_held_until_the_arms_are_shown_to_differ(canary, stable, phase, verb):
    state = begin_step(begin(SPLIT, "2", "1"), 50, reading(), now=0.0)
    each = {"canary_requests": 100, "stable_requests": 100, "canary_errors": canary, "stable_errors": stable}
    few = watched(SPLIT, state, 5, **each)
    assert few.phase is Phase.STEPPING
    state = watched(SPLIT, few, 95, now=5, **each)
    assert state.phase is phase
    assert verb in state.reasons[0]
    assert "odds ratio canary : stable between" in state.reasons[0]


def test_split_is_decided_by_its_first_metric():
    by_labels = plan(steps=(50,), strategy=Strategy.AB, metrics=(RolloutMetric.QUALITY,))
    state = begin_step(begin(by_labels, "2", "1"), 50, reading(), now=0.0)
    state = seconds(by_labels, state, 80, lambda n: {"quality": labelled(5 * n, 15 * n, of=100 * n)})
    assert state.phase is Phase.PASSED


def labelled(canary, stable, *, of):
    return ArmCounts(canary_requests=of, canary_errors=canary, stable_requests=of, stable_errors=stable)
