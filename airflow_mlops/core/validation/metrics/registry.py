"""Metrics by name: one table of what is known about each, without loading arithmetic; formulas load on use.

So a typing error is found when a DAG is built. Scores are probabilities of the positive class, a matrix of
class probabilities, or predictions.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mlops.core.validation.metrics.base import Array, Formula, Metric


class Family(StrEnum):
    """Which module holds a metric's formula."""

    MEAN = "means"
    CLASSIFICATION = "classification"
    RANKING = "ranking"
    RETRIEVAL = "retrieval"


class Target(StrEnum):
    """What a metric's labels must be."""

    TWO_CLASSES = "two classes"
    CLASSES = "classes"
    NUMBERS = "numbers"
    RELEVANCE = "relevance of the answers to a query"


@dataclass(frozen=True, slots=True)
class MetricTraits:
    """What is known about a metric without its formula.

    :param sign: 1 if more is better, -1 if less is.
    :param max_influence: what one row among ``n`` changes at most, times ``n``; 0 if it has no bound.
    :param is_row_mean: a mean over rows of a loss or gain, so that two models can be compared row by row.
    """

    family: Family
    target: Target
    sign: int = 1
    max_influence: float = 0.0
    is_row_mean: bool = False

    @property
    def is_of_classes(self) -> bool:
        """Whether labels must be classes."""
        return self.target in {Target.TWO_CLASSES, Target.CLASSES}

    @property
    def needs_probabilities(self) -> bool:
        """Whether scores are read as probabilities, or called positive from 0.5."""
        return self.is_of_classes and self.family is not Family.RANKING


_LOG_LOSS = math.log(3000)
"""Greatest loss that a row which is not seen is taken to have: that of a probability of 1 in 3,000."""
_MEAN, _CLASS = Family.MEAN, Family.CLASSIFICATION
_TWO, _CLASSES, _NUMBERS = Target.TWO_CLASSES, Target.CLASSES, Target.NUMBERS
METRIC_TABLE = {
    "roc_auc": MetricTraits(Family.RANKING, _TWO, max_influence=1.0),
    "roc_auc_ovr": MetricTraits(Family.RANKING, _CLASSES, max_influence=1.0),
    "average_precision": MetricTraits(Family.RANKING, _TWO, max_influence=1.0),
    "accuracy": MetricTraits(_MEAN, _CLASSES, max_influence=1.0, is_row_mean=True),
    "log_loss": MetricTraits(_MEAN, _CLASSES, -1, max_influence=_LOG_LOSS, is_row_mean=True),
    "brier": MetricTraits(_MEAN, _CLASSES, -1, max_influence=1.0, is_row_mean=True),
    "mae": MetricTraits(_MEAN, _NUMBERS, -1, is_row_mean=True),
    "mse": MetricTraits(_MEAN, _NUMBERS, -1, is_row_mean=True),
    "rmse": MetricTraits(_MEAN, _NUMBERS, -1),
    "mape": MetricTraits(_MEAN, _NUMBERS, -1, is_row_mean=True),
    "poisson_deviance": MetricTraits(_MEAN, _NUMBERS, -1, is_row_mean=True),
    "r2": MetricTraits(_MEAN, _NUMBERS),
    "explained_variance": MetricTraits(_MEAN, _NUMBERS),
    "selection_rate": MetricTraits(_MEAN, _TWO, max_influence=1.0),
    "balanced_accuracy": MetricTraits(_CLASS, _CLASSES, max_influence=1.0),
    "precision": MetricTraits(_CLASS, _TWO, max_influence=1.0),
    "recall": MetricTraits(_CLASS, _TWO, max_influence=1.0),
    "f1": MetricTraits(_CLASS, _TWO, max_influence=1.0),
    "precision_macro": MetricTraits(_CLASS, _CLASSES, max_influence=1.0),
    "recall_macro": MetricTraits(_CLASS, _CLASSES, max_influence=1.0),
    "f1_macro": MetricTraits(_CLASS, _CLASSES, max_influence=1.0),
    "f1_weighted": MetricTraits(_CLASS, _CLASSES, max_influence=1.0),
    "matthews_corrcoef": MetricTraits(_CLASS, _CLASSES, max_influence=1.0),
    "false_positive_rate": MetricTraits(_CLASS, _TWO, -1, max_influence=1.0),
    "ndcg": MetricTraits(Family.RETRIEVAL, Target.RELEVANCE, max_influence=1.0),
    "mrr": MetricTraits(Family.RETRIEVAL, Target.RELEVANCE, max_influence=1.0),
    "map": MetricTraits(Family.RETRIEVAL, Target.RELEVANCE, max_influence=1.0),
}
"""Every metric of ours by name, in the order that messages list them."""
NEGATED = {
    "neg_log_loss": "log_loss",
    "neg_brier_score": "brier",
    "neg_mean_absolute_error": "mae",
    "neg_mean_squared_error": "mse",
    "neg_root_mean_squared_error": "rmse",
    "neg_mean_absolute_percentage_error": "mape",
    "neg_mean_poisson_deviance": "poisson_deviance",
}
"""scikit-learn's names of negated losses, with the loss."""
METRIC_NAMES = (*METRIC_TABLE, *NEGATED)
SHARE_METRICS = frozenset(
    name
    for name, traits in METRIC_TABLE.items()
    if traits.family is not Family.MEAN or name in {"accuracy", "selection_rate"}
)
"""Metrics that lie between 0 and 1; the correlation coefficient between -1 and 1."""
SCORER_PREFIX = "sklearn:"
POINTS_DROP, RELATIVE_DROP = 0.02, 0.05
"""Drops that are allowed where nothing else is said: of metrics in points, and as a share of the value."""
_IN_POINTS = SHARE_METRICS | {"r2", "explained_variance"}
_CUT = re.compile(r"ndcg@[1-9]\d*")
_DEFAULTS_TWO_CLASSES = ("roc_auc", "log_loss", "brier", "accuracy")
_DEFAULTS_CLASSES = ("roc_auc_ovr", "log_loss", "brier", "accuracy", "f1_macro")
_DEFAULTS_NUMBERS = ("mae", "mse")


