"""The rollout's state machine: ``begin``, then per step ``begin_step`` and ``advance`` until it decides.

Pure functions: readings, answers and time are arguments, so worker and triggerer cannot decide differently.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import TrafficOrderError
from airflow_mlops.core.rollout.counters import (
    CounterDelta,
    Reading,
    ReadingStatus,
    carried,
    delta_since,
    retire,
)
from airflow_mlops.core.rollout.decide import Judgement, is_alone, judge_step, trace_point
from airflow_mlops.core.rollout.evidence.interval import OddsRatioInterval
from airflow_mlops.core.rollout.evidence.prediction import PredictionShareTest
from airflow_mlops.core.rollout.evidence.rate import ErrorRateTest
from airflow_mlops.core.rollout.evidence.share import ErrorShareTest, StepDecision
from airflow_mlops.core.rollout.freeze import frozen_until, in_words
from airflow_mlops.core.rollout.plan import (
    COMPARED_METRICS,
    OnInconclusive,
    RolloutMetric,
    RolloutPlan,
    Strategy,
)
from airflow_mlops.core.rollout.state import Phase, RolloutAnswer, RolloutState, thinned
from airflow_mlops.moved import names_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_mlops.core.rollout.evidence.share import ArmCounts

TRACE_LIMIT = 400
RESERVE = 0.25
"""Share of a test's capital kept for later steps, which detects failures there several times as early."""
EARLY = 0.3
"""Share of what is bet that takes each window of a step's first ``retry_horizon`` as an observation."""


def begin(
    plan: RolloutPlan, version: str, champion: str | None, measures: Collection[RolloutMetric] = ()
) -> RolloutState:
    """Return the state of a rollout without evidence.

    :param measures: what the source measures: decides on the plan's optional metrics.
    """
    watched = plan.watched(measures, champion=champion)
    alpha = plan.alpha_among(len(watched))
    horizon = plan.linked_seconds
    rate = ErrorRateTest(allowed=plan.max_error_rate, burst=plan.burst, retry_horizon=horizon)
    return RolloutState(
        version=version,
        champion=champion,
        share=_share_test(plan, alpha),
        rate=rate,
        alone=copy.copy(rate),
        others={metric: _share_test(plan, alpha) for metric in COMPARED_METRICS if metric in watched},
        predictions=PredictionShareTest(alpha=alpha) if RolloutMetric.PREDICTIONS in watched else None,
        interval=OddsRatioInterval(alpha=plan.alpha) if plan.strategy is Strategy.AB else None,
    )


def begin_step(state: RolloutState, percent: int, reading: Reading, *, now: float) -> RolloutState:
    """Start a step: its clock, counts and trace begin anew, the evidence is carried on.

    Requests answered while traffic moved belong to no window. From the second step on, each test invests
    part of its reserve.

    :raises TrafficOrderError: the step before did not end so that traffic may rise.
    """
    if state.phase not in (Phase.READY, Phase.PASSED) or percent <= state.percent:
        msg = (
            f"version {state.version} at {state.percent} % is {state.phase}: {percent} % is not allowed; "
            f"traffic rises from a step that is {Phase.PASSED}"
        )
        raise TrafficOrderError(msg)
    return replace(
        state,
        percent=percent,
        step_since=now,
        clock=now,
        counted_at=now,
        share=_invested(state.share) if state.percent else state.share,
        others={m: _invested(test) if state.percent else test for m, test in state.others.items()},
        step_requests=0,
        step_errors=0,
        step_refused=0,
        last=carried(state.last, reading) if state.percent else reading,
        retired=retire(state.last, reading, state.retired) if state.percent else state.retired,
        seen={},
        arrivals={},
        said=None,
        approved_by=None,
        intervened=False,
        holds=0,
        phase=Phase.STEPPING,
        decision=StepDecision.CONTINUE,
        reasons=(),
        trace=(),
    )


def advance(plan: RolloutPlan, state: RolloutState, reading: Reading | None, *, now: float) -> RolloutState:
    """Add a reading to the evidence and decide.

    :param reading: ``None`` when the counters could not be read: no evidence, but the deadline still counts.
    :param now: seconds since the epoch; the state's clock never runs back.
    :raises InvalidPlanError: the plan has no step of the state's percent.
    """
    if not state.is_open:
        return state
    at = replace(state, clock=max(now, state.clock))
    return _settle(plan, _observe(plan, at, reading))


def recheck(plan: RolloutPlan, state: RolloutState, reading: Reading | None, *, now: float) -> RolloutState:
    """Take what came since a step was decided into account: it may only roll back.

    :param reading: ``None`` when the counters could not be read: the decision stands as it was.
    """
    at = _observe(plan, replace(state, clock=max(now, state.clock)), reading)
    found = judge_step(plan, at)
    if found.decision is StepDecision.ROLL_BACK:
        return _ended(at, Phase.ROLLED_BACK, found)
    return replace(at, clock=state.clock)


