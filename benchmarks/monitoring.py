"""Windows of a champion in production, as months bring them: docs/how-to/monitoring.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from airflow_mlops.core.monitoring.alarm import JudgedWindow, judge_windows
from airflow_mlops.core.monitoring.performance import Promise, judge_performance
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.validation.bootstrap import Resampling
from airflow_mlops.core.validation.metrics.base import Scored
from airflow_mlops.core.validation.metrics.registry import metric
from airflow_mlops.core.verdict import Outcome

ALPHA, WINDOWS = 0.05, 100


@dataclass(frozen=True)
class Stream:
    """A metric in production.

    :param drop: what is allowed; ``rows``: of a window; ``share``: of positives.
    :param customers: how many, each with ten requests that fail together; 0: requests are independent.
    """

    name: str
    metric: str
    drop: float
    rows: int = 2000
    share: float = 0.1
    customers: int = 0

    @property
    def policy(self):
        return PerformancePolicy(metric=self.metric, max_drop=self.drop, resamples=200, alpha=ALPHA)

    def draw(self, rng, rows, worse=0.0):
        """Draw labels, scores and entities of a model that is worse by so much."""
        if self.customers:
            each = 10
            who = np.repeat(np.arange(rows // each), each)
            rate = np.repeat(rng.beta(1.5 * (1 - worse / 0.15 * 0), 8.5, rows // each), each)
            right = rng.random(rows) >= np.clip(rate + worse, 0, 1)
            labels = (rng.random(rows) < 0.5).astype(float)
            return labels, np.where(right, labels, 1 - labels), who
        if self.metric == "accuracy":
            labels = (rng.random(rows) < 0.5).astype(float)
            return labels, np.where(rng.random(rows) < 0.85 - worse, labels, 1 - labels), None
        if self.metric == "rmse":
            labels = rng.normal(0, 3, rows)
            return labels, labels + rng.normal(0, 1 + worse, rows), None
        labels = (rng.random(rows) < self.share).astype(float)
        return labels, rng.normal(labels * np.sqrt(2) * stats.norm.ppf(0.85 - worse)), None

    def promise(self, rng, rows):
        labels, scores, who = self.draw(rng, rows)
        drawn = Resampling.of(len(labels), resamples=200, seed=int(rng.integers(1 << 31)), entities=who)
        found = drawn.draws(metric(self.metric), Scored.of(labels, scores), 1)[0]
        return Promise(value=found.point, lower=found.lower(ALPHA), upper=found.upper(ALPHA), alpha=ALPHA)

    def window(self, rng, worse=0.0):
        labels, scores, who = self.draw(rng, self.rows, worse)
        more = {} if who is None else {"entities": who}
        verdict, seen = judge_performance(labels, scores, Promise(value=0.5), self.policy, **more)
        return seen if seen is not None and np.isfinite(seen.error) and seen.units >= self.policy.min_class_rows else None
