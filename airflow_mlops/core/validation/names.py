"""Names of metrics, so that a typing error is found when a DAG is built; loads no arithmetic."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

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
SCORER = "sklearn:"
CUT = re.compile(r"ndcg@[1-9]\d*")


def check_metric(name: str, own: Iterable[str] = ()) -> None:
    """Accept a metric's name: one of ours, one of the author's, or ``sklearn:<scorer>``.

    :raises InvalidConfigError: nothing of that name; says what is close and what is allowed.
    """
    known = (*own, *NAMES)
    if name in known or CUT.fullmatch(name) or name.startswith(SCORER):
        return
    close = get_close_matches(name, known, 1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    msg = (
        f"metric {name!r} is not known{hint}; one of: {', '.join(known)}, ndcg@<cut>, "
        f"{SCORER}<name of a scikit-learn scorer>"
    )
    raise InvalidConfigError(msg)
