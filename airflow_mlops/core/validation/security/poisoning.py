"""Signs of label poisoning: conflicting duplicates, labels that contradict near duplicates, odd label rates.

Heuristics, not proofs: they detect crude poisoning of labels, no backdoor in the features. What they find and
what they miss in simulation is in docs/how-to/validation.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    from airflow_mlops.core.validation.metrics.base import Array, BoolArray, IntArray
    from airflow_mlops.core.validation.sample import Values
    from airflow_mlops.core.validation.security.security import PoisoningPolicy

_FEWEST_DUPLICATES = 10
_AGREEMENT = 0.9
_FEWEST_ROWS = 30
_MOST_TOLD = 5


def conflicts(same: IntArray, labels: IntArray, policy: PoisoningPolicy) -> Finding:
    """Judge exact duplicates: those whose label is not the majority label of their group.

    :param same: shape ``(n_rows,)``: rows with one number have equal features.
    :param labels: class codes.
    """
    size, usual, _ = _groups(same, labels)
    repeated = size > 1
    odd = int((repeated & (labels != usual)).sum())
    what = "exact duplicates have another label than most of their group"
    return _share("conflicting_duplicates", odd, int(repeated.sum()), policy.conflicts, what, policy)


def flips(alike: IntArray, labels: IntArray, policy: PoisoningPolicy) -> Finding:
    """Judge near duplicates: rows whose label contradicts nine in ten of a group of ten or more."""
    size, usual, agreeing = _groups(alike, labels)
    settled = (size >= _FEWEST_DUPLICATES) & (agreeing >= _AGREEMENT * size)
    odd = int((settled & (labels != usual)).sum())
    what = "rows among agreeing near duplicates contradict them"
    return _share("label_flips", odd, int(settled.sum()), policy.flips, what, policy)


def label_rates(column: str, values: Values, positive: BoolArray, policy: PoisoningPolicy) -> list[Finding]:
    """Judge the label rate of each value of a column by a funnel plot of the column.

    z = (k - n p) / sqrt(n p (1 - p)), divided by the robust spread of all z where that is above 1
    (over-dispersion, Spiegelhalter 2005); Benjamini-Hochberg over the values.
    """
    names, codes = np.unique(values, return_inverse=True)
    rows: Array = np.asarray(np.bincount(codes), dtype=np.float64)
    good: Array = np.asarray(np.bincount(codes, weights=positive.astype(float)), dtype=np.float64)
    large = rows >= _FEWEST_ROWS
    if large.sum() < 3:
        reason = (
            f"{column}: {int(large.sum())} values have {_FEWEST_ROWS} rows, too few to compare label rates"
        )
        return [_finding("label_rate", column, Outcome.PASS, reason, None)]
    usual = float(good[large].sum() / rows[large].sum())
    z = _funnel(good[large], rows[large], usual)
    odd = np.flatnonzero(stats.false_discovery_control(2 * stats.norm.sf(np.abs(z))) <= policy.alpha)
    if not odd.size:
        reason = f"{column}: no value's label rate differs from the overall {usual:.3f}"
        return [_finding("label_rate", column, Outcome.PASS, reason, None)]
    found = []
    for index in sorted(odd, key=lambda i: -abs(z[i]))[:_MOST_TOLD]:
        rate, count = good[large][index] / rows[large][index], rows[large][index]
        name = f"{column}={names[large][index]}"
        seen = f"{name}: label rate {rate:.3f} on {count:.0f} rows"
        reason = f"{seen}, overall {usual:.3f} (z {z[index]:+.1f})"
        found.append(_finding("label_rate", name, policy.outcome, reason, float(rate)))
    return found


def _funnel(good: Array, rows: Array, usual: float) -> Array:
    """Return z scores about their median, divided by their robust spread (MAD) where that is above 1."""
    z: Array = (good - rows * usual) / np.sqrt(rows * max(usual * (1 - usual), 1e-12))
    spread = float(np.median(np.abs(z - np.median(z)))) * 1.4826
    return (z - np.median(z)) / max(1.0, spread)


def _groups(group: IntArray, labels: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return per row: size of its group, the group's most frequent label, and how many have it."""
    classes = int(labels.max()) + 1
    pairs, counts = np.unique(group * classes + labels, return_counts=True)
    owner = pairs // classes
    best = np.lexsort((counts, owner))
    last = best[np.r_[owner[best][1:] != owner[best][:-1], True]]
    place = np.searchsorted(owner[last], group)
    return np.bincount(group)[group], (pairs[last] % classes)[place], counts[last][place]


def _share(check: str, odd: int, of: int, limit: float, what: str, policy: PoisoningPolicy) -> Finding:
    """Judge a share by its one-sided 95 % lower bound (Wilson's score interval)."""
    share = odd / of if of else 0.0
    lower = _lower_bound(odd, of) if of else 0.0
    outcome = policy.outcome if lower > limit else Outcome.PASS
    reason = f"{odd} of {of} {what} ({share:.2%}, lower bound {lower:.2%}), allowed {limit:.2%}"
    return _finding(check, "training rows", outcome, reason, share)


def _lower_bound(odd: int, of: int) -> float:
    one_sided = stats.binomtest(odd, of, alternative="greater")
    return float(one_sided.proportion_ci(0.95, method="wilson").low)


def _finding(check: str, subject: str, outcome: Outcome, reason: str, observed: float | None) -> Finding:
    severity = Severity.CRITICAL if outcome is Outcome.FAIL else Severity.WARNING
    return Finding(
        check=check, subject=subject, outcome=outcome, severity=severity, reason=reason, observed=observed
    )
