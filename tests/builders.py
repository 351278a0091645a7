"""Small, valid objects for tests; say only what matters in a test."""

from __future__ import annotations

from airflow_mlops.core.outcome import Finding, Outcome, Verdict
from airflow_mlops.core.rollout.machine import begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.rollout.state import Reading


def finding(outcome=Outcome.PASS, subject="x", reason="x: said so", **more):
    return Finding(check="check", subject=subject, outcome=outcome, reason=reason, **more)


def verdict(outcome=Outcome.PASS, gate="skew"):
    return Verdict.of(gate, [finding(outcome, reason=f"{gate} {outcome}")])


def plan(**more):
    known = {"steps": (10, 50), "bake_seconds": 10.0, "deadline_seconds": 100.0, "min_requests": 20}
    return RolloutPlan(**known | more)


def state_at(percent=10, *, champion="1", at=0.0, **more):
    return begin_step(begin(plan(**more), "2", champion), percent, Reading(generation="g"), now=at)


def reading(canary=0, canary_errors=0, stable=0, stable_errors=0, generation="g"):
    return Reading(
        generation=generation,
        canary_requests=canary,
        canary_errors=canary_errors,
        stable_requests=stable,
        stable_errors=stable_errors,
    )
