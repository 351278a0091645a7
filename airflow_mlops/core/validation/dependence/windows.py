"""Windows of time: rows of one day or partition share what happened then.

With ``FEWEST_BLOCKS`` of them and more, and no entity declared, windows are what the bootstrap draws. With
fewer, rows are drawn and the claim is about these windows. Whether it can be about more is tested: if gains
differ between windows beyond chance (Cochran's Q, 1954), the lower bound of their random-effects mean has to
hold, too (Hartung and Knapp 2001: Student's t with one degree of freedom less than windows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.validation.evaluation import WINDOWS
from airflow_mlops.core.validation.paired import PairedComparison, paired_comparisons
from airflow_mlops.core.validation.report import first_of, noted
from airflow_mlops.core.verdict import Finding, Outcome

if TYPE_CHECKING:
    from airflow_mlops.core.validation.evaluation import Evaluation
    from airflow_mlops.core.validation.metrics.base import Array

_FEWEST_ROWS = 20
_LEVEL, _SHARE = 0.01, 0.5  # the other half of alpha is for windows that differ and happen to agree
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Spread:
    """How a gain differs between windows.

    :param q: Cochran's Q; ``p_value`` of the null hypothesis that all windows have one gain.
    :param mean, error: random-effects mean and its standard error, with ``windows - 1`` degrees of freedom.
    """

    windows: int
    q: float
    p_value: float
    mean: float
    error: float

    def lower(self, alpha: float) -> float:
        """Lower confidence bound of the mean gain over windows like these."""
        return self.mean + float(stats.t.ppf(alpha, self.windows - 1)) * self.error


def spread_of(gains: Array, errors: Array) -> Spread:
    """Return Cochran's Q and the random-effects mean of gains with these standard errors."""
    weights = 1 / np.maximum(errors, 1e-12) ** 2
    common = float((weights * gains).sum() / weights.sum())
    q, freedom = float((weights * (gains - common) ** 2).sum()), len(gains) - 1
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    between = max(0.0, (q - freedom) / scale)
    weights = 1 / (np.maximum(errors, 1e-12) ** 2 + between)
    mean = float((weights * gains).sum() / weights.sum())
    error = float(np.sqrt((weights * (gains - mean) ** 2).sum() / (freedom * weights.sum())))
    return Spread(len(gains), q, float(stats.chi2.sf(q, freedom)), mean, error)


def window_findings(evaluation: Evaluation, rival: str) -> list[Finding]:
    """Say which windows the claims are about, and stop a claim that windows contradict."""
    if evaluation.sample.windows is None:
        return []
    if evaluation.drawn_by_window:
        count = len(evaluation.segments(WINDOWS)[0])
        return [noted("windows", f"{count} windows are drawn, not rows: those of one window move together")]
    names = [segment.name.partition("=")[2] for segment in evaluation.segments(WINDOWS)[0]]
    named = first_of(names, _MOST_NAMED)
    told = f"claims are about these windows: {named}; of others they say what these have in common"
    return [
        noted("windows", told),
        *(one for name in evaluation.policy.metrics for one in _contradicted(evaluation, name, rival)),
    ]


def _contradicted(evaluation: Evaluation, name: str, rival: str) -> list[Finding]:
    (whole,) = paired_comparisons(evaluation, name, rival)
    known = [one for one in paired_comparisons(evaluation, name, rival, WINDOWS) if _is_usable(one)]
    if len(known) < 2 or not whole.gain.is_known:
        return []
    spread = spread_of(
        np.array([one.gain.point for one in known]),
        np.array([max(float(one.gain.known.std()), one.gain.step) for one in known]),
    )
    if spread.p_value > _LEVEL:
        return []
    allowed = whole.slack.point - whole.gain.point
    lower = spread.lower(_SHARE * evaluation.policy.alpha)
    gains = ", ".join(
        f"{one.segment.name.partition('=')[2]} {one.gain.point:+.4f}" for one in known[:_MOST_NAMED]
    )
    reason = (
        f"{name}: gains differ between windows beyond chance (Cochran's Q {spread.q:.1f}, "
        f"p {spread.p_value:.2g}): {gains}; over windows like these the lower bound is "
        f"{lower:+.4f}, allowed {0.0 - allowed:.4g}"
    )
    outcome = Outcome.WARN if lower > -allowed else Outcome.INCONCLUSIVE
    return [
        Finding(
            check="windows", subject=name, outcome=outcome, reason=reason, observed=lower, allowed=-allowed
        )
    ]


def _is_usable(one: PairedComparison) -> bool:
    return one.gain.is_known and one.gain.units >= _FEWEST_ROWS