def answer(plan: RolloutPlan, state: RolloutState, said: RolloutAnswer, *, now: float) -> RolloutState:
    """Apply a person's answer; without a pending question it changes nothing.

    An answer to shifted predictions, or to an intervention, accepts only these: the step goes on and still
    needs its evidence.
    """
    if not state.asks or said.percent != state.percent:
        return state
    at = replace(state, clock=max(now, state.clock), said=said)
    if not said.go_on:
        reason = f"{said.by} rolled back version {state.version} at {state.given_percent} %"
        return replace(at, phase=Phase.ROLLED_BACK, decision=StepDecision.ROLL_BACK, reasons=(reason,))
    shifted = at.predictions is not None and at.predictions.differs
    at = replace(at, predictions=None if shifted else at.predictions)
    if (shifted or at.intervened) and at.phase is Phase.HELD:
        on = replace(at, phase=Phase.STEPPING, decision=StepDecision.CONTINUE, intervened=False)
        return _settle(plan, on)
    return _settle(plan, replace(at, approved_by=said.by))


def intervene(state: RolloutState, problem: str, *, now: float) -> RolloutState:
    """Hold the step while traffic differs from what was last written, and overwrite nothing.

    :param problem: what was observed; empty when traffic is as written, then a held step goes on.
    """
    if not state.is_open or not (problem or state.intervened):
        return state
    clock = max(now, state.clock)
    if not problem:
        return replace(
            state, phase=Phase.STEPPING, decision=StepDecision.CONTINUE, intervened=False, clock=clock
        )
    held = _held(state, Judgement(decision=StepDecision.INCONCLUSIVE, reason=problem))
    holds = state.holds if state.intervened else held.holds
    return replace(held, intervened=True, clock=clock, approved_by=None, holds=holds)


def abort(state: RolloutState, reason: str, *, now: float) -> RolloutState:
    """Roll back for a reason other than the evidence; a rollout that was rolled back stays as it is."""
    if state.phase is Phase.ROLLED_BACK:
        return state
    clock = max(now, state.clock)
    return replace(
        state, phase=Phase.ROLLED_BACK, decision=StepDecision.ROLL_BACK, reasons=(reason,), clock=clock
    )


def _share_test(plan: RolloutPlan, alpha: float) -> ErrorShareTest:
    test = ErrorShareTest(alpha=alpha, retry_horizon=plan.linked_seconds)
    if len(plan.percents) > 1:
        test.keep_back(RESERVE)
    if plan.linked_seconds:
        test.hasten(EARLY)
    return test


def _invested(test: ErrorShareTest) -> ErrorShareTest:
    after = copy.copy(test)
    after.invest()
    return after


def _observe(plan: RolloutPlan, state: RolloutState, reading: Reading | None) -> RolloutState:
    if reading is None:
        return _arrived(state, ReadingStatus.MISSING)
    arrival, fresh = delta_since(state.last, reading, state.retired)
    if fresh is None:
        return _arrived(state, arrival)
    if max(state.counted_at - state.step_since, 0.0) < plan.warm_up_seconds:
        arrival = ReadingStatus.WARM_UP
    retired = retire(state.last, reading, state.retired)
    last = carried(state.last, reading)
    counted = replace(_arrived(state, arrival), last=last, retired=retired, counted_at=state.clock)
    return (
        counted
        if arrival in (ReadingStatus.WARM_UP, ReadingStatus.EMPTY)
        else _apply(plan, counted, fresh, since=state.counted_at)
    )


def _arrived(state: RolloutState, arrival: ReadingStatus) -> RolloutState:
    return replace(state, arrivals={**state.arrivals, arrival: state.arrivals.get(arrival, 0) + 1})


def _apply(plan: RolloutPlan, state: RolloutState, fresh: CounterDelta, *, since: float) -> RolloutState:
    """Update copies of all tests: a state once handed over never changes.

    :param since: beginning of the window; it ends at the state's clock.
    """
    tests = copy.copy(state.share), copy.copy(state.rate), copy.copy(state.alone)
    share, rate, alone = tests
    span = {"since": since, "until": state.clock}
    answered = fresh.answered
    is_early = since < state.step_since + plan.warm_up_seconds + plan.linked_seconds
    share.observe(answered, **span, is_early=is_early)
    rate.observe(answered, **span)
    if is_alone(state):
        alone.observe(answered, **span)
    seen = {metric: state.seen.get(metric, 0) + count for metric, count in _answers(fresh).items() if count}
    refused = fresh.errors.canary_requests - answered.canary_requests
    after = replace(
        state,
        share=share,
        rate=rate,
        alone=alone,
        others={
            metric: _watched(test, _counts_of(fresh, metric), span, is_early=is_early)
            for metric, test in state.others.items()
        },
        predictions=_predicted(state.predictions, fresh),
        interval=_compared(plan, state.interval, fresh),
        seen={**state.seen, **seen},
        step_requests=state.step_requests + answered.canary_requests,
        step_errors=state.step_errors + answered.canary_errors,
        step_refused=state.step_refused + refused,
    )
    return replace(after, trace=thinned((*state.trace, trace_point(plan, after, fresh.errors)), TRACE_LIMIT))


