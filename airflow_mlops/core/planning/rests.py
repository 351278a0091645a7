"""What each metric of a policy rests on, of a challenger without a failure: by the rules that judge it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.planning.present import Rests
from airflow_mlops.core.validation.evaluation import Evaluation
from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.metrics.registry import traits_of
from airflow_mlops.core.validation.sample import CHALLENGER, Sample
from airflow_mlops.core.validation.suitability import metric_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.validation.metrics.base import Array, IntArray
    from airflow_mlops.core.validation.policy import ValidationPolicy
    from airflow_mlops.core.validation.sample import Values

_FEWEST_RESAMPLES, _MOST_CLASSES, _MOST_SCORES = 100, 100, 20_000_000


def rests_of(
    labels: Array,
    policy: ValidationPolicy,
    *,
    classes: int = 2,
    segments: Mapping[str, Values] | None = None,
    entities: Values | None = None,
    queries: IntArray | None = None,
) -> dict[str, Rests]:
    """Return what each metric of ours that fits the labels rests on.

    Nothing is told of more than 100 classes, or of twenty million scores, a column for each class.

    :param labels: of the held-back rows: 0/1, class codes, or numbers.
    :param classes: of the target; of more than two, scores have a column for each.
    :param segments: declared columns; ``entities``: whose row each is; ``queries``: which it answers.
    """
    if classes > _MOST_CLASSES or (classes > 2 and len(labels) * classes > _MOST_SCORES):
        return {}
    scores = np.eye(classes)[labels.astype(np.int64)] if classes > 2 else labels
    named = dict(segments or {})
    sample = Sample(labels, {CHALLENGER: scores}, segments=named, entities=entities, queries=queries)
    evaluation = Evaluation(sample, replace(policy, resamples=_FEWEST_RESAMPLES))
    fitting = [
        name for name in policy.measured if traits_of(name) and not metric_problem(name, labels, scores)
    ]
    return {name: _rests(evaluation, name) for name in fitting}


def _rests(evaluation: Evaluation, name: str) -> Rests:
    sample, measure = evaluation.sample, evaluation.metric(name)
    (value,), ((whole,), _) = evaluation.draws(CHALLENGER, name), evaluation.segments("")
    supports = measure.supports(Scored.of(sample.labels, sample.scores[CHALLENGER], sample.queries))
    influence = max((one.weight for one in supports), default=0.0) * measure.max_influence
    is_pair_small = whole.rarest is not None and whole.rarest < evaluation.policy.min_class_rows
    return Rests(
        units=whole.rarest if is_pair_small and whole.rarest is not None else value.units,
        there=round(influence / value.reach) if value.reach else value.units,
        influence=influence,
        of_a_class=is_pair_small or any(not one.rows.all() for one in supports),
        of_entities=evaluation.resampling.clustered and not is_pair_small,
        is_too_small=evaluation.is_too_small(whole, value),
        segments={
            column: _small(evaluation, name, column)
            for column in sample.segments
            if name in evaluation.policy.metrics
        },
    )


def _small(evaluation: Evaluation, name: str, column: str) -> tuple[str, ...]:
    """Return the segments that have enough rows, and are too small nevertheless."""
    pairs = zip(evaluation.segments(column)[0], evaluation.draws(CHALLENGER, name, column), strict=True)
    return tuple(
        segment.name.partition("=")[2]
        for segment, value in pairs
        if segment.rows >= evaluation.policy.min_segment_rows and evaluation.is_too_small(segment, value)
    )
