"""Coverage: how many predictions have labels, and what the missing labels could change.

Nobody knows the labels that are missing. Bounds without an assumption are the metric's values with the worst
and with the best labels in their place (Manski 1989). For two classes these follow the scores: all above a
cut are wrong, or right, the cut that changes most; for more classes the label is the class with the least,
or the greatest, score. A number has no bounds. Whether labels are missing at random is tested on the scores
of the predictions with and without a label (two-sample Kolmogorov-Smirnov): of random ones one window in a
hundred is called selective.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from airflow_mlops.core.record import Record
from airflow_mlops.core.validation.metrics.registry import metric, traits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_mlops.core.validation.metrics.base import Array

MOST_MISSING = 0.5
"""Share of predictions without a label above which a window says nothing of them."""
_LEVEL, _LEAST_DISTANCE = 0.01, 0.05
_CUTS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage(Record):
    """Predictions of a window with and without a label.

    :param worst, best: the metric if the missing labels were so; ``None`` for metrics without such bounds.
    :param distance: Kolmogorov-Smirnov distance between the scores of both; ``p_value``: of no difference.
    """

    labelled: int
    unlabelled: int = 0
    worst: float | None = None
    best: float | None = None
    distance: float = 0.0
    p_value: float = 1.0

    @property
    def missing(self) -> float:
        """Share of predictions without a label."""
        return self.unlabelled / max(1, self.labelled + self.unlabelled)

    @property
    def is_selective(self) -> bool:
        """Whether labels are missing where scores are other than usual."""
        return self.p_value < _LEVEL and self.distance >= _LEAST_DISTANCE

    def is_representative(self, most: float) -> bool:
        """Say whether the labels there are speak for the window, whatever they say.

        :param most: share that may be missing whatever its scores.
        """
        return self.missing <= most or (self.missing <= MOST_MISSING and not self.is_selective)

    def told(self) -> str:
        """Return it in words."""
        text = f"{self.missing:.1%} of {self.labelled + self.unlabelled} predictions have no label"
        if self.is_selective:
            text += (
                ", and their scores differ from those that have one (Kolmogorov-Smirnov "
                f"{self.distance:.2f}, p {self.p_value:.2g}): labels are not missing at random"
            )
        if self.worst is None or self.best is None:
            return f"{text}; what they could be has no bounds"
        return f"{text}; with the worst and the best labels it is {self.worst:.4f} and {self.best:.4f}"


def coverage_of(name: str, labels: Array, scores: Array, unlabelled: Array) -> Coverage:
    """Return what is missing and what it could change.

    :param name: of the metric; ``labels, scores``: of predictions with a label, all finite.
    :param unlabelled: finite scores of those without.
    """
    if not len(unlabelled):
        return Coverage(labelled=len(labels))
    distance, p_value = _difference(scores, unlabelled)
    found = sorted(_extremes(name, labels, scores, unlabelled), reverse=metric(name).sign < 0)
    return Coverage(
        labelled=len(labels),
        unlabelled=len(unlabelled),
        worst=found[0] if found else None,
        best=found[-1] if found else None,
        distance=distance,
        p_value=p_value,
    )


def _difference(scores: Array, unlabelled: Array) -> tuple[float, float]:
    """Return the greatest distance over the classes' scores, and its p-value (Bonferroni)."""
    pairs = zip(_columns(scores), _columns(unlabelled), strict=True)
    found = [stats.ks_2samp(one, other, method="asymp") for one, other in pairs]
    first = min(found, key=lambda one: float(one.pvalue))
    return float(first.statistic), min(1.0, len(found) * float(first.pvalue))


def _columns(scores: Array) -> list[Array]:
    return [scores] if scores.ndim == 1 else list(scores.T)


def _extremes(name: str, labels: Array, scores: Array, unlabelled: Array) -> Iterator[float]:
    traits = traits_of(name)
    if traits is None or not traits.is_of_classes or not np.isfinite(unlabelled).all():
        return
    measure, together = metric(name), np.concatenate((scores, unlabelled))
    for guessed in _guesses(unlabelled):
        value = measure.point(np.concatenate((labels, guessed)), together)
        if np.isfinite(value):
            yield float(value)


def _guesses(scores: Array) -> Iterator[Array]:
    """Yield labels that may be the worst or the best."""
    if scores.ndim == 2:
        yield scores.argmin(axis=1).astype(np.float64)
        yield scores.argmax(axis=1).astype(np.float64)
        return
    cuts = np.unique(np.quantile(scores, np.linspace(0, 1, _CUTS)))
    for cut in (-np.inf, 0.5, *cuts, np.inf):
        above = (scores >= cut).astype(np.float64)
        yield above
        yield 1 - above
