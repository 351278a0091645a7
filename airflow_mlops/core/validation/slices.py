"""Slice discovery: search for segments of one or two conditions where the challenger loses to the champion.

Every slice is tested for a mean loss above the allowed drop by Student's t, with the variance between blocks
of units (cluster-robust) and its Satterthwaite degrees of freedom, corrected for skewness (Hall 1992); the
false discovery rate is bounded (Benjamini and Hochberg 1995). Rare large gains that a slice happens to lack
would make its loss look sure: variance and skewness are taken as at least those of all rows. A slice whose
gains rest on few blocks in effect is not told, nor one inside a wider one that was found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.metrics.registry import METRIC_TABLE, metric, usual_drop
from airflow_mlops.core.validation.report import WeakSlice, noted
from airflow_mlops.core.validation.sample import CHALLENGER, CHAMPION
from airflow_mlops.core.verdict import Finding, Severity

if TYPE_CHECKING:
    from airflow_mlops.core.validation.evaluation import Evaluation
    from airflow_mlops.core.validation.metrics.base import Array, IntArray
    from airflow_mlops.core.validation.policy import SlicePolicy
    from airflow_mlops.core.validation.sample import Values

_BLOCKS = 512
_FEWEST_EFFECTIVE = 10
_QUARTILES = (0.25, 0.5, 0.75)
_MOST_TOLD = 10


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that meet every condition.

    :param gain: mean over its rows, challenger less champion; negative is a loss.
    :param p_value: of the null hypothesis "loses no more than allowed".
    :param error: standard error of the mean, with ``freedom`` degrees of freedom.
    """

    conditions: tuple[str, ...]
    rows: int
    gain: float
    p_value: float
    error: float
    freedom: float

    @property
    def name(self) -> str:
        """Return the conditions in words."""
        return " and ".join(self.conditions)

    def recorded(self, metric: str, alpha: float, allowed: float) -> WeakSlice:
        """Return it as a record, with one-sided bounds of its mean (Student's t)."""
        half_width = float(stats.t.ppf(1 - alpha, self.freedom)) * self.error
        return WeakSlice(
            name=self.name,
            metric=metric,
            rows=self.rows,
            gain=self.gain,
            lower=self.gain - half_width,
            upper=self.gain + half_width,
            allowed=allowed,
        )


def weak_slices(evaluation: Evaluation, alpha: float) -> tuple[list[Finding], list[WeakSlice]]:
    """Search the sample's columns; returns nothing without a policy or columns to search.

    :param alpha: false discovery rate; it need not shrink with the tries as that of claims in favour does.
    """
    policy, sample = evaluation.policy.slices, evaluation.sample
    if policy is None or not sample.columns or sample.queries is not None:
        return [], []
    name, gain, theirs = row_gains(evaluation, CHALLENGER, CHAMPION, policy.metric)
    if policy.max_drop is None:
        policy = replace(policy, max_drop=usual_drop(name, float(np.nanmean(theirs))))
    coded = {c: conditions(c, v, policy.values) for c, v in sample.columns.items() if _wanted(policy, c)}
    units = evaluation.resampling.blocks % _BLOCKS
    found = search(gain, {c: code for c, code in coded.items() if code is not None}, units, policy)
    weak = weakest(found, alpha)[:_MOST_TOLD]
    findings = _findings(weak, len(found), name, policy)
    return findings, [one.recorded(name, alpha, policy.allowed) for one in weak]


def row_gains(evaluation: Evaluation, one: str, other: str, asked: str = "") -> tuple[str, Array, Array]:
    """Return a metric that is a mean over rows; per row one model's gain over another, and the other's value.

    :param asked: the metric to take if it is such a mean; else the policy's first, or the usual loss.
    """
    sample, name = evaluation.sample, _metric(evaluation, asked)
    wanted = metric(name)
    mine, theirs = (wanted.rows(Scored.of(sample.labels, sample.scores[model]))[0] for model in (one, other))
    return name, wanted.sign * (mine - theirs), theirs


def conditions(column: str, values: Values, most: int) -> tuple[list[str], IntArray] | None:
    """Cut a column into conditions; ``None`` for text with more than ``most`` values.

    :returns: their names, and per row which holds.
    """
    if values.dtype.kind != "f":
        texts, codes = np.unique(values.astype(str), return_inverse=True)
        return ([f"{column}={text}" for text in texts], codes) if len(texts) <= most else None
    known = values[np.isfinite(values)]
    few = np.unique(known)
    if len(few) <= min(most, 10):
        names, codes = [f"{column}={value:g}" for value in few], np.searchsorted(few, values)
    else:
        edges = np.unique(np.quantile(known, _QUARTILES))
        low = ["-inf", *(f"{edge:g}" for edge in edges)]
        high = [*(f"{edge:g}" for edge in edges), "inf"]
        names = [f"{column} in ({a}, {b}]" for a, b in zip(low, high, strict=True)]
        codes = np.searchsorted(edges, values)
    return [*names, f"{column} is missing"], np.where(np.isfinite(values), codes, len(names)).astype(np.int64)


