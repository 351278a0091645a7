"""Estimate: a number with its bootstrap resamples, confidence bounds and p-values.

Bounds are bias-corrected and accelerated percentiles of the resamples (BCa bootstrap, Efron 1987), their
normal quantile widened to Student's t. Degrees of freedom are those of the variance itself (Satterthwaite
1946), by the kurtosis of the blocks' influences: a gain that rests on few rows, say the 20 positives among
1,000, has few, however many rows there are. Bias and acceleration are corrected for where that makes a claim
harder, never where it makes it easier: estimated from the rows that a sample happens to lack, they are wrong
just when the claim is. A p-value is the level at which the bound reaches the threshold (inverted interval).
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Estimate:
    """A value, its value in each resample, and its value without each block.

    :param draws: shape ``(resamples,)``, NaN where a resample has no value.
    :param left_out: ``(n_blocks,)``, or of groups of blocks.
    :param units: blocks that hold rows; of a metric by class, those of the rarest class.
    :param max_influence: greatest change that one unit could make, times the units; 0 if unknown. Where all
        resamples have one value it alone bounds the estimate: what one unit in ``units`` does may be unseen
        (rule of three, Hanley and Lippman-Hand 1983).
    """

    point: float
    draws: Array
    left_out: Array
    units: int
    max_influence: float = 0.0

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
        most, square = max(1, self.units - 1), float((self._influence**2).sum())
        if square <= 0:
            return float(most)
        excess = float((self._influence**4).sum()) / square**2 - 1 / len(self._influence)
        return float(min(most, max(1.0, 2 / max(excess, _ROUNDING))))

    def lower(self, alpha: float) -> float:
        """One-sided lower confidence bound; NaN if the value is not known."""
        if not self.is_known:
            return float("nan")
        if self._is_constant:
            return self.point + self.max_influence * float(np.log(alpha)) / max(1, self.units)
        z = self._bias + self._wide(float(special.ndtri(alpha)))
        y = max(-_FARTHEST, self._bias + z / max(1e-3, 1 - self._acceleration * z))
        level = float(special.ndtr(y))
        if level * len(self.known) >= _FEWEST_BEYOND:
            return float(np.quantile(self.known, level))
        return float(self.known.mean() + y * self.known.std())

    def upper(self, alpha: float) -> float:
        """One-sided upper confidence bound."""
        return -(-self).lower(alpha)

    def p_value_above(self, threshold: float) -> float:
        """p-value of the null hypothesis "at most ``threshold``"; 1 if the value is not known."""
        if not self.is_known:
            return 1.0
        if self._is_constant:
            return self._unseen(threshold - self.point)
        y = self._place(threshold) - self._bias
        z = y / max(1e-3, 1 + self._acceleration * y) - self._bias
        return float(special.stdtr(self._freedom, z * np.sqrt(self._freedom / (self._freedom + 1))))

    def p_value_below(self, threshold: float) -> float:
        """p-value of the null hypothesis "at least ``threshold``"."""
        return (-self).p_value_above(-threshold)

    def _unseen(self, far: float) -> float:
        """Return the probability that none of the units shows a difference of ``far`` (rule of three)."""
        if abs(far) <= _ROUNDING:
            return 0.5
        if far > 0:
            return 1.0
        return float(np.exp(far * self.units / self.max_influence)) if self.max_influence > 0 else 0.0

    def _wide(self, z: float) -> float:
        """Widen a normal quantile to Student's t with as many degrees of freedom as the variance has."""
        freedom = self._freedom
        return float(special.stdtrit(freedom, special.ndtr(z)) * np.sqrt((freedom + 1) / freedom))

    def _place(self, threshold: float) -> float:
        """Return the normal quantile of the share of resamples below; in their tails, of a normal fit."""
        known, far = self.known, threshold - float(self.known.mean())
        below = int(np.searchsorted(known, threshold, "right"))  # a tie counts against the claim
        if min(below, len(known) - below) >= _FEWEST_BEYOND:
            return float(special.ndtri(below / len(known)))
        return float(np.clip(far / known.std(), -_FARTHEST, _FARTHEST))

    def __neg__(self) -> Estimate:
        return combined(np.negative, self)

    def __sub__(self, other: Estimate) -> Estimate:
        return combined(np.subtract, self, other)

    def __add__(self, other: Estimate) -> Estimate:
        return combined(np.add, self, other)

    def scaled(self, factor: float) -> Estimate:
        """Return it times a number."""
        return combined(lambda values: factor * values, self)

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
        max(one.max_influence for one in estimates),
    )
