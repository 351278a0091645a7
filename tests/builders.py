"""Small, valid objects for tests; say only what matters in a test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from airflow_mlops.backends.registry.protocol import LedgerEntry
from airflow_mlops.backends.serving.in_memory import InMemoryServing
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.release.readiness import ProbeAnswer, ProbeKind, ReadinessMeasurements, Timing
from airflow_mlops.core.rollout.counters import Reading
from airflow_mlops.core.rollout.machine import advance, begin, begin_step
from airflow_mlops.core.rollout.plan import RolloutPlan
from airflow_mlops.core.training.candidate import Candidate
from airflow_mlops.core.validation.report import Comparison, ComparisonAnswer, Report
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample
from airflow_mlops.core.verdict import Finding, Outcome, Verdict

VALIDATED = {"mlops.validation": "pass"}
"""Tags of a version that may be rolled out where no more is required."""


def finding(outcome=Outcome.PASS, subject="x", reason="x: said so", **more):
    return Finding(check="check", subject=subject, outcome=outcome, reason=reason, **more)


def verdict(outcome=Outcome.PASS, gate="skew"):
    return Verdict.of(gate, [finding(outcome, reason=f"{gate} {outcome}")])


def plan(**more):
    """A plan that a few clean windows satisfy: they show a rate below 50 % after eight."""
    known = {"steps": (10, 50), "bake_seconds": 10.0, "deadline_seconds": 100.0, "min_requests": 20}
    return RolloutPlan(**{"max_error_rate": 0.5} | known | more)


def state_at(percent=10, *, champion="1", at=0.0, **more):
    return begin_step(begin(plan(**more), "2", champion), percent, Reading(generation="g"), now=at)


def reading(canary=0, canary_errors=0, stable=0, stable_errors=0, generation="g", **more):
    return Reading(
        generation=generation,
        canary_requests=canary,
        canary_errors=canary_errors,
        stable_requests=stable,
        stable_errors=stable_errors,
        **more,
    )


def watched(its_plan, state, windows=8, *, now=0.0, seconds=1.0, **per_window):
    """The state after some windows that are all alike, one each ``seconds``."""
    each = {"canary_requests": 30, "stable_requests": 270} | per_window
    for number in range(1, windows + 1):
        counts = {name: getattr(state.last, name) + count for name, count in each.items()}
        state = advance(its_plan, state, replace(state.last, **counts), now=now + number * seconds)
    return state


def candidate(**more):
    window = Window(uri="/lake", partitions=("2013-01",), digest="sha256:ab")
    known = {"model": "m", "version": "2", "evidence_run": "m__stage/run-1", "window": window}
    rows = {"trained_rows": 3000, "holdout_rows": 1000, "metrics": {"roc_auc": 0.81}, "params": {"depth": 6}}
    return Candidate(**known | rows | {"trigger_reason": "new data"} | more)


def comparison(**more):
    known = {"metric": "roc_auc", "rival": "champion", "rows": 1000, "challenger": 0.81, "other": 0.8}
    bounds = {
        "gain": 0.01,
        "lower": 0.002,
        "upper": 0.018,
        "allowed": 0.005,
        "answer": ComparisonAnswer.BETTER,
    }
    return Comparison(**known | bounds | more)


def report(*comparisons, outcome=Outcome.PASS):
    return Report(verdict=verdict(outcome, "validation"), rows=1000, comparisons=comparisons)


def promotion(name, from_version, to_version, run=None, **more):
    """An entry of a model's ledger, by a run of its own unless told otherwise."""
    known = {"actor": "admin", "dag_id": "m__rollout", "run_id": run or f"run-{to_version}", "at": 1.0}
    versions = {"model": name, "from_version": from_version, "to_version": to_version}
    return LedgerEntry(**versions | known | {"reason": "shown better"} | more)


def bring_into_service(serving, endpoint, version, model_dir, holder="setup"):
    """Give a version all traffic as a rollout by hand does; nobody holds the endpoint afterwards."""
    serving.claim(endpoint, holder)
    serving.deploy(endpoint, version, model_dir, holder=holder)
    serving.promote(endpoint, version, holder=holder)
    serving.clean_up(endpoint, holder=holder)
    serving.release(endpoint, holder)


def measurements(**more):
    """What readiness measured of a version that is ready."""
    example = ProbeAnswer(kind=ProbeKind.EXAMPLE, subject="input example", status=200)
    known = {"model": "m", "version": "1", "inputs": 1, "has_example": True, "requirements": 1}
    quick = Timing(requests=200, p50_ms=3.0, p99_ms=10.0, per_second=100.0)
    return ReadinessMeasurements(
        **known | {"answers": (example,), "one_by_one": quick, "at_once": quick} | more
    )


def canary_beside_champion(holder, percent=25):
    """Serving in memory: version 2 of model m gets a share beside version 1, in a rollout of ``holder``."""
    backend = InMemoryServing()
    backend.claim("m", holder)
    backend.deploy("m", "1", None, holder=holder)
    backend.promote("m", "1", holder=holder)
    backend.deploy("m", "2", None, holder=holder)
    backend.set_traffic("m", "2", percent, holder=holder)
    return backend


def sample(rng, rows=4000, *, noise=0.1, champion_noise=0.1, segments=None, champion=True):
    """Held-back rows of two classes with the scores of models that are noisy guesses of the probability."""
    truth = rng.uniform(0.05, 0.95, rows)
    labels = (rng.random(rows) < truth).astype(float)
    scores = {
        CHALLENGER: np.clip(truth + rng.normal(0, noise, rows), 0, 1),
        BASELINE: np.full(rows, labels.mean()),
    }
    if champion:
        scores[CHAMPION] = np.clip(truth + rng.normal(0, champion_noise, rows), 0, 1)
    return Sample(labels, scores, segments or {})


def regression(rng, unit, worse=1.0, rows=4000):
    """A regression in some unit, in two segments; the challenger's errors in the second are ``worse``."""
    labels = rng.normal(100, 10, rows)
    noise, own = rng.normal(size=rows), 0.1 * rng.normal(size=rows)
    there = np.arange(rows) < rows // 2
    scores = {CHAMPION: labels + noise, CHALLENGER: labels + (noise + own) * np.where(there, 1.0, worse)}
    scores[BASELINE] = np.full(rows, 100.0)
    segments = {"origin": np.where(there, "JFK", "LGA").astype(object)}
    scaled = {name: unit * values for name, values in scores.items()}
    return Sample(unit * labels, scaled, segments=segments, columns=segments)
