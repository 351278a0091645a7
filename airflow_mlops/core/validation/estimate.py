"""Estimate: a number with its bootstrap resamples, confidence bounds and p-values.

Bounds are bias-corrected and accelerated percentiles of the resamples (BCa bootstrap, Efron 1987), their
normal quantile widened to Student's t. Degrees of freedom are those of the variance itself (Satterthwaite
1946), by the kurtosis of the blocks' influences: a gain that rests on few rows, say the 20 positives among
1,000, has few, however many rows there are. Bias and acceleration are corrected for where that makes a claim
harder, never where it makes it easier: estimated from the rows that a sample happens to lack, they are wrong
just when the claim is. A p-value is the level at which the bound reaches the threshold (inverted interval).

Failures that were not seen are not impossible. That none of n units shows one of a size that would shift the
value by ``step`` has the probability exp(-shift / step), however large the share of such units is (rule of
three, Hanley and Lippman-Hand 1983). So the p-value is the greatest, over all ways to split the distance to
the threshold, of that probability times the bootstrap's for the rest: both have to happen for a false claim.
It is the bootstrap's alone where noise is larger than two steps, and the rule of three's alone where scores
are nearly identical.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from airflow_mlops.core.validation.metrics.base import Array

if TYPE_CHECKING:
    from collections.abc import Callable


_FEWEST_KNOWN = 0.9
_FEWEST_BEYOND = 10
_FARTHEST = 40.0  # standard errors: beyond them every tail probability is 0
_ROUNDING = 1e-12
_MOST_LEVEL, _FEWEST_SPREADS, _LEVELS = 0.99, 2.4, 32
_TINY = 1e-300


@dataclass(frozen=True)
class Estimate:
    """A value, its value in each resample, and its value without each block.

    :param draws: shape ``(resamples,)``, NaN where a resample has no value.
    :param left_out: ``(n_blocks,)``, or of groups of blocks.
    :param units: rows or entities that the value rests on; of several classes, those of the rarest.
    :param reach: greatest change of the value that one unit could make; 0 if unknown.
    """

    point: float
    draws: Array
    left_out: Array
    units: int
    reach: float = 0.0

    @cached_property
    def known(self) -> Array:
        """The resamples that have a value, ascending."""
        finite = self.draws[np.isfinite(self.draws)]
        return np.sort(finite)

    @property
    def is_known(self) -> bool:
        """Whether the value exists, for nearly all resamples too."""
        return bool(np.isfinite(self.point)) and len(self.known) >= _FEWEST_KNOWN * max(1, len(self.draws))

    @cached_property
    def _is_constant(self) -> bool:
        """Whether resamples differ by rounding only: two models with the same scores."""
        known = self.known
        return float(known[-1] - known[0]) <= _ROUNDING * max(1.0, abs(self.point))

    @cached_property
    def _bias(self) -> float:
        """Bias correction z0 of BCa: negative if most resamples lie above the point, else 0."""
        known = self.known
        below = np.searchsorted(known, self.point, "left") + np.searchsorted(known, self.point, "right")
        share = np.clip(below / 2 / len(known), 0.05, 0.5)
        return float(special.ndtri(share))

    @cached_property
    def _influence(self) -> Array:
        """Influence of each block: its leave-one-out (jackknife) value, centred and negated."""
        influence = self.left_out[np.isfinite(self.left_out)]
        return np.asarray(influence.mean() - influence) if influence.size else influence

    @cached_property
    def _acceleration(self) -> float:
        """Acceleration of BCa: a sixth of the skewness of the influences; 0 if it is positive."""
        spread = float((self._influence**2).sum()) ** 1.5
        return min(0.0, float((self._influence**3).sum() / (6 * spread))) if spread > 0 else 0.0

    @cached_property
    def _freedom(self) -> float:
        """Satterthwaite's, 2 n / (kurtosis - 1): n for normal influences, 2 k if k blocks carry all."""
        most = max(1, min(self.units, len(self._influence) or self.units) - 1)
        square = float((self._influence**2).sum())
        if square <= 0:
            return float(most)
        excess = float((self._influence**4).sum()) / square**2 - 1 / len(self._influence)
        return float(min(most, max(1.0, 2 / max(excess, _ROUNDING))))

    @cached_property
    def step(self) -> float:
        """Greatest change that one unit could make: as known beforehand, or as one that was seen makes."""
        return max(self.reach, float(np.abs(self._influence).max(initial=0.0)))

    def lower(self, alpha: float) -> float:
        """One-sided lower confidence bound; NaN if the value is not known."""
        if not self.is_known:
            return float("nan")
        if self._is_constant:
            return self.point + self.step * float(np.log(alpha))
        levels = np.geomspace(alpha, max(alpha, _MOST_LEVEL), _LEVELS)
        return float((self._seen_lower(levels) - self.step * np.log(levels / alpha)).min())

    def upper(self, alpha: float) -> float:
        """One-sided upper confidence bound."""
        return -(-self).lower(alpha)

    def p_value_above(self, threshold: float) -> float:
        """p-value of the null hypothesis "at most ``threshold``"; 1 if the value is not known."""
        if not self.is_known:
            return 1.0
        if self._is_constant:
            return self._unseen(threshold - self.point)
        far = max(0.0, self.point - threshold) + _FEWEST_SPREADS * float(self.known.std())
        shifts = np.linspace(0.0, far if self.step > 0 else 0.0, _LEVELS)
        unseen = np.exp(-shifts / max(self.step, _TINY))
        return float((unseen * self._seen_p_value(threshold + shifts)).max())

    def p_value_below(self, threshold: float) -> float:
        """p-value of the null hypothesis "at least ``threshold``"."""
        return (-self).p_value_above(-threshold)

    def _unseen(self, far: float) -> float:
        """Return the probability that none of the units shows a difference of ``far``."""
        if abs(far) <= _ROUNDING:
            return 0.5
        if far > 0:
            return 1.0
        return float(np.exp(far / self.step)) if self.step > _ROUNDING else 0.0

    def _seen_lower(self, levels: Array) -> Array:
        """Return lower bounds by what was seen, without the allowance for what was not."""
        z = self._bias + self._wide(special.ndtri(levels))
        y = np.maximum(-_FARTHEST, self._bias + z / np.maximum(1e-3, 1 - self._acceleration * z))
        level, known = special.ndtr(y), self.known
        by_rank = np.interp(level * (len(known) - 1), np.arange(len(known)), known)
        far = known.mean() + y * known.std()
        return np.asarray(np.where(level * len(known) >= _FEWEST_BEYOND, by_rank, far))

    def _seen_p_value(self, thresholds: Array) -> Array:
        """Return p-values by what was seen, without the allowance for what was not."""
        y = self._place(thresholds) - self._bias
        z = y / np.maximum(1e-3, 1 + self._acceleration * y) - self._bias
        freedom = self._freedom
        return np.asarray(special.stdtr(freedom, z * np.sqrt(freedom / (freedom + 1))))

    def _wide(self, z: Array) -> Array:
        """Widen normal quantiles to Student's t with as many degrees of freedom as the variance has."""
        freedom = self._freedom
        return np.asarray(special.stdtrit(freedom, special.ndtr(z)) * np.sqrt((freedom + 1) / freedom))

    def _place(self, thresholds: Array) -> Array:
        """Return the normal quantiles of the shares of resamples below; in their tails, of a normal fit."""
        known, far = self.known, thresholds - self.known.mean()
        below = np.searchsorted(known, thresholds, "right")  # a tie counts against the claim
        by_rank = special.ndtri(below / len(known))
        by_fit = np.clip(far / known.std(), -_FARTHEST, _FARTHEST)
        inner = np.minimum(below, len(known) - below) >= _FEWEST_BEYOND
        return np.asarray(np.where(inner, by_rank, by_fit))

    def __neg__(self) -> Estimate:
        return combined(np.negative, self)

    def __sub__(self, other: Estimate) -> Estimate:
        return combined(np.subtract, self, other)

    def __add__(self, other: Estimate) -> Estimate:
        return combined(np.add, self, other)

    def scaled(self, factor: float) -> Estimate:
        """Return it times a number."""
        found = combined(lambda values: factor * values, self)
        return replace(found, reach=abs(factor) * self.reach)

    def shifted(self, by: float) -> Estimate:
        """Return it plus a number."""
        return combined(lambda values: values + by, self)

    def size(self) -> Estimate:
        """Return its absolute value."""
        return combined(np.abs, self)


def combined(function: Callable[..., Array], *estimates: Estimate) -> Estimate:
    """Return a function of estimates that come from the same resamples."""
    return Estimate(
        float(function(*(np.float64(one.point) for one in estimates))),
        function(*(one.draws for one in estimates)),
        function(*(one.left_out for one in estimates)),
        min(one.units for one in estimates),
        max(one.reach for one in estimates),
    )