def search(
    gain: Array, coded: dict[str, tuple[list[str], IntArray]], units: IntArray, policy: SlicePolicy
) -> list[Slice]:
    """Return every slice that is large enough, with its mean gain and p-value."""
    found = []
    for names, codes in coded.values():
        found += _tested(gain, codes, [(name,) for name in names], units, policy)
    if policy.depth > 1:
        for (names, codes), (others, more) in combinations(coded.values(), 2):
            both: list[tuple[str, ...]] = [(name, other) for name in names for other in others]
            found += _tested(gain, codes * len(others) + more, both, units, policy)
    return found


def weakest(found: list[Slice], alpha: float) -> list[Slice]:
    """Return slices with a significant loss, weakest first, without those inside a wider one."""
    if not found:
        return []
    kept = stats.false_discovery_control([one.p_value for one in found]) <= alpha
    lost = sorted(
        (one for one, is_kept in zip(found, kept, strict=True) if is_kept), key=lambda one: one.gain
    )
    wide = {one.conditions[0] for one in lost if len(one.conditions) == 1}
    return [one for one in lost if len(one.conditions) == 1 or not wide & set(one.conditions)]


def _tested(
    gain: Array, codes: IntArray, names: list[tuple[str, ...]], units: IntArray, policy: SlicePolicy
) -> list[Slice]:
    """Test each slice: mean gain, variance between blocks, Student's t."""
    cells = len(names)
    rows = np.bincount(codes, minlength=cells)
    large = np.flatnonzero(rows >= policy.min_rows)
    if not large.size:
        return []
    place = np.full(cells, -1)
    place[large] = np.arange(len(large))
    where = place[codes]
    inside = where >= 0
    code, shape = units[inside] * len(large) + where[inside], (int(units.max()) + 1, len(large))
    sums = np.bincount(code, weights=gain[inside], minlength=shape[0] * shape[1]).reshape(shape)
    count = np.bincount(code, minlength=shape[0] * shape[1]).reshape(shape)
    mean = sums.sum(axis=0) / rows[large]
    used = np.maximum(2, (count > 0).sum(axis=0))
    error, skew, freedom = _moments(sums - mean * count, rows[large], gain)
    error = error * np.sqrt(used / (used - 1))
    t = _without_skew((mean + policy.allowed) / np.maximum(error, 1e-12), skew)
    p_values = np.where(freedom >= _FEWEST_EFFECTIVE, stats.t.cdf(t, freedom), 1.0)
    each = zip(rows[large], mean, p_values, error, freedom, strict=True)
    return [
        Slice(names[cell], int(n), float(gain), float(p_value), float(error), float(freedom))
        for cell, (n, gain, p_value, error, freedom) in zip(large, each, strict=True)
    ]


def _moments(off: Array, rows: IntArray, gain: Array) -> tuple[Array, Array, Array]:
    """Return standard error and skewness of each slice's mean, and the degrees of freedom of the former.

    :param off: sums of the blocks less their expectation, shape ``(n_blocks, n_slices)``; ``gain``: all rows.
    """
    square = np.maximum((off**2).sum(axis=0), 1e-100)
    excess = (off**4).sum(axis=0) / square**2 - 1 / np.maximum(1, (off != 0).sum(axis=0))
    freedom = np.clip(2 / np.maximum(excess, 1e-12), 1.0, len(off) - 1)
    spread = float(gain.std())
    of_all = float(((gain - gain.mean()) ** 3).mean()) / spread**3 if spread > 0 else 0.0
    error = np.maximum(np.sqrt(square), spread * np.sqrt(rows)) / rows
    skew = np.maximum(0.0, np.maximum((off**3).sum(axis=0) / square**1.5, of_all / np.sqrt(rows)))
    return error, skew, freedom


def _without_skew(t: Array, skew: Array) -> Array:
    """Transform t so that it is symmetric (Hall 1992), monotone; ``skew`` is that of the mean."""
    by = skew / 3
    return np.asarray(t + by * t**2 + by**2 * t**3 / 3 + skew / 6)


def _findings(weak: list[Slice], searched: int, metric: str, policy: SlicePolicy) -> list[Finding]:
    if not weak:
        found = f"none loses significantly more than {policy.allowed:.4g}"
        return [noted("slices", f"{searched} slices searched, {found}")]
    return [
        Finding(
            check="weak_slice",
            subject=one.name,
            outcome=policy.outcome,
            severity=Severity.WARNING,
            reason=(
                f"{one.name}: {metric} {one.gain:+.4f} against champion on {one.rows} rows, "
                f"allowed {-policy.allowed:.4g} ({searched} slices searched)"
            ),
            observed=one.gain,
            allowed=-policy.allowed,
        )
        for one in weak
    ]


def _metric(evaluation: Evaluation, asked: str) -> str:
    for name in (asked, *evaluation.policy.metrics):
        traits = METRIC_TABLE.get(name)
        if traits is not None and traits.is_row_mean:
            return name
    sample = evaluation.sample
    is_class = sample.scores[CHALLENGER].ndim == 2 or bool(np.isin(sample.labels, (0.0, 1.0)).all())
    return "log_loss" if is_class else "mse"


def _wanted(policy: SlicePolicy, column: str) -> bool:
    return not policy.columns or column in policy.columns
