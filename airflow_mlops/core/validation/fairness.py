"""Fairness: how far a metric differs between groups, with bounds of the greatest difference.

Upper bound: the greatest of the pairwise upper bounds. The claim "within the limit" then errs with a
probability of at most alpha, for it has to hold for every pair (intersection-union test, Berger 1982). Lower
bound: the greatest of the simultaneous pairwise lower bounds (maximum of studentised resamples, max-T of
Westfall and Young 1993), so that a large number of groups alone never makes a difference.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.validation.sample import CHALLENGER
from airflow_mlops.core.verdict import Finding, Outcome

if TYPE_CHECKING:
    from airflow_mlops.core.validation.estimate import Estimate
    from airflow_mlops.core.validation.evaluation import Evaluation, Segment
    from airflow_mlops.core.validation.policy import FairnessPolicy


def fairness(evaluation: Evaluation) -> list[Finding]:
    """Judge every rule of the policy.

    :raises InvalidConfigError: a rule's column is not there.
    """
    return [_judged(evaluation, rule) for rule in evaluation.policy.fairness]


def _judged(evaluation: Evaluation, rule: FairnessPolicy) -> Finding:
    known = (*evaluation.sample.segments, *evaluation.sample.groups)
    if rule.column not in known:
        msg = f"validate.fairness: no column {rule.column!r}; columns: {', '.join(known) or 'none'}"
        raise InvalidConfigError(msg)
    segments, _ = evaluation.segments(rule.column)
    values = evaluation.draws(CHALLENGER, rule.metric, rule.column)
    groups = [
        (segment, value)
        for segment, value in zip(segments, values, strict=True)
        if not evaluation.is_too_small(segment, value)
    ]
    if len(groups) < 2:
        reason = f"{rule.column}: {len(groups)} groups are large enough to compare {rule.metric}, needs 2"
        return _finding(rule, Outcome.INCONCLUSIVE, reason, None)
    low, high = disparity([value for _, value in groups], evaluation.policy.alpha)
    few = [segment.name for segment in segments if segment not in [kept for kept, _ in groups]]
    return _concluded(rule, groups, low, high, few)


def disparity(groups: list[Estimate], alpha: float) -> tuple[float, float]:
    """Return confidence bounds of the greatest difference between any two groups."""
    pairs = [one - other for one, other in permutations(groups, 2)]
    high = max(pair.upper(alpha) for pair in pairs)
    spread = np.array([max(float(np.nanstd(pair.draws)), 1e-12) for pair in pairs])
    points = np.array([pair.point for pair in pairs])
    studentised = (np.stack([pair.draws for pair in pairs]) - points[:, None]) / spread[:, None]
    critical = float(np.nanquantile(studentised.max(axis=0), 1 - alpha))
    return max(0.0, float((points - critical * spread).max())), high


def _concluded(
    rule: FairnessPolicy, groups: list[tuple[Segment, Estimate]], low: float, high: float, few: list[str]
) -> Finding:
    ranked = sorted(groups, key=lambda group: group[1].point)
    (least, worst), (most, best) = ranked[0], ranked[-1]
    gap = best.point - worst.point
    outcome = (
        Outcome.PASS if high <= rule.limit else Outcome.FAIL if low > rule.limit else Outcome.INCONCLUSIVE
    )
    word = {Outcome.PASS: "within", Outcome.FAIL: "beyond"}.get(outcome, "too close to tell from")
    reason = (
        f"{rule.metric} {worst.point:.4f} ({least.name}) to {best.point:.4f} ({most.name}): "
        f"difference {gap:.4f} ({low:.4f} to {high:.4f}), {word} the limit {rule.limit:g}"
    )
    if few:
        reason += f"; too few rows to compare: {', '.join(few)}"
    return _finding(rule, outcome, reason, gap)


def _finding(rule: FairnessPolicy, outcome: Outcome, reason: str, gap: float | None) -> Finding:
    return Finding(
        check="fairness",
        subject=f"{rule.column}: {rule.metric}",
        outcome=outcome,
        reason=reason,
        observed=gap,
        allowed=rule.limit,
    )
