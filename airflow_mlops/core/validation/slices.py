"""Weak segments nobody declared: slices of one or two conditions where the challenger loses to the champion.

Every slice is tested for a mean loss above the allowed drop, its variance taken over blocks of units;
Benjamini-Hochberg bounds the share of false finds. A find whose wider slice was found is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.metrics.names import MEANS
from airflow_mlops.core.validation.metrics.registry import METRICS
from airflow_mlops.core.validation.report import WeakSlice, noted
from airflow_mlops.core.validation.sample import CHALLENGER, CHAMPION
from airflow_mlops.core.verdict import Finding, Severity

if TYPE_CHECKING:
    from airflow_mlops.core.validation.evaluation import Evaluation
    from airflow_mlops.core.validation.metrics.base import Array, IntArray
    from airflow_mlops.core.validation.policy import SlicePolicy
    from airflow_mlops.core.validation.sample import Values

_BLOCKS = 512
_QUARTILES = (0.25, 0.5, 0.75)
_MOST_TOLD = 10
NO_MEANS = ("rmse", "r2", "explained_variance", "selection_rate")
ADDITIVE = frozenset(MEANS) - frozenset(NO_MEANS)


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows that meet every condition.

    :param gain: mean over its rows, challenger against champion; negative is a loss.
    :param doubt: p-value against "loses no more than allowed".
    :param error: standard error of the mean, with ``freedom`` degrees of freedom.
    """

    conditions: tuple[str, ...]
    rows: int
    gain: float
    doubt: float
    error: float
    freedom: int

    @property
    def name(self) -> str:
        """Return the conditions in words."""
        return " and ".join(self.conditions)

    def recorded(self, metric: str, alpha: float, allowed: float) -> WeakSlice:
        """Return it as a record, with one-sided bounds of its mean (Student's t)."""
        reach = float(stats.t.ppf(1 - alpha, self.freedom)) * self.error
        return WeakSlice(
            name=self.name,
            metric=metric,
            rows=self.rows,
            gain=self.gain,
            lower=self.gain - reach,
            upper=self.gain + reach,
            allowed=allowed,
        )


def weak_slices(study: Evaluation) -> tuple[list[Finding], list[WeakSlice]]:
    """Search the sample's columns; nothing without a policy or columns to search."""
    policy, sample = study.policy.slices, study.sample
    if policy is None or not sample.columns or sample.queries is not None:
        return [], []
    name = _metric(study, policy)
    models = (sample.scores[CHALLENGER], sample.scores[CHAMPION])
    mine, theirs = (METRICS[name].rows(Scored.of(sample.labels, scores))[0] for scores in models)
    gain = METRICS[name].sign * (mine - theirs)
    coded = {c: conditions(c, v, policy.values) for c, v in sample.columns.items() if _wanted(policy, c)}
    units = study.resampling.blocks % _BLOCKS
    found = search(gain, {c: code for c, code in coded.items() if code is not None}, units, policy)
    weak = weakest(found, study.policy.alpha)[:_MOST_TOLD]
    told = _told(weak, len(found), name, policy)
    return told, [one.recorded(name, study.policy.alpha, policy.max_drop) for one in weak]


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
    """Return every slice large enough, with its mean and its doubt."""
    found = []
    for names, codes in coded.values():
        found += _tested(gain, codes, [(name,) for name in names], units, policy)
    if policy.depth > 1:
        for (names, codes), (others, more) in combinations(coded.values(), 2):
            both: list[tuple[str, ...]] = [(name, other) for name in names for other in others]
            found += _tested(gain, codes * len(others) + more, both, units, policy)
    return found


def weakest(found: list[Slice], alpha: float) -> list[Slice]:
    """Return slices that surely lose, weakest first, each without the narrower ones inside it."""
    if not found:
        return []
    kept = stats.false_discovery_control([one.doubt for one in found]) <= alpha
    lost = sorted(
        (one for one, is_kept in zip(found, kept, strict=True) if is_kept), key=lambda one: one.gain
    )
    wide = {one.conditions[0] for one in lost if len(one.conditions) == 1}
    return [one for one in lost if len(one.conditions) == 1 or not wide & set(one.conditions)]


def _tested(
    gain: Array, codes: IntArray, names: list[tuple[str, ...]], units: IntArray, policy: SlicePolicy
) -> list[Slice]:
    """Test each cell: mean gain, its variance from sums per block, Student's t."""
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
    spread = np.sqrt(((sums - mean * count) ** 2).sum(axis=0) * used / (used - 1)) / rows[large]
    doubts = stats.t.cdf((mean + policy.max_drop) / np.maximum(spread, 1e-12), used - 1)
    each = zip(rows[large], mean, doubts, spread, used - 1, strict=True)
    return [
        Slice(names[cell], int(n), float(gain), float(doubt), float(error), int(freedom))
        for cell, (n, gain, doubt, error, freedom) in zip(large, each, strict=True)
    ]


def _told(weak: list[Slice], searched: int, metric: str, policy: SlicePolicy) -> list[Finding]:
    if not weak:
        return [
            noted("slices", f"{searched} slices searched, none surely loses more than {policy.max_drop:g}")
        ]
    return [
        Finding(
            check="weak_slice",
            subject=one.name,
            outcome=policy.outcome,
            severity=Severity.WARNING,
            reason=(
                f"{one.name}: {metric} {one.gain:+.4f} against champion on {one.rows} rows, "
                f"allowed {-policy.max_drop:g} ({searched} slices searched)"
            ),
            observed=one.gain,
            allowed=-policy.max_drop,
        )
        for one in weak
    ]


def _metric(study: Evaluation, policy: SlicePolicy) -> str:
    named = [name for name in (policy.metric, *study.policy.metrics) if name in ADDITIVE]
    if named:
        return named[0]
    sample = study.sample
    is_class = sample.scores[CHALLENGER].ndim == 2 or bool(np.isin(sample.labels, (0.0, 1.0)).all())
    return "log_loss" if is_class else "mse"


def _wanted(policy: SlicePolicy, column: str) -> bool:
    return not policy.columns or column in policy.columns