def check_metric(name: str, own: Iterable[str] = ()) -> None:
    """Accept a metric's name: one of ours, one of the author's, or ``sklearn:<scorer>``.

    :raises InvalidConfigError: nothing of that name; says what is close and what is allowed.
    """
    known = (*own, *METRIC_NAMES)
    if name in known or _CUT.fullmatch(name) or name.startswith(SCORER_PREFIX):
        return
    msg = (
        f"metric {name!r} is not known; one of: {', '.join(known)}, ndcg@<cut>, "
        f"{SCORER_PREFIX}<name of a scikit-learn scorer>{did_you_mean(name, known)}"
    )
    raise InvalidConfigError(msg)


def check_bar(where: str, name: str, value: float, *, least: float = 0.0) -> None:
    """Accept a bar in a metric's unit: a finite number; of a metric that is a share at most 1.

    :raises InvalidConfigError: two per cent written as 2, for instance.
    """
    most = 1.0 if base_name(name) in SHARE_METRICS else math.inf
    if math.isfinite(value) and least <= value <= most:
        return
    low = "" if least == -math.inf else f" from {least:g}"
    high = "" if most == math.inf else f" to {most:g}, for it is in the metric's unit (0.02 is two points)"
    msg = f"{where}.{name}: {value:g}, allowed: a number{low}{high}"
    raise InvalidConfigError(msg)


def is_bounded(name: str) -> bool:
    """Return whether there is a most that one row can change a metric by, whatever its label and scores."""
    traits = traits_of(name)
    return traits is not None and traits.max_influence > 0 and traits.max_influence != _LOG_LOSS


def is_loss(name: str) -> bool | None:
    """Return whether less of a metric is better; ``None`` for an author's own and scikit-learn's scorers."""
    traits = traits_of(name)
    return None if traits is None else traits.sign < 0 and name not in NEGATED


def is_in_points(name: str) -> bool:
    """Return whether a metric has no unit and 1 is perfect, so that a drop is said in points.

    A share of the value would be nothing where the value is near 0. A loss has a unit, or is best at 0.
    """
    return base_name(name) in _IN_POINTS


def usual_drop(name: str, value: float) -> float:
    """Return the drop that is allowed where nothing else is said: in points, or a share of the value."""
    return POINTS_DROP if is_in_points(name) else RELATIVE_DROP * abs(value)


def base_name(name: str) -> str:
    """Return a metric's name without negation and cut-off: ``log_loss``, ``ndcg``."""
    return NEGATED.get(name, name.partition("@")[0])


def traits_of(name: str) -> MetricTraits | None:
    """Return what is known about a metric; ``None`` for an author's own and scikit-learn's scorers."""
    return METRIC_TABLE.get(base_name(name))


def metric(name: str, own: Sequence[Metric] = ()) -> Metric:
    """Return a metric by name, the author's ``own`` first.

    :raises InvalidConfigError: there is none of that name.
    """
    for mine in own:
        if mine.name == name:
            return mine
    check_metric(name, [mine.name for mine in own])
    if name.startswith(SCORER_PREFIX):
        msg = f"metric {name!r}: scikit-learn's scorers are there only for ValidateModelOperator"
        raise InvalidConfigError(msg)
    if name in NEGATED:
        loss = metric(NEGATED[name])
        return replace(loss, name=name, sign=1, value=lambda sums: -loss.of(sums))
    return _with_formula(name)


def default_metrics(labels: Array, scores: Array) -> dict[str, float]:
    """Return the usual metrics: of k classes for a matrix, of two for 0/1 labels, of numbers otherwise."""
    import numpy as np

    binary = bool(np.isin(labels, (0.0, 1.0)).all())
    names: tuple[str, ...] = _DEFAULTS_TWO_CLASSES if binary else _DEFAULTS_NUMBERS
    if scores.ndim == 2:
        names = _DEFAULTS_CLASSES
    points = {name: metric(name).point(labels, scores) for name in names}
    return {name: value for name, value in points.items() if np.isfinite(value)}


@cache
def _formulas() -> dict[str, Formula]:
    """Return the formula of every metric in the table; loads the arithmetic."""
    from airflow_mlops.core.validation.metrics.classification import CLASSIFICATION_FORMULAS
    from airflow_mlops.core.validation.metrics.means import MEAN_FORMULAS
    from airflow_mlops.core.validation.metrics.ranking import RANKING_FORMULAS
    from airflow_mlops.core.validation.metrics.retrieval import RETRIEVAL_FORMULAS

    return MEAN_FORMULAS | CLASSIFICATION_FORMULAS | RANKING_FORMULAS | RETRIEVAL_FORMULAS


@cache
def _with_formula(name: str) -> Metric:
    from airflow_mlops.core.validation.metrics.base import Metric
    from airflow_mlops.core.validation.metrics.retrieval import ndcg_at

    traits = METRIC_TABLE[base_name(name)]
    cut = int(name.partition("@")[2] or 0)
    formula = ndcg_at(cut) if cut else _formulas()[name]
    return Metric(
        name=name,
        sign=traits.sign,
        terms=formula.terms,
        value=formula.value,
        max_influence=traits.max_influence,
        support=formula.support,
    )
