"""Paired comparison of the challenger with a rival on the same rows: p-values and the answer they give."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_mlops.core.validation.anchor import margins_against
from airflow_mlops.core.validation.estimate import Estimate
from airflow_mlops.core.validation.evaluation import Evaluation, Segment
from airflow_mlops.core.validation.metrics.registry import POINTS_DROP, RELATIVE_DROP, is_in_points
from airflow_mlops.core.validation.report import Comparison, ComparisonAnswer
from airflow_mlops.core.validation.sample import CHALLENGER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.validation.policy import ValidationPolicy


@dataclass(frozen=True)
class PairedComparison:
    """One metric of the challenger and of a rival on the same rows of one segment.

    :param gain: challenger less rival, in the metric's own direction.
    :param slack: gain plus the allowed margin: above 0 means not worse by more than the margin.
    :param no_value: the rival has a value on these rows, the challenger has none.
    """

    metric: str
    rival: str
    segment: Segment
    mine: Estimate
    theirs: Estimate
    gain: Estimate
    slack: Estimate
    too_small: bool
    no_value: bool = False

    @property
    def p_values(self) -> tuple[float, float, float]:
        """p-values against: worse by more than allowed, not better, not worse at all."""
        return self.slack.p_value_above(0.0), self.gain.p_value_above(0.0), self.gain.p_value_below(0.0)


def paired_comparisons(
    evaluation: Evaluation, name: str, rival: str, column: str = ""
) -> list[PairedComparison]:
    """Compare one metric in every segment that a column makes of the rows."""
    policy, sign = evaluation.policy, evaluation.metric(name).sign
    segments, _ = evaluation.segments(column)
    models = (CHALLENGER, rival)
    pairs = zip(*(evaluation.draws(model, name, column) for model in models), strict=True)
    found = []
    differs = evaluation.differs(rival, column)
    for segment, differ, (mine, theirs) in zip(segments, differs, pairs, strict=True):
        gain = (mine - theirs).scaled(sign)
        if not differ:
            gain = replace(gain, reach=0.0)  # identical scores: no row can show a difference
        slack, margins = gain, margins_against(rival, policy)
        if margins and name in policy.relative_margin:
            slack = gain + theirs.size().scaled(margins * policy.relative_margin[name])
        elif margins and column:
            slack = _with_segment_drop(gain, theirs, name, policy, margins)
        elif margins:
            slack = gain.shifted(margins * policy.margin[name])
        too_small = evaluation.is_too_small(segment, mine, theirs)
        no_value = not mine.is_known and not evaluation.is_too_small(segment, theirs)
        found.append(PairedComparison(name, rival, segment, mine, theirs, gain, slack, too_small, no_value))
    return found


def _with_segment_drop(
    gain: Estimate, theirs: Estimate, name: str, policy: ValidationPolicy, margins: float
) -> Estimate:
    """Return the gain plus what a segment may lose: as configured, else as :func:`usual_drop` says."""
    if policy.max_segment_drop is not None:
        return gain.shifted(margins * policy.max_segment_drop)
    if is_in_points(name):
        return gain.shifted(margins * POINTS_DROP)
    return gain + theirs.size().scaled(margins * RELATIVE_DROP)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple testing: family-wise error rate below alpha (Holm 1979)."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def concluded(
    pair: PairedComparison,
    p_values: tuple[float, float, float],
    alpha: float,
    not_worse_alpha: float | None = None,
) -> Comparison:
    """Conclude from p-values, adjusted or not.

    :param not_worse_alpha: significance level of "not worse", and of the lower bound; ``None``: ``alpha``.
    """
    strict = alpha if not_worse_alpha is None else not_worse_alpha
    not_worse, better, worse = p_values
    if pair.no_value:
        answer = ComparisonAnswer.NO_VALUE
    elif pair.too_small:
        answer = ComparisonAnswer.TOO_SMALL
    elif not_worse <= strict:
        answer = ComparisonAnswer.BETTER if better <= alpha else ComparisonAnswer.NOT_WORSE
    else:
        answer = ComparisonAnswer.WORSE if worse <= alpha else ComparisonAnswer.TOO_CLOSE
    gain = pair.gain
    return Comparison(
        metric=pair.metric,
        rival=pair.rival,
        segment=pair.segment.name,
        rows=pair.segment.rows,
        pooled=pair.segment.pooled,
        units=min(pair.mine.units, pair.theirs.units),
        challenger=finite_or_none(pair.mine.point),
        other=finite_or_none(pair.theirs.point),
        gain=finite_or_none(gain.point),
        lower=finite_or_none(gain.lower(strict)),
        upper=finite_or_none(gain.upper(alpha)),
        allowed=pair.slack.point - gain.point if gain.is_known else 0.0,
        p_value=None if pair.too_small else not_worse,
        answer=answer,
    )


def finite_or_none(value: float) -> float | None:
    """Return a number for a record; ``None`` where there is no finite one."""
    return value if math.isfinite(value) else None
