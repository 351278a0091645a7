"""Estimate: a number with its resamples, and what can be said surely about it.

Bounds are percentiles of the resamples, their normal quantile widened to Student's t. Degrees of freedom
are those of the variance itself (Satterthwaite 1946), by the kurtosis of what the blocks contribute: a gain
that rests on few rows, say the 20 positives among 1,000, has few, however many rows there are. Bias and
acceleration (Efron 1987) are taken off where they make a claim harder, never where they make it easier:
estimated from the rows that a sample happens to lack, they are wrong just when the claim is. A p-value is
the level at which the bound would just reach the threshold.
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
_FARTHEST = 40.0  # standard errors; beyond it every tail is 0
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A value, its value in each resample, and its value without each block.

    :param draws: shape ``(resamples,)``, NaN where a resample has no value.
    :param left_out: ``(n_blocks,)``, or of groups of blocks.
    :param units: blocks that hold rows; of a metric by class, those of the rarest class.
    :param reach: what one unit alone could change times the units, 0 if that is not known. Of a value that
        is the same in every resample only this can be said: what happens in one of ``units`` cases would not
        have been seen.
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
        """Whether resamples differ by rounding only: two models that say the same."""
        known = self.known
        return float(known[-1] - known[0]) <= _ROUNDING * max(1.0, abs(self.point))

    @cached_property
    def _bias(self) -> float:
        """How far the resamples' median lies below the point, in standard errors; 0 if above."""
        known = self.known
        below = np.searchsorted(known, self.point, "left") + np.searchsorted(known, self.point, "right")
        share = np.clip(below / 2 / len(known), 0.05, 0.5)
        return float(special.ndtri(share))

    @cached_property
    def _pull(self) -> Array:
        """What each block contributes, about the mean."""
        pull = self.left_out[np.isfinite(self.left_out)]
        return np.asarray(pull.mean() - pull) if pull.size else pull

    @cached_property
    def _acceleration(self) -> float:
        """A sixth of the skewness of the value; 0 if it is skewed upwards."""
        spread = float((self._pull**2).sum()) ** 1.5
        return min(0.0, float((self._pull**3).sum() / (6 * spread))) if spread > 0 else 0.0

    @cached_property
    def _freedom(self) -> float:
        """Degrees of freedom, 2 n / (kurtosis - 1): n for normal contributions, 2 k for k like ones."""
        most, square = max(1, self.units - 1), float((self._pull**2).sum())
        if square <= 0:
            return float(most)
        excess = float((self._pull**4).sum()) / square**2 - 1 / len(self._pull)
        return float(min(most, max(1.0, 2 / max(excess, _ROUNDING))))

    def lower(self, alpha: float) -> float:
        """One-sided lower confidence bound; NaN if the value is not known."""
        if not self.is_known:
            return float("nan")
        if self._is_constant:
            return self.point + self.reach * float(np.log(alpha)) / max(1, self.units)
        z = self._bias + self._wide(float(special.ndtri(alpha)))
        y = max(-_FARTHEST, self._bias + z / max(1e-3, 1 - self._acceleration * z))
        level = float(special.ndtr(y))
        if level * len(self.known) >= _FEWEST_BEYOND:
            return float(np.quantile(self.known, level))
        return float(self.known.mean() + y * self.known.std())

    def upper(self, alpha: float) -> float:
        """One-sided upper confidence bound."""
        return -(-self).lower(alpha)

    def doubt_above(self, threshold: float) -> float:
        """p-value against "at most ``threshold``": small when it surely lies above; 1 if unknown."""
        if not self.is_known:
            return 1.0
        if self._is_constant:
            return self._unseen(threshold - self.point)
        y = self._place(threshold) - self._bias
        z = y / max(1e-3, 1 + self._acceleration * y) - self._bias
        return float(special.stdtr(self._freedom, z * np.sqrt(self._freedom / (self._freedom + 1))))

    def doubt_below(self, threshold: float) -> float:
        """p-value against "at least ``threshold``"."""
        return (-self).doubt_above(-threshold)

    def _unseen(self, far: float) -> float:
        """Return the chance that none of the units shows a difference of ``far`` (rule of three)."""
        if abs(far) <= _ROUNDING:
            return 0.5
        if far > 0:
            return 1.0
        return float(np.exp(far * self.units / self.reach)) if self.reach > 0 else 0.0

    def _wide(self, z: float) -> float:
        freedom = self._freedom
        return float(special.stdtrit(freedom, special.ndtr(z)) * np.sqrt((freedom + 1) / freedom))

    def _place(self, threshold: float) -> float:
        """Return the normal quantile of the share of resamples below; beyond them, of their normal tail."""
        known, far = self.known, threshold - float(self.known.mean())
        below = int(np.searchsorted(known, threshold, "right"))  # at the threshold counts against the claim
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
        max(one.reach for one in estimates),
    )
