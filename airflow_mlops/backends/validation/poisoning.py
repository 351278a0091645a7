"""Training rows for the poisoning heuristics: groups of exact and of near duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from airflow_mlops.core.errors import InvalidDataError
from airflow_mlops.core.validation.security.poisoning import conflicts, flips, label_rates
from airflow_mlops.core.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.security.security import PoisoningPolicy

_MOST_CLASSES = 100
_BINS = 8


def poisoning(rows: Rows, spec: DatasetSpec, policy: PoisoningPolicy) -> list[Finding]:
    """Search the training rows for signs of poisoning.

    :raises InvalidDataError: a column of the policy is missing; names it.
    """
    training = rows.training
    missing = [name for name in policy.columns if name not in training]
    if missing:
        msg = f"validate.poisoning: column {', '.join(missing)} is missing"
        raise InvalidDataError(msg)
    classes, labels = np.unique(training[spec.target].to_numpy(), return_inverse=True)
    if len(classes) > _MOST_CLASSES:
        reason = f"{spec.target} has {len(classes)} values: the heuristics are for classes"
        severity = Severity.INFO
        return [
            Finding(check="note", subject="poisoning", outcome=Outcome.PASS, severity=severity, reason=reason)
        ]
    features = training[rows.features]
    found = [
        conflicts(_numbered(features), labels, policy),
        flips(_numbered(_coarse(features)), labels, policy),
    ]
    for name in policy.columns:
        values = training[name].astype(str).to_numpy()
        found += label_rates(name, values, labels == len(classes) - 1, policy)
    return found


def _numbered(frame: pd.DataFrame) -> Any:
    hashes = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return np.unique(hashes, return_inverse=True)[1]


def _coarse(features: pd.DataFrame) -> pd.DataFrame:
    """Cut numbers at the octiles of their distribution: near duplicates fall into the same bins."""
    return pd.DataFrame({name: _cut(features[name]) for name in features}, index=features.index)


def _cut(column: pd.Series) -> pd.Series:
    if column.dtype.kind != "f" or column.nunique() <= _BINS:
        return column
    edges = np.unique(column.quantile(np.linspace(0, 1, _BINS + 1)[1:-1]))
    return pd.Series(np.where(column.notna(), np.searchsorted(edges, column), -1), index=column.index)
