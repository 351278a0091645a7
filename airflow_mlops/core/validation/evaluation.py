"""Evaluation: one sample under one policy; each model's metrics are resampled once, for every check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from airflow_mlops.core.validation.bootstrap import Resampling
from airflow_mlops.core.validation.estimate import Estimate
from airflow_mlops.core.validation.metrics.base import BoolArray, IntArray, Metric, Scored
from airflow_mlops.core.validation.metrics.registry import metric
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.sample import ANCHOR, CHALLENGER, Sample

WINDOWS = "\x00window"
"""Name by which windows are asked for as segments; no column is called so."""
FEWEST_BLOCKS = 20
"""Windows that make the bootstrap draw windows instead of rows."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One of the parts that a column makes of the rows; without a name, all rows.

    :param name: ``column=value``.
    :param rows: how many; ``rarest``: rows of its rarest class, of two.
    :param pooled: how many small segments it unites; 0 for one by itself.
    """

    name: str
    rows: int
    rarest: int | None
    pooled: int = 0


@dataclass
class Evaluation:
    """What all checks of a candidate share: its sample, the policy, and resamples of each metric.

    :param own: the author's metrics and scikit-learn's scorers.
    :param anchor_alpha: significance level against the anchor; ``None``: the policy's.
    """

    sample: Sample
    policy: ValidationPolicy
    own: Sequence[Metric] = ()
    anchor_alpha: float | None = None
    _draws: dict[tuple[str, str, str], list[Estimate]] = field(default_factory=dict)
    _cells: dict[str, tuple[list[Segment], IntArray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the bootstrap weights."""
        sample, policy = self.sample, self.policy
        entities = sample.queries if sample.entities is None else sample.entities
        windows: tuple[Any, Any] = ((), None)
        if sample.windows is not None:
            windows = np.unique(sample.windows, return_inverse=True)
            names = [f"{WINDOWS}={name}" for name in windows[0]]
            self._cells[WINDOWS] = self._described(names, windows[1]), windows[1]
        self.drawn_by_window = entities is None and len(windows[0]) >= FEWEST_BLOCKS
        self.resampling = Resampling.of(
            len(sample.labels),
            resamples=policy.resamples,
            seed=policy.seed,
            entities=windows[1] if self.drawn_by_window else entities,
            are_units=not self.drawn_by_window,
        )

    def alpha_against(self, rival: str) -> float:
        """Return the significance level of "not worse than a rival"."""
        is_lower = rival == ANCHOR and self.anchor_alpha is not None
        return min(self.policy.alpha, self.anchor_alpha or 1.0) if is_lower else self.policy.alpha

    def metric(self, name: str) -> Metric:
        """Return a metric by name."""
        return metric(name, self.own)

    def segments(self, column: str) -> tuple[list[Segment], IntArray]:
        """Return the segments a column makes of the rows, and each row's segment; "" for all rows."""
        if column not in self._cells:
            labels = self.sample.labels
            if column:
                known = {**self.sample.segments, **self.sample.groups}
                values, cells = np.unique(known[column], return_inverse=True)
                names = [f"{column}={value}" for value in values]
            else:
                names, cells = [""], np.zeros(len(labels), dtype=np.int64)
            self._cells[column] = self._described(names, cells), cells
        return self._cells[column]

    def pool(self, column: str, places: Sequence[int]) -> str:
        """Unite some segments of a column and return the name by which they are asked for.

        :param places: their places among the column's segments.
        """
        _, cells = self.segments(column)
        name = f"{column}: {len(places)} small segments together"
        key = f"{name} {sorted(places)}"
        if key not in self._cells:
            together = np.where(np.isin(cells, places), 0, -1)
            (segment,) = self._described([name], together)
            self._cells[key] = [replace(segment, pooled=len(places))], together
        return key

    def draws(self, model: str, name: str, column: str = "") -> list[Estimate]:
        """Return a metric of a model in each segment, with its resamples."""
        key = (model, name, column)
        if key not in self._draws:
            segments, cells = self.segments(column)
            sample = self.sample
            scored = Scored(sample.labels, sample.scores[model], cells, sample.queries)
            wanted = self.metric(name)
            self._draws[key] = self.resampling.draws(wanted, scored, len(segments))
        return self._draws[key]

    def differs(self, rival: str, column: str = "") -> BoolArray:
        """Say of each segment whether challenger and rival give any of its rows different scores."""
        segments, cells = self.segments(column)
        mine, theirs = self.sample.scores[CHALLENGER], self.sample.scores[rival]
        rows = np.ones(len(cells), dtype=bool)
        if mine.shape == theirs.shape:
            rows = (mine != theirs).reshape(len(cells), -1).any(axis=1)
        inside = cells >= 0
        return np.bincount(cells[inside], weights=rows[inside], minlength=len(segments)) > 0

    def is_too_small(self, segment: Segment, *estimates: Estimate) -> bool:
        """Say whether nothing can be concluded about a segment: few rows, few of a class, few entities."""
        policy = self.policy
        few = policy.min_class_rows
        return (
            (bool(segment.name) and not segment.pooled and segment.rows < policy.min_segment_rows)
            or (segment.rarest is not None and segment.rarest < few)
            or any(not one.is_known or one.units < few for one in estimates)
        )

    def _described(self, names: list[str], cells: IntArray) -> list[Segment]:
        inside = cells >= 0
        labels, cells = self.sample.labels[inside], cells[inside]
        rows = np.bincount(cells, minlength=len(names))
        rarest: list[int | None] = [None] * len(names)
        if np.isin(self.sample.labels, (0.0, 1.0)).all():
            positive = np.bincount(cells, weights=labels, minlength=len(names)).astype(int)
            rarest = [int(min(k, n - k)) for k, n in zip(positive, rows, strict=True)]
        return [Segment(*each) for each in zip(names, map(int, rows), rarest, strict=True)]
