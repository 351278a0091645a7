"""Counts of a window's rows, for planning and for warnings before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.backends.validation.classes import labels_of
from airflow_mlops.backends.validation.rows import (
    days_of,
    entities_of,
    queries_of,
    require_named,
    segment_sizes,
    text_values,
)
from airflow_mlops.core.planning.present import Present
from airflow_mlops.core.planning.rests import rests_of
from airflow_mlops.core.validation.metrics.registry import traits_of

if TYPE_CHECKING:
    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.training.job import DatasetSpec
    from airflow_mlops.core.validation.policy import ValidationPolicy


def present_in(rows: Rows, spec: DatasetSpec, policy: ValidationPolicy) -> Present:
    """Count what is held back, and what the policy's metrics rest on.

    :raises InvalidDataError: a column that the policy names is missing.
    """
    require_named(rows.frame, policy)
    held, classes = rows.holdout, None
    if any(its.is_of_classes for its in map(traits_of, policy.all_metrics) if its):
        classes = int(rows.frame[spec.target].nunique())
    labels, back = labels_of(rows, spec, is_matrix=(classes or 0) > 2), rows.held_back.to_numpy()
    share = float(labels.mean()) if classes == 2 else 0.0
    entities = entities_of(held, policy)
    times = [name for name in rows.frame if rows.frame[name].dtype.kind == "M"]
    return Present(
        rows=len(rows.frame),
        held_back=len(held),
        rests=rests_of(
            labels[back],
            policy,
            classes=classes or 0,
            segments={name: text_values(held[name]) for name in spec.segments},
            entities=entities,
            queries=queries_of(held, policy),
        ),
        classes=classes,
        prevalence=share if 0 < share < 1 else None,
        segments={name: segment_sizes(held[name]) for name in spec.segments},
        entities=None if entities is None else len(np.unique(entities)),
        days=int(days_of(rows.frame[times[0]]).nunique()) if len(times) == 1 else None,
    )
