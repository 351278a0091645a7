"""Declared segments: each judged by itself, and all those too small for that judged together.

Claims are Holm-adjusted over all of them. Where a segment is too small to tell, its gain is shrunk towards
the mean gain of its column's segments (empirical Bayes, normal model, variance between segments by
DerSimonian and Laird 1986), for a person to read; the small ones together are one more segment, so that a
loss in each of them is found though none alone would show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.paired import PairedComparison, concluded, holm, paired_comparisons
from airflow_mlops.core.validation.report import first_of, warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.validation.estimate import Estimate
    from airflow_mlops.core.validation.evaluation import Evaluation
    from airflow_mlops.core.validation.metrics.base import Array
    from airflow_mlops.core.validation.report import Comparison
    from airflow_mlops.core.verdict import Finding

_MOST_NAMED, _ROUNDING = 12, 1e-12


def declared(evaluation: Evaluation, rival: str) -> tuple[list[Comparison], list[Finding]]:
    """Compare declared segments: each claim, "not worse" or "worse", is Holm-adjusted over all of them.

    :returns: the comparisons, those of small segments together included; what to know of the small ones.
    """
    asked: list[PairedComparison] = []
    findings: list[Finding] = []
    for column in evaluation.sample.segments:
        small: dict[str, PairedComparison] = {}
        for name in evaluation.policy.metrics:
            pairs = paired_comparisons(evaluation, name, rival, column)
            few = [place for place, pair in enumerate(pairs) if pair.too_small]
            asked += [*pairs, *_pooled(evaluation, name, rival, column, few)]
            findings += _likely_losses(pairs, few)
            small |= {pairs[place].segment.name: pairs[place] for place in few}
        findings += _small_ones(evaluation, column, list(small.values()))
    return _adjusted(asked, evaluation.policy.alpha, evaluation.alpha_against(rival)), findings


def shrunken(gains: Sequence[Estimate]) -> Array:
    """Return each gain shrunk towards their mean by how uncertain it is; NaN where it is not known."""
    points = np.array([gain.point if gain.is_known else np.nan for gain in gains])
    known = np.isfinite(points)
    errors = np.array([gain.known.std() ** 2 + gain.step**2 if gain.is_known else np.inf for gain in gains])
    errors = np.maximum(errors, _ROUNDING)
    weights = np.where(known, 1 / errors, 0.0)
    if known.sum() < 2:
        return points
    mean = float((weights * np.where(known, points, 0.0)).sum() / weights.sum())
    spread = float((weights * np.where(known, points - mean, 0.0) ** 2).sum()) - (known.sum() - 1)
    between = max(0.0, spread / float(weights.sum() - (weights**2).sum() / weights.sum()))
    return np.asarray(mean + between / (between + errors) * (points - mean))


def _pooled(
    evaluation: Evaluation, name: str, rival: str, column: str, few: list[int]
) -> list[PairedComparison]:
    if not few:
        return []
    return paired_comparisons(evaluation, name, rival, evaluation.pool(column, few))


def _adjusted(asked: list[PairedComparison], alpha: float, not_worse: float) -> list[Comparison]:
    large = [pair for pair in asked if not pair.too_small]
    adjusted = iter(
        zip(*(holm(claim) for claim in zip(*(one.p_values for one in large), strict=True)), strict=True)
    )
    nothing = (1.0, 1.0, 1.0)
    return [concluded(one, nothing if one.too_small else next(adjusted), alpha, not_worse) for one in asked]


def _small_ones(evaluation: Evaluation, column: str, small: list[PairedComparison]) -> list[Finding]:
    """Say which segments are too small, and how many rows are in them."""
    if not small:
        return []
    rows, whole = sum(pair.segment.rows for pair in small), len(evaluation.sample.labels)
    every = len(evaluation.segments(column)[0])
    named = first_of([f"{pair.segment.name} ({pair.segment.rows})" for pair in small], _MOST_NAMED)
    reason = (
        f"{column}: {len(small)} of {every} segments are too small to tell, {rows} rows "
        f"({rows / whole:.1%} of all): {named}"
    )
    return [warned("small_segments", column, reason, len(small))]


def _likely_losses(pairs: list[PairedComparison], few: list[int]) -> list[Finding]:
    """Name small segments whose shrunken gain is a loss beyond what is allowed."""
    shrunk = shrunken([pair.gain for pair in pairs]) if few else np.empty(0)
    lost = [
        place
        for place in few
        if np.isfinite(shrunk[place]) and shrunk[place] < pairs[place].gain.point - pairs[place].slack.point
    ]
    if not lost:
        return []
    worst = sorted(lost, key=lambda place: float(shrunk[place]))
    named = first_of(
        [f"{pairs[p].segment.name} {shrunk[p]:+.4f} ({pairs[p].segment.rows} rows)" for p in worst],
        _MOST_NAMED,
    )
    metric = pairs[0].metric
    reason = (
        f"too small to tell, but likely worse than allowed in {metric} (gain shrunk to the mean): {named}"
    )
    return [warned("small_segments", metric, reason, len(lost))]
