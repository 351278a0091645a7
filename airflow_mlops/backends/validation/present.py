"""Counts of a window's rows, for planning and for warnings before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.backends.validation.classes import labels_of
from airflow_mlops.backends.validation.rows import days_of, segment_sizes
from airflow_mlops.core.planning.present import Present

if TYPE_CHECKING:
    from airflow_mlops.backends.training.rows import Rows
    from airflow_mlops.core.training.job import DatasetSpec


def present_in(rows: Rows, spec: DatasetSpec, *, are_classes: bool) -> Present:
    """Count what is held back.

    :param are_classes: the metrics are of classes, so that the rarest counts.
    """
    held, rarest, prevalence = rows.held_back.to_numpy(), None, None
    if are_classes:
        target = rows.frame[spec.target]
        rarest = int(target[held].value_counts().reindex(target.unique(), fill_value=0).min())
        if target.nunique() == 2:
            share = float(np.mean(labels_of(rows, spec, is_matrix=False)))
            prevalence = share if 0 < share < 1 else None
    times = [name for name in rows.frame if rows.frame[name].dtype.kind == "M"]
    days = int(days_of(rows.frame[times[0]]).nunique()) if len(times) == 1 else None
    return Present(
        rows=len(rows.frame),
        held_back=int(held.sum()),
        rarest=rarest,
        prevalence=prevalence,
        segments={name: segment_sizes(rows.holdout[name]) for name in spec.segments},
        days=days,
    )
