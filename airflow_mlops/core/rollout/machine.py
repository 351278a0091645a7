"""The rollout's decisions: ``begin`` → per step ``begin_step`` then ``advance`` until it decides.

Pure: readings and time are arguments, so the worker and the triggerer cannot decide differently.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from airflow_mlops.core.rollout.evidence import Decision, ErrorRateTest, ErrorShareTest, Window
from airflow_mlops.core.rollout.plan import OnInconclusive, RolloutPlan
from airflow_mlops.core.rollout.state import Reading, RolloutState, TracePoint

TRACE_LIMIT = 400


def begin(plan: RolloutPlan, version: str, champion: str | None) -> RolloutState:
    """Return the state of a rollout that has seen nothing."""
    return RolloutState(
        version=version,
        champion=champion,
        share=ErrorShareTest(alpha=plan.alpha),
        rate=ErrorRateTest(allowed=plan.max_error_rate),
    )


def begin_step(state: RolloutState, percent: int, reading: Reading, *, now: float) -> RolloutState:
    """Start a step: its clock, its counts and its trace begin now, the evidence goes on.

    What was answered while traffic moved is warm-up and belongs to no window.
    """
    return replace(
        state,
        percent=percent,
        step_since=now,
        step_requests=0,
        step_errors=0,
        last=reading,
        decision=Decision.CONTINUE,
        reasons=(),
        trace=(),
    )


def advance(plan: RolloutPlan, state: RolloutState, reading: Reading | None, *, now: float) -> RolloutState:
    """Take a reading into account and decide.

    :param reading: ``None`` when the counters could not be read: no evidence, the deadline still counts.
    """
    if state.decision is not Decision.CONTINUE:
        return state
    seen = state if reading is None else _observe(state, reading, now)
    decision, reason = _decide(plan, seen, now)
    return replace(seen, decision=decision, reasons=(reason,))


def accepts(plan: RolloutPlan, state: RolloutState) -> bool:
    """Say whether the step ended so that the rollout may go on."""
    if state.decision is Decision.INCONCLUSIVE:
        return plan.on_inconclusive is OnInconclusive.ADVANCE
    return state.decision is Decision.ADVANCE


def _observe(state: RolloutState, reading: Reading, now: float) -> RolloutState:
    window = _window(state.last, reading)
    if window is None:
        return replace(state, last=reading)
    share, rate = copy.copy(state.share), copy.copy(state.rate)
    share.observe(window)
    rate.observe(window)
    point = TracePoint(at=now, percent=state.percent, window=window, e_value=share.e_value)
    return replace(
        state,
        share=share,
        rate=rate,
        last=reading,
        step_requests=state.step_requests + window.canary_requests,
        step_errors=state.step_errors + window.canary_errors,
        trace=(*state.trace, point)[-TRACE_LIMIT:],
    )


def _window(last: Reading, reading: Reading) -> Window | None:
    """Return what happened since ``last``; ``None`` if that cannot be known or nothing happened.

    Counters that started again count from zero. Counters that run backwards without that are no
    measurement: the window is dropped rather than guessed.
    """
    base = last if last.generation == reading.generation else Reading(generation=reading.generation)
    counts = {
        name: getattr(reading, name) - getattr(base, name)
        for name in ("canary_requests", "canary_errors", "stable_requests", "stable_errors")
    }
    if min(counts.values()) < 0 or not counts["canary_requests"] + counts["stable_requests"]:
        return None
    for arm in ("canary", "stable"):  # an error may be counted a moment before its request
        counts[f"{arm}_requests"] = max(counts[f"{arm}_requests"], counts[f"{arm}_errors"])
    return Window(**counts)


def _decide(plan: RolloutPlan, state: RolloutState, now: float) -> tuple[Decision, str]:
    bar = 1 / plan.alpha
    evidence = state.share.conclude()
    if evidence.decision is Decision.ROLL_BACK:
        return Decision.ROLL_BACK, f"version {state.version} at {state.percent} %: {evidence.reasons[0]}"
    if state.champion is None and state.rate.above_e_value >= bar:
        return (
            Decision.ROLL_BACK,
            f"version {state.version}: {_errors(state)}, allowed {plan.max_error_rate:g}",
        )
    baked = now - state.step_since >= plan.bake_seconds and state.step_requests >= plan.min_requests
    if baked and evidence.decision is Decision.ADVANCE:
        return Decision.ADVANCE, f"{evidence.reasons[0]}; {_errors(state)}"
    if baked and state.rate.below_e_value >= bar:
        return Decision.ADVANCE, f"error rate shown below {plan.max_error_rate:g}; {_errors(state)}"
    if now - state.step_since >= plan.deadline_seconds:
        return Decision.INCONCLUSIVE, _undecided(plan, state)
    return Decision.CONTINUE, evidence.reasons[0]


def _errors(state: RolloutState) -> str:
    return f"{state.step_errors} of {state.step_requests} requests failed at {state.percent} %"


def _undecided(plan: RolloutPlan, state: RolloutState) -> str:
    return (
        f"no decision at {state.percent} % within {plan.deadline_seconds:g} s: {_errors(state)} "
        f"(needs {plan.min_requests}), e-value {state.share.e_value:.3g} of {1 / plan.alpha:g}"
    )
