"""Challenger against champion, trivial baseline and floor, on the same held-back rows, per segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_mlops.core.outcome import Finding, Outcome, Severity, Verdict
from airflow_mlops.core.validation.bootstrap import lower_bound, resampled, upper_bound
from airflow_mlops.core.validation.metrics import metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.validation.threshold import ValidationPolicy

    Array = np.ndarray[Any, np.dtype[np.float64]]
    Segments = Mapping[str, np.ndarray[Any, Any]]

CHALLENGER, CHAMPION, BASELINE = "challenger", "champion", "baseline"


@dataclass(frozen=True, slots=True)
class Sample:
    """Held-back rows: labels, each model's scores, each segment column; all ``(n_rows,)``."""

    labels: Array
    scores: dict[str, Array]
    segments: dict[str, np.ndarray[Any, Any]]

    def where(self, rows: np.ndarray[Any, Any]) -> Sample:
        """Return the rows of a mask."""
        scores = {name: values[rows] for name, values in self.scores.items()}
        return Sample(self.labels[rows], scores, {})


def judge(sample: Sample, policy: ValidationPolicy) -> Verdict:
    """Compare and conclude; without a champion (cold start) baseline and floor decide alone."""
    broken = _broken(sample)
    if broken:
        return Verdict.of("validation", broken)
    findings = [*_floors(sample, policy), *_against(sample, policy, BASELINE, "", 0.0)]
    if CHAMPION not in sample.scores:
        findings.append(_note("cold_start", "no champion: judged against baseline and floor only"))
        return Verdict.of("validation", findings)
    for name, allowed in policy.margin.items():
        findings += _against(sample, policy, CHAMPION, "", allowed, only=name)
    return Verdict.of("validation", [*findings, *_segments(sample, policy)])


def _broken(sample: Sample) -> list[Finding]:
    found = []
    if not len(sample.labels):
        found.append(_finding("rows", "holdout", Outcome.INCONCLUSIVE, "no held-back rows to compare on"))
    elif len(np.unique(sample.labels)) < 2:
        reason = f"all held-back labels are {sample.labels[0]:g}: models cannot be told apart"
        found.append(_finding("labels", "holdout", Outcome.INCONCLUSIVE, reason))
    for model, scores in sample.scores.items():
        bad = int((~np.isfinite(scores)).sum())
        if bad:
            outcome = Outcome.FAIL if model == CHALLENGER else Outcome.INCONCLUSIVE
            reason = f"{model}: {bad} of {len(scores)} predictions are NaN or infinite, allowed 0"
            found.append(_finding("finite_predictions", model, outcome, reason))
    return found


def _floors(sample: Sample, policy: ValidationPolicy) -> list[Finding]:
    return [_floor(sample, policy, name, floor) for name, floor in policy.floor.items()]


def _floor(sample: Sample, policy: ValidationPolicy, name: str, floor: float) -> Finding:
    measure, scores = metric(name), {CHALLENGER: sample.scores[CHALLENGER]}
    draws = resampled(sample.labels, scores, [measure], resamples=policy.resamples, seed=policy.seed)
    signed = measure.sign * draws[CHALLENGER, name]
    point = measure.point(sample.labels, sample.scores[CHALLENGER])
    passed = lower_bound(signed, policy.alpha) >= measure.sign * floor
    surely = measure.sign * lower_bound(signed, policy.alpha)
    reason = f"{name} {point:.4f} (surely {surely:.4f}), floor {floor:g}"
    return _finding("floor", name, Outcome.PASS if passed else Outcome.FAIL, reason, point, floor)


def _segments(sample: Sample, policy: ValidationPolicy) -> list[Finding]:
    findings = []
    for column, values in sample.segments.items():
        for value in np.unique(values):
            part, name = sample.where(values == value), f"{column}={value}"
            if len(part.labels) < policy.min_segment_rows or len(np.unique(part.labels)) < 2:
                reason = (
                    f"{name}: {len(part.labels)} rows are too few to tell (needs {policy.min_segment_rows})"
                )
                findings.append(_note(name, reason))
                continue
            findings += _against(part, policy, CHAMPION, name, policy.max_segment_drop)
    return findings


def _against(
    sample: Sample, policy: ValidationPolicy, rival: str, where: str, allowed: float, only: str = ""
) -> list[Finding]:
    measures = [metric(name) for name in policy.margin if only in ("", name)]
    models = {name: sample.scores[name] for name in (CHALLENGER, rival)}
    draws = resampled(sample.labels, models, measures, resamples=policy.resamples, seed=policy.seed)
    findings = []
    for measure in measures:
        gain = measure.sign * (draws[CHALLENGER, measure.name] - draws[rival, measure.name])
        points = {name: measure.point(sample.labels, scores) for name, scores in models.items()}
        findings.append(_compared(measure.name, points, gain, policy, rival, where, allowed))
    return findings


def _compared(
    name: str,
    points: dict[str, float],
    gain: Array,
    policy: ValidationPolicy,
    rival: str,
    where: str,
    allowed: float,
) -> Finding:
    low, high = lower_bound(gain, policy.alpha), upper_bound(gain, policy.alpha)
    if rival == BASELINE:
        outcome, word = (Outcome.PASS, "better") if low > 0 else (Outcome.FAIL, "not shown better")
    elif low > -allowed:
        outcome, word = Outcome.PASS, "better" if low > 0 else "not worse"
    elif high < 0:
        outcome, word = Outcome.FAIL, "worse"
    else:
        outcome, word = Outcome.INCONCLUSIVE, "too close to tell"
    place = f"{where}: " if where else ""
    reason = (
        f"{place}{name} {points[CHALLENGER]:.4f} against {rival} {points[rival]:.4f}: {word} "
        f"(gain {low:+.4f} to {high:+.4f}, allowed {-allowed:g})"
    )
    return _finding(f"against_{rival}", where or name, outcome, reason, points[CHALLENGER], points[rival])


def _finding(
    check: str,
    subject: str,
    outcome: Outcome,
    reason: str,
    observed: float | None = None,
    allowed: float | None = None,
) -> Finding:
    return Finding(
        check=check, subject=subject, outcome=outcome, reason=reason, observed=observed, allowed=allowed
    )


def _note(subject: str, reason: str) -> Finding:
    return Finding(check="note", subject=subject, outcome=Outcome.PASS, severity=Severity.INFO, reason=reason)
