"""Decision on a step from its evidence and its plan: roll back, pause, advance, inconclusive, or continue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.counters import COUNTED_STATUSES, ReadingStatus
from airflow_mlops.core.rollout.evidence.share import StepDecision
from airflow_mlops.core.rollout.outage import outage
from airflow_mlops.core.rollout.plan import RolloutMetric, RolloutPlan, Strategy
from airflow_mlops.core.rollout.state import TracePoint

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.evidence.share import ArmCounts
    from airflow_mlops.core.rollout.plan import Step
    from airflow_mlops.core.rollout.state import RolloutState

_ROLLBACK_REASONS = {
    RolloutMetric.ERRORS: "canary fails more than stable",
    RolloutMetric.CLIENT_ERRORS: "canary refuses more requests (4xx) than stable",
    RolloutMetric.LATENCY: "canary is slow more often than stable",
    RolloutMetric.QUALITY: "canary is wrong more often than stable",
}
_HARMLESS_STATUSES = (ReadingStatus.APPLIED, ReadingStatus.EMPTY, ReadingStatus.WARM_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement(Record):
    """Decision and its reason.

    :param pauses: a person has to decide, whatever the plan says about inconclusive evidence.
    """

    decision: StepDecision
    reason: str
    pauses: bool = False


def judge_step(plan: RolloutPlan, state: RolloutState) -> Judgement:
    """Decide on everything observed up to ``state.clock``."""
    step, elapsed = plan.step_at(state.percent), state.clock - state.step_since
    failure = _rollback_reason(plan, state)
    if failure:
        return Judgement(decision=StepDecision.ROLL_BACK, reason=f"version {state.version} at {failure}")
    if state.predictions is not None and state.predictions.differs:
        return Judgement(decision=StepDecision.INCONCLUSIVE, reason=_shifted(state), pauses=True)
    baked = elapsed >= (step.bake_seconds or 0) and state.step_requests >= (step.min_requests or 1)
    decided = _baked_judgement(plan, state) if baked and not _unmeasured(plan, state) else None
    if decided:
        return decided
    if _refuses_nearly_all(state, step, elapsed):
        reason = f"version {state.version} refuses nearly all requests: {_errors(state)}; these show nothing"
        return Judgement(decision=StepDecision.INCONCLUSIVE, reason=reason)
    if elapsed >= (step.deadline_seconds or 0):
        return Judgement(decision=StepDecision.INCONCLUSIVE, reason=_undecided(plan, state, step))
    reasons = (*_waits_for(plan, state, step, elapsed), *state.share.conclude().reasons)
    return Judgement(decision=StepDecision.CONTINUE, reason="; ".join(reasons))


def _waits_for(plan: RolloutPlan, state: RolloutState, step: Step, elapsed: float) -> list[str]:
    """Return what a step lacks besides evidence: time, requests, or data on a metric."""
    bake, least = step.bake_seconds or 0, step.min_requests or 1
    lacks = [f"bakes for {bake - elapsed:.0f} s more"] if elapsed < bake else []
    lacks += [f"has {state.step_requests} of {least} requests"] if state.step_requests < least else []
    return lacks + [f"no data on {name} yet" for name in _unmeasured(plan, state)]


def trace_point(plan: RolloutPlan, state: RolloutState, window: ArmCounts) -> TracePoint:
    """Return the point of the trace for a window that was applied."""
    others = {str(metric): test.e_value for metric, test in state.others.items()}
    if state.predictions is not None:
        others["predictions"] = state.predictions.e_value
    if is_alone(state):
        others["alone"] = state.alone.above_e_value
    shown = max(state.share.harmless_e_value, state.rate.below_e_value)
    return TracePoint(
        at=state.clock,
        percent=state.percent,
        window=window,
        e_value=state.share.e_value,
        others=others,
        harmless=0.0 if plan.strategy is Strategy.AB else shown,
    )


def is_alone(state: RolloutState) -> bool:
    """Whether the canary gets all requests, so that there is no stable arm to compare with."""
    return state.champion is None or state.percent == 100


def _rollback_reason(plan: RolloutPlan, state: RolloutState) -> str:
    """Return the first test whose e-value reaches 1/alpha, or the outage; empty if there is none."""
    bar = state.bar
    tests = {RolloutMetric.ERRORS: state.share} if RolloutMetric.ERRORS in plan.metrics else {}
    for metric, test in {**tests, **state.others}.items():
        if test.e_value >= bar:
            why = _ROLLBACK_REASONS[metric]
            return f"{state.given_percent} %: {why}: e-value {test.e_value:.3g}, rolls back at {bar:g}"
    if is_alone(state) and state.alone.above_e_value >= bar:
        return f"{state.given_percent} %: {_errors(state)}, allowed {plan.max_error_rate:g}"
    down = outage(plan, state, alone=is_alone(state))
    return f"{state.given_percent} %: {down}" if down else ""


def _baked_judgement(plan: RolloutPlan, state: RolloutState) -> Judgement | None:
    """Return the decision after the bake, ``None`` while the evidence is not sufficient."""
    if plan.strategy is Strategy.AB:
        return _ab_judgement(state)
    reason = _advance_reason(plan, state)
    return Judgement(decision=StepDecision.ADVANCE, reason=reason) if reason else None


def _advance_reason(plan: RolloutPlan, state: RolloutState) -> str:
    bar = 1 / plan.alpha
    if state.share.harmless_e_value >= bar:
        why = f"odds of failing below twice the stable's: e-value {state.share.harmless_e_value:.3g}"
    elif state.rate.below_e_value >= bar:
        why = f"error rate shown below {plan.max_error_rate:g}"
    else:
        return ""
    unseen = [f"; {metric} was not measured" for metric in state.others if not state.seen.get(metric)]
    return f"{why}; {_errors(state)}{''.join(unseen)}"


def _ab_judgement(state: RolloutState) -> Judgement | None:
    if state.interval is None or not state.interval.excludes_one:
        return None
    better = state.interval.bounds[1] <= 1
    decision, verb = (StepDecision.ADVANCE, "better") if better else (StepDecision.ROLL_BACK, "worse")
    return Judgement(
        decision=decision, reason=f"version {state.version} is {verb}: {state.interval.sentence()}"
    )


def _unmeasured(plan: RolloutPlan, state: RolloutState) -> list[str]:
    """Return metrics of the plan without enough data: missing evidence is not success.

    Optional metrics are not among them: a source may claim one and never log it.
    """
    least = plan.min_requests
    return [str(m) for m in plan.metrics if m is not RolloutMetric.ERRORS and state.seen.get(m, 0) < least]


def _errors(state: RolloutState) -> str:
    refused = f", {state.step_refused} more were refused (4xx)" if state.step_refused else ""
    return f"{state.step_errors} of {state.step_requests} requests failed at {state.given_percent} %{refused}"


def _refuses_nearly_all(state: RolloutState, step: Step, elapsed: float) -> bool:
    """Whether waiting on is in vain: after the bake, less than a tenth of the requests were answered."""
    least, refused = step.min_requests or 1, state.step_refused
    return elapsed >= (step.bake_seconds or 0) and refused >= least and refused > 9 * state.step_requests


def _shifted(state: RolloutState) -> str:
    test = state.predictions
    where, value = (test.strangest_bin, test.e_value) if test else (0, 1.0)
    return (
        f"version {state.version} at {state.given_percent} % predicts differently from stable: "
        f"most in prediction bin {where}, e-value {value:.3g}; a person has to decide"
    )


def _undecided(plan: RolloutPlan, state: RolloutState, step: Step) -> str:
    said = [
        f"no decision at {state.given_percent} % within {step.deadline_seconds:g} s: {_errors(state)} "
        f"(needs {step.min_requests}), e-value {state.share.e_value:.3g}, rolls back at {state.bar:g}",
        *(f"no data on {name}" for name in _unmeasured(plan, state)),
        *(
            f"{count} readings {kind}"
            for kind, count in state.arrivals.items()
            if kind not in _HARMLESS_STATUSES
        ),
    ]
    if not any(state.arrivals.get(kind) for kind in COUNTED_STATUSES):
        said.append("nothing was measured")
    if state.interval is not None:
        said.append(state.interval.sentence())
    return "; ".join(said)
