"""Sample: the held-back rows, their labels and each model's scores; and checks that they can be compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_mlops.core.validation.metrics.base import Array, IntArray
from airflow_mlops.core.verdict import Finding, Outcome

if TYPE_CHECKING:
    Values = np.ndarray[Any, Any]

CHALLENGER, CHAMPION, BASELINE = "challenger", "champion", "baseline"
ANCHOR = "anchor"
"""Role of the best earlier champion, from which the loss over several promotions counts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Held-back rows; every array has shape ``(n_rows, ...)`` and the same order of rows.

    :param labels: 0/1, class codes 0..k-1, or numbers.
    :param scores: per model: probabilities of the positive class, a matrix of k classes, or predictions.
    :param segments: declared segment columns.
    :param groups: columns for fairness that need not be declared segments.
    :param entities: code of the cluster each row belongs to; ``queries``: of the query it answers.
    :param columns: features to search for weak slices: floats, or text.
    :param unusable: per model without scores, why.
    :param classes: number of classes in the data, where scores are a matrix; labels are class codes.
    :param digest: of the rows themselves.
    :param windows: day or partition of each row, as text.
    :param ids: columns that may identify clusters nobody declared.
    """

    labels: Array
    scores: dict[str, Array]
    segments: dict[str, Values] = field(default_factory=dict)
    groups: dict[str, Values] = field(default_factory=dict)
    entities: Values | None = None
    queries: IntArray | None = None
    columns: dict[str, Values] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    classes: int | None = None
    digest: str = ""
    windows: Values | None = None
    ids: dict[str, Values] = field(default_factory=dict)


def row_problems(sample: Sample) -> list[Finding]:
    """Return why nothing can be compared on these rows, as findings."""
    labels = sample.labels
    missing = int((~np.isfinite(labels)).sum())
    if not len(labels):
        return [_cannot("rows", "no held-back rows to compare on")]
    if missing:
        return [_cannot("labels", f"{missing} of {len(labels)} held-back labels are missing, allowed 0")]
    if len(np.unique(labels)) < 2:
        return [_cannot("labels", f"all held-back labels are {labels[0]:g}: models cannot be told apart")]
    return []


def score_problem(sample: Sample, model: str) -> str:
    """Return why a model's scores cannot be used; empty if they can."""
    if model in sample.unusable:
        return f"{model} {sample.unusable[model]}"
    scores, rows = sample.scores[model], len(sample.labels)
    if scores.ndim not in (1, 2) or len(scores) != rows:
        return f"{model}: predictions have shape {scores.shape}, allowed ({rows},) or ({rows}, classes)"
    given = scores.shape[1] if scores.ndim == 2 else 2
    known = sample.classes or int(sample.labels.max()) + 1
    if (scores.ndim == 2 and given < known) or (sample.classes and given != known):
        return f"{model}: predicts {given} classes, the labels have {known}"
    bad = int((~np.isfinite(scores.reshape(rows, -1)).all(axis=1)).sum())
    return f"{model}: {bad} of {rows} predictions are NaN or infinite, allowed 0" if bad else ""


def _cannot(check: str, reason: str) -> Finding:
    return Finding(check=check, subject="holdout", outcome=Outcome.INCONCLUSIVE, reason=reason)
