"""Names of metrics, so that a typing error is found when a DAG is built; loads no arithmetic."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

MEANS = (
    "accuracy",
    "log_loss",
    "brier",
    "mae",
    "mse",
    "rmse",
    "mape",
    "poisson_deviance",
    "r2",
    "explained_variance",
    "selection_rate",
)
CLASSES = (
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "f1_weighted",
    "matthews_corrcoef",
    "false_positive_rate",
)
RANKS = ("roc_auc", "roc_auc_ovr", "average_precision")
QUERIES = ("ndcg", "mrr", "map")
NEGATED = {
    "neg_log_loss": "log_loss",
    "neg_brier_score": "brier",
    "neg_mean_absolute_error": "mae",
    "neg_mean_squared_error": "mse",
    "neg_root_mean_squared_error": "rmse",
    "neg_mean_absolute_percentage_error": "mape",
    "neg_mean_poisson_deviance": "poisson_deviance",
}
NAMES = (*RANKS, *MEANS, *CLASSES, *QUERIES, *NEGATED)
SHARES = frozenset((*RANKS, *CLASSES, *QUERIES, "accuracy", "selection_rate"))
"""Metrics that lie between 0 and 1; the correlation coefficient between -1 and 1."""
OF_TWO = frozenset(
    ("roc_auc", "average_precision", "selection_rate", "precision", "recall", "f1", "false_positive_rate")
)
"""Metrics of two classes; of more they would show one class only."""
OF_CLASSES = OF_TWO | frozenset(CLASSES) | {"roc_auc_ovr", "accuracy", "log_loss", "brier"}
OF_PROBABILITIES = OF_CLASSES - frozenset(RANKS)
"""Metrics that read a score as a probability, or call a row positive from 0.5."""
SCORER = "sklearn:"
CUT = re.compile(r"ndcg@[1-9]\d*")


def check_metric(name: str, own: Iterable[str] = ()) -> None:
    """Accept a metric's name: one of ours, one of the author's, or ``sklearn:<scorer>``.

    :raises InvalidConfigError: nothing of that name; says what is close and what is allowed.
    """
    known = (*own, *NAMES)
    if name in known or CUT.fullmatch(name) or name.startswith(SCORER):
        return
    msg = (
        f"metric {name!r} is not known; one of: {', '.join(known)}, ndcg@<cut>, "
        f"{SCORER}<name of a scikit-learn scorer>{did_you_mean(name, known)}"
    )
    raise InvalidConfigError(msg)


def check_bar(where: str, name: str, value: float, *, least: float = 0.0) -> None:
    """Accept a bar in a metric's unit: a finite number; of a metric that is a share at most 1.

    :raises InvalidConfigError: two per cent written as 2, for instance.
    """
    most = 1.0 if base_name(name) in SHARES else math.inf
    if math.isfinite(value) and least <= value <= most:
        return
    low = "" if least == -math.inf else f" from {least:g}"
    high = "" if most == math.inf else f" to {most:g}, for it is in the metric's unit (0.02 is two points)"
    msg = f"{where}.{name}: {value:g}, allowed: a number{low}{high}"
    raise InvalidConfigError(msg)


def base_name(name: str) -> str:
    """Return a metric's name without sign and cut."""
    return NEGATED.get(name, name.partition("@")[0])
