"""What is assumed of two equal models before either exists: rows with labels and both models' scores.

Two classes: log odds from binormal scores, calibrated, so that every metric of classes follows from the share
of positives and how far the classes lie apart. Numbers: normal errors. The scores of both models correlate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.metrics.registry import Target, base_name, is_in_points, metric, traits_of
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample

if TYPE_CHECKING:
    from airflow_mlops.core.validation.metrics.base import Array

_AREA, _SEED, _SOLVED_ON = 0.85, 20130101, 20_000
_NOT_PLANNED = ("mape", "poisson_deviance", "roc_auc_ovr")
_SPREAD = 3.0  # of the labels, where they are numbers, in standard deviations of a usual error
_FARTHEST = 8.0
PLANNABLE = "metrics of two classes, or of numbers (mae, mse, rmse, r2), by our names"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed(Record):
    """What is assumed of the rows and of two equal models.

    :param metric: the metric whose ``value`` is given.
    :param value: the champion's; ``None``: that of an area of .85, or of errors of 1.
    :param prevalence: share of positives, (0, 1), where labels are classes.
    :param correlation: of both models' scores within a class, or of their errors, [0, 1).
    """

    metric: str
    value: float | None = None
    prevalence: float = 0.5
    correlation: float = 0.9

    def __post_init__(self) -> None:
        """Refuse what no model can be like."""
        if not is_plannable(self.metric):
            msg = f"metric {self.metric!r} cannot be planned without rows; allowed: {PLANNABLE}"
            raise InvalidConfigError(msg)
        for name, is_meant, allowed in (
            ("prevalence", 0 < self.prevalence < 1, "above 0, below 1"),
            ("correlation", 0 <= self.correlation < 1, "0 up to below 1"),
        ):
            if not is_meant:
                msg = f"{name} {getattr(self, name):g}, allowed: {allowed}"
                raise InvalidConfigError(msg)

    @property
    def is_of_classes(self) -> bool:
        """Whether labels are classes, of which one is rarer."""
        traits = traits_of(self.metric)
        return traits is not None and traits.is_of_classes

    @property
    def rarest(self) -> float:
        """Share of the rows that the rarer class has; 1 of numbers."""
        return min(self.prevalence, 1 - self.prevalence) if self.is_of_classes else 1.0

    def sample(self, rng: np.random.Generator, rows: int) -> Sample:
        """Draw held-back rows, scored by two equal models and by the best constant."""
        labels, mine, theirs = _drawn(self, rng, rows, _solved(self))
        constant = np.full(rows, self.prevalence if self.is_of_classes else 0.0)
        return Sample(labels, {CHALLENGER: mine, CHAMPION: theirs, BASELINE: constant})


def _drawn(its: Assumed, rng: np.random.Generator, rows: int, apart: float) -> tuple[Array, Array, Array]:
    shared, own = rng.normal(size=rows), rng.normal(size=(2, rows))
    share = math.sqrt(its.correlation)
    noise = share * shared + math.sqrt(1 - its.correlation) * own
    if not its.is_of_classes:
        labels = rng.normal(0, _SPREAD, rows)
        return labels, labels + apart * noise[0], labels + apart * noise[1]
    labels = (rng.random(rows) < its.prevalence).astype(float)
    odds = apart * (noise + labels * apart) - apart**2 / 2 + special.logit(its.prevalence)
    return labels, special.expit(odds[0]), special.expit(odds[1])


@cache
def _solved(its: Assumed) -> float:
    """Return how far the classes lie apart, or the size of errors, that give the champion's value.

    :raises InvalidConfigError: no model has that value at this prevalence.
    """
    usual = math.sqrt(2) * float(special.ndtri(_AREA)) if its.is_of_classes else 1.0
    if its.value is None:
        return usual
    measure, wanted = metric(its.metric), its.value

    def off(apart: float) -> float:
        labels, _, theirs = _drawn(its, np.random.default_rng(_SEED), _SOLVED_ON, apart)
        value = measure.point(labels, theirs)
        return (value if math.isfinite(value) else 0.0) - wanted

    low, high = (1e-3, _FARTHEST) if its.is_of_classes else (1e-6, 1e6)
    if off(low) * off(high) > 0:
        ends = sorted(round(off(end) + wanted, 3) for end in (low, high))
        msg = (
            f"{its.metric} {wanted:g} of the champion, allowed at this prevalence: {ends[0]:g} to {ends[1]:g}"
        )
        raise InvalidConfigError(msg)
    return float(optimize.brentq(off, low, high, xtol=1e-4))


def is_plannable(name: str) -> bool:
    """Return whether a metric follows from labels and scores alone, without knowing the rows."""
    traits = traits_of(name)
    return (
        traits is not None and traits.target is not Target.RELEVANCE and base_name(name) not in _NOT_PLANNED
    )


def needs_value(name: str) -> bool:
    """Return whether a margin of a metric means nothing without the champion's value: it has a unit."""
    traits = traits_of(name)
    return traits is not None and not traits.is_of_classes and not is_in_points(name)
