"""A champion in production, window by window, and labels that are missing: docs/how-to/monitoring.md."""

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

ALPHA, WINDOWS, REQUESTS = 0.05, 100, 10
AREA, RIGHT, SPREAD = 0.85, 0.85, 10.0


@dataclass(frozen=True)
class Stream:
    """A champion in production: area .85, accuracy .85, or errors with a standard deviation of 1.

    :param drop: what is allowed; ``rows``: of a window; ``share``: of positives.
    :param customers: of a window, each with ten requests and an error rate of its own; 0: none.
    :param effect: standard deviation of what a window does to the accuracy.
    :param bar: greatest share of models that may alarm falsely, by the upper bound.
    :param huge: of two errors in a thousand, how many times they are as large as the others.
    """

    name: str
    metric: str
    drop: float
    rows: int = 2000
    share: float = 0.1
    customers: int = 0
    effect: float = 0.0
    huge: float = 1.0
    bar: float = 0.07
    resamples: int = 200

    @property
    def policy(self):
        return PerformancePolicy(
            metric=self.metric, max_drop=self.drop, resamples=self.resamples, alpha=ALPHA
        )

    def draw(self, rng, rows, worse=0.0):
        """Draw labels, scores and customers of a model that is worse by so much."""
        if self.metric == "roc_auc":
            labels = (rng.random(rows) < self.share).astype(float)
            return labels, rng.normal(labels * np.sqrt(2) * stats.norm.ppf(AREA - worse)), None
        if self.metric in ("rmse", "mae"):
            labels, times = rng.normal(0, 3, rows), np.where(rng.random(rows) < 0.002, self.huge, 1.0)
            return labels, labels + times * rng.normal(0, 1 + worse, rows), None
        wrong, who = np.full(rows, 1 - RIGHT), None
        if self.customers:
            who = np.repeat(np.arange(rows // REQUESTS), REQUESTS)
            wrong = rng.beta((1 - RIGHT) * SPREAD, RIGHT * SPREAD, rows // REQUESTS)[who]
        labels = (rng.random(rows) < 0.5).astype(float)
        fails = rng.random(rows) < wrong + worse + self.effect * rng.normal()
        return labels, np.where(fails, 1 - labels, labels), who

    def promise(self, rng, rows):
        """Return what validation kept of so many held-back rows."""
        labels, scores, who = self.draw(rng, rows)
        seed = int(rng.integers(1 << 31))
        drawn = Resampling.of(rows, resamples=self.resamples, seed=seed, entities=who)
        found = drawn.draws(metric(self.metric), Scored.of(labels, scores), 1)[0]
        bounds = {"lower": found.lower(ALPHA), "upper": found.upper(ALPHA)}
        known = {name: value for name, value in bounds.items() if np.isfinite(value)}
        return Promise(value=found.point, alpha=ALPHA, rows=rows, **known)

    def windows(self, rng, count, worse=0.0):
        """Judge so many windows of a model that is worse by so much."""
        found = []
        for _ in range(count):
            labels, scores, who = self.draw(rng, self.rows, worse)
            found.append(judge_performance(labels, scores, Promise(value=0.5), self.policy, entities=who)[1])
        return found

    def first_alarm(self, promised, seen):
        """Return the number of the window with the first alarm; one more than there are if there is none."""
        kept = [JudgedWindow.of(f"{number:04}", one) for number, one in enumerate(seen)]
        until = range(1, len(kept) + 1)
        return next(
            (n for n in until if judge_windows(kept[:n], promised, self.policy).p_value <= ALPHA),
            len(kept) + 1,
        )

    def fails(self, promised, seen):
        """Say whether any window by itself is beyond its bound, the promise taken as exact."""
        z, sign = stats.norm.ppf(1 - ALPHA), metric(self.metric).sign
        known = [one for one in seen if one is not None and one.counts]
        return any(sign * (promised.value - one.value) - z * one.error > self.drop for one in known)


STREAMS = [
    Stream("roc_auc, 10 % positives", "roc_auc", 0.02),
    Stream("roc_auc, 2 % positives", "roc_auc", 0.02, share=0.02),
    Stream("accuracy", "accuracy", 0.02),
    Stream("rmse", "rmse", 0.05),
    Stream("mae, few huge errors", "mae", 0.04, huge=100.0),
    Stream("accuracy, 100 customers x 10", "accuracy", 0.02, rows=1000, customers=100),
    Stream("accuracy, windows differ", "accuracy", 0.02, effect=0.01, bar=0.25),
]
PROMISES = (500, 2000)


def chosen(rng, pool, count):
    return [pool[place] for place in rng.integers(0, len(pool), count)]


def false_alarms(stream, rows, models, pool, seed=1):
    """Return the share of unchanged models that alarm within 100 windows: by ours, and window by window.

    :param pool: judged windows to draw from.
    """
    rng, ours, plain = np.random.default_rng(seed), 0, 0
    for _ in range(models):
        promised, seen = stream.promise(rng, rows), chosen(rng, pool, WINDOWS)
        ours += stream.first_alarm(promised, seen) <= WINDOWS
        plain += stream.fails(promised, seen)
    return ours / models, plain / models


def delays(stream, rows, models, quiet, bad, seed=2):
    """Return the windows that each model takes to be found, after so many quiet ones.

    :param quiet: judged windows before the drop; ``bad``: those to draw from after it.
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(models):
        promised, before = stream.promise(rng, rows), chosen(rng, quiet, 30 if quiet else 0)
        seen = [*before, *chosen(rng, bad, 30)]
        found.append(stream.first_alarm(promised, seen) - len(before))
    return np.array(found)


CALIBRATED = 0.38  # of a beta distribution of probabilities whose larger class is right in 85 % of the rows


def answered(rng, rows=2000):
    """Draw labels and probabilities that hold."""
    scores = rng.beta(CALIBRATED, CALIBRATED, rows)
    return (rng.random(rows) < scores).astype(float), scores


def lacking(kind, rng):
    """Draw a window of which labels are missing: labels, scores, scores without a label.

    ``errors``: of 5 % whatever their scores, and the model is wrong in all of them; it is as promised else.
    """
    labels, scores = answered(rng)
    there = {
        "at random": rng.random(len(labels)) >= 0.015,
        "errors": rng.random(len(labels)) >= 0.05,
        "called": scores >= 0.5,
    }[kind]
    return labels[there], scores[there], scores[~there]


def outcomes(kind, name, repetitions, *, told=True, seed=3):
    """Return how often a window passes and fails of which labels are missing.

    :param name: of the metric; ``told``: whether the judge knows of the predictions without a label.
    """
    rng, found = np.random.default_rng(seed), []
    policy = PerformancePolicy(metric=name, max_drop=0.02, resamples=200, alpha=ALPHA)
    for _ in range(repetitions):
        labels, scores = answered(rng)
        drawn = Resampling.of(len(labels), resamples=200, seed=int(rng.integers(1 << 31)))
        held = drawn.draws(metric(name), Scored.of(labels, scores), 1)[0]
        promised = Promise(value=held.point, lower=held.lower(ALPHA), upper=held.upper(ALPHA), alpha=ALPHA)
        labels, scores, without = lacking(kind, rng)
        verdict, _ = judge_performance(labels, scores, promised, policy, unlabelled=without if told else None)
        found.append(verdict.outcome)
    return found.count(Outcome.PASS) / repetitions, found.count(Outcome.FAIL) / repetitions