def _answers(fresh: CounterDelta) -> dict[RolloutMetric, int]:
    counts = {metric: _counts_of(fresh, metric) for metric in COMPARED_METRICS}
    return {
        **{metric: seen.canary_requests if seen else 0 for metric, seen in counts.items()},
        RolloutMetric.PREDICTIONS: sum(fresh.predictions.canary) if fresh.predictions else 0,
    }


def _counts_of(fresh: CounterDelta, metric: RolloutMetric) -> ArmCounts | None:
    known = {
        RolloutMetric.ERRORS: fresh.errors,
        RolloutMetric.CLIENT_ERRORS: fresh.client_errors,
        RolloutMetric.LATENCY: fresh.latency,
        RolloutMetric.QUALITY: fresh.quality,
    }
    return known.get(metric)


def _watched(
    test: ErrorShareTest, window: ArmCounts | None, span: dict[str, float], *, is_early: bool
) -> ErrorShareTest:
    after = copy.copy(test)
    if window is not None:
        after.observe(window, **span, is_early=is_early)
    return after


def _predicted(test: PredictionShareTest | None, fresh: CounterDelta) -> PredictionShareTest | None:
    after = copy.copy(test)
    if after is not None and fresh.predictions is not None:
        after.observe(fresh.predictions)
    return after


def _compared(
    plan: RolloutPlan, test: OddsRatioInterval | None, fresh: CounterDelta
) -> OddsRatioInterval | None:
    after, window = copy.copy(test), _counts_of(fresh, plan.metrics[0])
    if after is not None and window is not None:
        after.observe(window)
    return after


def _settle(plan: RolloutPlan, state: RolloutState) -> RolloutState:
    """Turn evidence and answers into a phase; rolling back is always possible."""
    found = _left_alone(plan, state) or judge_step(plan, state)
    if found.decision is StepDecision.ROLL_BACK:
        return _ended(state, Phase.ROLLED_BACK, found)
    if state.asks and not _agreed_to_what_is_gone(state, found):
        return _ended(state, Phase.PASSED, _agreed(state)) if _agreed_and_free(plan, state) else state
    state = replace(state, phase=Phase.STEPPING, approved_by=None)
    if found.decision is StepDecision.CONTINUE:
        return replace(state, reasons=(found.reason,))
    if found.decision is StepDecision.ADVANCE or _may_advance_undecided(plan, state):
        return _held(state, found) if found.pauses else _rise(plan, state, found)
    if found.pauses or plan.on_inconclusive is OnInconclusive.HOLD:
        return _held(state, found)
    return _ended(state, Phase.ROLLED_BACK, found)


def _left_alone(plan: RolloutPlan, state: RolloutState) -> Judgement | None:
    """Roll back a step whose traffic others changed and did not change back until its deadline.

    A plan that holds leaves that to a person.
    """
    open_for = state.clock - state.step_since
    is_overdue = open_for >= (plan.step_at(state.percent).deadline_seconds or 0)
    if not (state.intervened and is_overdue) or plan.on_inconclusive is OnInconclusive.HOLD:
        return None
    reason = f"{'; '.join(state.reasons)}; not undone within the deadline"
    return Judgement(decision=StepDecision.ROLL_BACK, reason=reason)


def _may_advance_undecided(plan: RolloutPlan, state: RolloutState) -> bool:
    """Whether the plan lets inconclusive steps go on; no plan does where nothing at all was measured."""
    return plan.on_inconclusive is OnInconclusive.ADVANCE and state.step_requests + state.step_refused > 0


def _rise(plan: RolloutPlan, state: RolloutState, found: Judgement) -> RolloutState:
    if plan.step_at(state.percent).approve:
        reason = f"{found.reason}; a person has to approve"
        return replace(state, phase=Phase.WAITING_FOR_APPROVAL, reasons=(reason,), holds=state.holds + 1)
    end = frozen_until(plan.freeze, state.clock)
    if end is not None:
        return replace(state, reasons=(f"{found.reason}; frozen until {in_words(end)}",))
    return _ended(state, Phase.PASSED, found)


def _held(state: RolloutState, found: Judgement) -> RolloutState:
    held = replace(state, phase=Phase.HELD, decision=StepDecision.INCONCLUSIVE, holds=state.holds + 1)
    return replace(held, reasons=(found.reason,))


def _ended(state: RolloutState, phase: Phase, found: Judgement) -> RolloutState:
    return replace(state, phase=phase, decision=found.decision, reasons=(found.reason,))


def _agreed(state: RolloutState) -> Judgement:
    reason = "; ".join((*state.reasons, f"{state.approved_by} agreed"))
    return Judgement(decision=StepDecision.ADVANCE, reason=reason)


def _agreed_to_what_is_gone(state: RolloutState, found: Judgement) -> bool:
    """Whether a person approved evidence that is no longer good: it has to become good again first."""
    waits = state.phase is Phase.WAITING_FOR_APPROVAL and state.approved_by is not None
    return waits and found.decision is not StepDecision.ADVANCE


def _agreed_and_free(plan: RolloutPlan, state: RolloutState) -> bool:
    return state.approved_by is not None and frozen_until(plan.freeze, state.clock) is None


__getattr__ = names_of(__name__)
