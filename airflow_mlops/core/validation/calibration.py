"""Calibration: expected calibration error in bins and calibration in the large, with confidence bounds.

Binned error is never below 0, so sampling noise biases it upwards: the upper bound is the resamples'
quantile, the lower bound subtracts the noise; both are conservative. With k classes the probability of the
predicted class is compared with whether the prediction is right (top-label calibration, Guo et al. 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.validation.metrics.base import Metric, Scored
from airflow_mlops.core.validation.sample import CHALLENGER
from airflow_mlops.core.verdict import Finding, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.validation.evaluation import Evaluation
    from airflow_mlops.core.validation.metrics.base import Array


def calibration(evaluation: Evaluation) -> list[Finding]:
    """Judge the challenger's probabilities; returns nothing without a policy for it."""
    policy = evaluation.policy.calibration
    if policy is None:
        return []
    scores = evaluation.sample.scores[CHALLENGER]
    if scores.min() < 0 or scores.max() > 1 or evaluation.sample.labels.min() < 0:
        reason = f"predictions lie between {scores.min():g} and {scores.max():g}: no probabilities"
        return [Finding(check="calibration", subject=CHALLENGER, outcome=Outcome.FAIL, reason=reason)]
    found = []
    if policy.ece is not None:
        found.append(_binned(evaluation, policy.ece, policy.bins))
    if policy.in_the_large is not None:
        found.append(_in_the_large(evaluation, policy.in_the_large))
    return found


def confidence(labels: Array, scores: Array) -> tuple[Array, Array]:
    """Return per row the event (0 or 1) and its predicted probability."""
    if scores.ndim == 1:
        return labels, scores
    return (scores.argmax(axis=1) == labels).astype(float), scores.max(axis=1)


def expected_error(bins: int, about: Array | float = 0.0) -> Metric:
    """Return the expected calibration error: row-weighted mean over bins of |mean probability - share|.

    :param about: gaps per bin to measure from, shape ``(bins,)``: those of the sample give its noise alone.
    """

    def value(sums: Array) -> Array:
        gaps = sums[1:] / sums[0]
        zero = np.reshape(np.broadcast_to(about, bins), (bins, *[1] * (gaps.ndim - 1)))
        result: Array = np.abs(gaps - zero).sum(axis=0)
        return result

    return Metric(name="ece", sign=-1, terms=lambda scored: _bin_terms(scored, bins), value=value)


def _bin_terms(scored: Scored, bins: int) -> Sequence[Array]:
    """Return ones, then predicted probability less event, bin by bin of equal mass."""
    true, given = confidence(scored.labels, scored.scores)
    edges = np.unique(np.quantile(given, np.linspace(0, 1, bins + 1)[1:-1]))
    own = np.searchsorted(edges, given, side="right")
    return [np.ones(len(true)), *((given - true) * (own == one) for one in range(bins))]


def _mean_error(scored: Scored) -> Sequence[Array]:
    true, given = confidence(scored.labels, scored.scores)
    return given - true, np.ones(len(true))


_IN_THE_LARGE = Metric(name="in_the_large", sign=-1, terms=_mean_error, value=lambda sums: sums[0] / sums[1])


def _binned(evaluation: Evaluation, limit: float, bins: int) -> Finding:
    """Lower bound: the error less the noise that 95 % of resamples stay below (triangle inequality)."""
    sample, alpha = evaluation.sample, evaluation.policy.alpha
    scored = Scored.of(sample.labels, sample.scores[CHALLENGER])
    gaps = np.array([term.sum() for term in _bin_terms(scored, bins)[1:]]) / len(sample.labels)
    (error,) = evaluation.resampling.draws(expected_error(bins), scored, 1)
    (noise,) = evaluation.resampling.draws(expected_error(bins, gaps), scored, 1)
    low = max(0.0, error.point - float(np.quantile(noise.known, 1 - alpha)))
    bounds = low, float(np.quantile(error.known, 1 - alpha))
    return _finding("ece", "expected calibration error", error.point, bounds, limit)


def _in_the_large(evaluation: Evaluation, limit: float) -> Finding:
    sample, alpha = evaluation.sample, evaluation.policy.alpha
    scored = Scored.of(sample.labels, sample.scores[CHALLENGER])
    (error,) = evaluation.resampling.draws(_IN_THE_LARGE, scored, 1)
    bounds = error.lower(alpha), error.upper(alpha)
    return _finding("in_the_large", "mean probability less observed share", error.point, bounds, limit)


def _finding(subject: str, what: str, point: float, bounds: tuple[float, float], limit: float) -> Finding:
    low, high = bounds
    if -limit <= low and high <= limit:
        outcome, word = Outcome.PASS, "within"
    elif low > limit or high < -limit:
        outcome, word = Outcome.FAIL, "beyond"
    else:
        outcome, word = Outcome.INCONCLUSIVE, "too close to tell from"
    reason = f"{what} {point:+.4f} ({low:+.4f} to {high:+.4f}), {word} the limit {limit:g}"
    return Finding(
        check="calibration", subject=subject, outcome=outcome, reason=reason, observed=point, allowed=limit
    )
