"""Power of a claim at any number of rows: the estimate of a large sample is scaled, the rule is the core's.

A value of n rows lies normally around the true one, with a standard error that falls as the root of n; the
influence of a row, and what failures that were not seen may change, fall as n. The estimate of the large
sample is scaled so, and asked for its own p-values (:mod:`airflow_mlops.core.validation.estimate`): the power
is the share of possible values at which they are small enough. Only the noise is a closed form; no rule is
stated twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

from airflow_mlops.core.validation.bootstrap import MOST_BLOCKS
from airflow_mlops.core.validation.estimate import Estimate
from airflow_mlops.core.validation.paired import holm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_mlops.core.validation.metrics.base import Array


MOST_ROWS = 10**9
_GRID, _WIDEST, _TINY = 41, 5.0, 1e-300
_SERIES, _SEED = 2000, 20130101
_NORMAL = special.ndtri((np.arange(400) + 0.5) / 400)


@dataclass(frozen=True)
class Scaled:
    """An estimate of a large sample in which each row is a block, and what is true of it.

    :param estimate: of the large sample; above 0 is what is claimed.
    :param truth: the true value.
    :param share: of the rows, those that the value rests on: its denominator's, of several the rarest.
    :param least: how many of these are needed, whatever the value.
    :param resamples: of the bootstrap that will judge: its bias correction, which is only ever made against
        the claim, costs half a standard error over the root of their number.
    """

    estimate: Estimate
    truth: float
    share: float = 1.0
    least: int = 0
    resamples: int = 2000

    @cached_property
    def _influence(self) -> Array:
        """Influence of each row of the large sample, ascending."""
        known = self.estimate.left_out[np.isfinite(self.estimate.left_out)]
        return np.asarray(np.sort(known.mean() - known))

    def at(self, rows: float) -> Estimate:
        """Return an estimate as that many rows would give it, with the true value as its point."""
        ratio, count = rows / len(self._influence), int(min(MOST_BLOCKS, max(2.0, rows)))
        places = ((np.arange(count) + 0.5) / count * len(self._influence)).astype(int)
        influence = self._influence[places] / ratio * math.sqrt(rows / count)
        spread = math.sqrt(float((self._influence**2).sum()) / ratio)
        return replace(
            self.estimate,
            point=self.truth,
            draws=self.truth + spread * (_NORMAL + 0.5 / math.sqrt(self.resamples)),
            left_out=self.truth - influence,
            units=int(min(MOST_BLOCKS, max(1.0, rows * self.share))),
            reach=self.estimate.reach / ratio,
        )

    def p_values(self, rows: float, z: Array) -> Array:
        """Return the p-value of "not above 0" where the value lies z standard errors from the true one."""
        here = self.at(rows)
        spread = float(here.known.std())
        grid = np.linspace(-_WIDEST, _WIDEST, _GRID)
        found = np.array([here.shifted(one * spread).p_value_above(0.0) for one in grid])
        return np.asarray(np.exp(np.interp(z, grid, np.log(np.maximum(found, _TINY)))))

    def enough(self, rows: float) -> float:
        """Return the probability that the value rests on as many rows as are needed."""
        if self.share >= 1:
            return float(rows >= self.least)
        return float(stats.binom.sf(self.least - 1, int(rows), self.share))


def power_of_one(claim: Scaled, rows: float, alpha: float) -> float:
    """Return the probability that one claim is made on that many rows."""
    z = special.ndtri((np.arange(_SERIES) + 0.5) / _SERIES)
    return float((claim.p_values(rows, z) <= alpha).mean()) * claim.enough(rows)


def power_of_all(claims: Sequence[Scaled], rows: Sequence[float], alpha: float) -> float:
    """Return the probability that all claims are made, Holm-adjusted, each on rows of its own."""
    rng = np.random.default_rng(_SEED)
    drawn = np.stack(
        [claim.p_values(count, rng.normal(size=_SERIES)) for claim, count in zip(claims, rows, strict=True)]
    )
    made = float(np.mean([max(holm(one)) <= alpha for one in drawn.T.tolist()]))
    return made * math.prod(claim.enough(count) for claim, count in zip(claims, rows, strict=True))


def least_rows(
    power: Callable[[int], float],
    wanted: float,
    *,
    within: float = 0.01,
    fewest: int = 20,
    most: int = MOST_ROWS,
) -> int | None:
    """Return the fewest rows with that power; ``None`` if ``most`` do not suffice.

    :param within: relative precision.
    """
    low, high = fewest // 2, fewest
    while power(high) < wanted:
        if high >= most:
            return None
        low, high = high, min(4 * high, most)
    if high == fewest:
        return high
    while high - low > max(1.0, high * within):
        middle = round(math.sqrt(low * high))
        if middle in (low, high):
            break
        low, high = (low, middle) if power(middle) >= wanted else (middle, high)
    return high
