"""Estimate: a number with its resamples, and what can be said surely about it.

Bounds are bias-corrected and accelerated (Efron 1987), their normal quantile widened to Student's t for few
units (Hesterberg 2015). A p-value is the level at which the bound would just reach the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.validation.metric import Array

if TYPE_CHECKING:
    from collections.abc import Callable


FEWEST_KNOWN = 0.9
FEWEST_BEYOND = 10
FARTHEST = 40.0  # standard errors; beyond it every tail is 0
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A value, its value in each resample, and its value without each block.

    :param draws: shape ``(resamples,)``, NaN where a resample has no value.
    :param left_out: ``(n_blocks,)``, or ``None`` where it is too dear to compute.
    :param units: blocks that hold rows.
    """

    point: float
    draws: Array
    left_out: Array | None
    units: int

    @cached_property
    def known(self) -> Array:
        """The resamples that have a value, ascending."""
        finite = self.draws[np.isfinite(self.draws)]
        return np.sort(finite)

    @property
    def is_known(self) -> bool:
        """Whether the value exists, for nearly all resamples too."""
        return bool(np.isfinite(self.point)) and len(self.known) >= FEWEST_KNOWN * max(1, len(self.draws))

    @cached_property
    def _is_constant(self) -> bool:
        """Whether resamples differ by rounding only: two models that say the same."""
        known = self.known
        return float(known[-1] - known[0]) <= ROUNDING * max(1.0, abs(self.point))

    @cached_property
    def _bias(self) -> float:
        if self._is_constant:
            return 0.0
        known = self.known
        below = np.searchsorted(known, self.point, "left") + np.searchsorted(known, self.point, "right")
        share = np.clip(below / 2 / len(known), 0.05, 0.95)
        return float(stats.norm.ppf(share))

    @cached_property
    def _acceleration(self) -> float:
        if self.left_out is None or self._is_constant:
            return 0.0
        pull = self.left_out[np.isfinite(self.left_out)]
        pull = pull.mean() - pull
        spread = float((pull**2).sum()) ** 1.5
        return float((pull**3).sum() / (6 * spread)) if spread > 0 else 0.0

    def lower(self, alpha: float) -> float:
        """One-sided lower confidence bound; NaN if the value is not known."""
        if not self.is_known:
            return float("nan")
        z = self._bias + self._wide(float(stats.norm.ppf(alpha)))
        level = stats.norm.cdf(self._bias + z / max(1e-3, 1 - self._acceleration * z))
        return float(np.quantile(self.known, level))

    def upper(self, alpha: float) -> float:
        """One-sided upper confidence bound."""
        return -(-self).lower(alpha)

    def doubt_above(self, threshold: float) -> float:
        """p-value against "at most ``threshold``": small when it surely lies above; 1 if unknown."""
        if not self.is_known:
            return 1.0
        y = self._place(threshold) - self._bias
        z = y / max(1e-3, 1 + self._acceleration * y) - self._bias
        return float(stats.t.cdf(z * np.sqrt((self._freedom) / (self._freedom + 1)), self._freedom))

    def doubt_below(self, threshold: float) -> float:
        """p-value against "at least ``threshold``"."""
        return (-self).doubt_above(-threshold)

    @property
    def _freedom(self) -> int:
        return max(1, self.units - 1)

    def _wide(self, z: float) -> float:
        freedom = self._freedom
        return float(stats.t.ppf(stats.norm.cdf(z), freedom) * np.sqrt((freedom + 1) / freedom))

    def _place(self, threshold: float) -> float:
        """Return the normal quantile of the share of resamples below; beyond them, of their normal tail."""
        known, far = self.known, threshold - float(self.known.mean())
        if self._is_constant:
            return float(np.sign(far)) * FARTHEST if abs(far) > ROUNDING else 0.0
        below = int(np.searchsorted(known, threshold, "right"))  # at the threshold counts against the claim
        if min(below, len(known) - below) >= FEWEST_BEYOND:
            return float(stats.norm.ppf(below / len(known)))
        return float(np.clip(far / known.std(), -FARTHEST, FARTHEST))

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
    parts = [one.left_out for one in estimates]
    left_out = None if any(part is None for part in parts) else function(*parts)
    return Estimate(
        float(function(*(np.float64(one.point) for one in estimates))),
        function(*(one.draws for one in estimates)),
        left_out,
        min(one.units for one in estimates),
    )
