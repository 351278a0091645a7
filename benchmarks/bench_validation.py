"""Challenger against champion on 1M rows x 50 segments x 2,000 resamples, beside a plain numpy loop.

The plain loop draws rows with replacement, one segment and one resample at a time. It would run for many
minutes, so it runs on a few segments and resamples and its time is scaled by their count; the output says so.
"""

from __future__ import annotations

import resource
import time

import numpy as np
from threadpoolctl import threadpool_limits

from airflow_mlops.core.validation.comparison import judge_candidate, paired_comparisons
from airflow_mlops.core.validation.evaluation import Evaluation
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample

ROWS, SEGMENTS, RESAMPLES = 1_000_000, 50, 2_000
LOOP_SEGMENTS, LOOP_RESAMPLES = 3, 600
MOST_SECONDS, LEAST_RATIO = 10.0, 20.0
METRICS = ("log_loss", "roc_auc")
POLICY = ValidationPolicy(margin=dict.fromkeys(METRICS, 0.01), resamples=RESAMPLES)


def data():
    rng = np.random.default_rng(0)
    signal = rng.normal(-1, 1, ROWS)
    labels = (rng.random(ROWS) < 1 / (1 + np.exp(-signal))).astype(float)
    noisy = (signal + rng.normal(0, 0.5, ROWS) for _ in range(2))
    scores = {name: 1 / (1 + np.exp(-s)) for name, s in zip((CHALLENGER, CHAMPION), noisy, strict=True)}
    scores[BASELINE] = np.full(ROWS, labels.mean())
    segments = np.array([f"s{i:02}" for i in range(SEGMENTS)])[rng.integers(0, SEGMENTS, ROWS)]
    return Sample(labels, scores, {"segment": segments})


def log_loss(labels, scores):
    return -np.mean(labels * np.log(scores) + (1 - labels) * np.log1p(-scores))


def roc_auc(labels, scores):
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores)] = np.arange(1, len(scores) + 1)  # repeats are rows drawn twice: same label
    good = labels > 0.5
    count = good.sum()
    return (ranks[good].sum() - count * (count + 1) / 2) / (count * (len(labels) - count))


def plain_loop(sample, names):
    """Gains of the challenger: {(segment, metric): array of one per resample}."""
    rng, found = np.random.default_rng(1), {}
    for name in names:
        rows = np.flatnonzero(sample.segments["segment"] == name)
        labels, mine, theirs = (
            x[rows] for x in (sample.labels, sample.scores[CHALLENGER], sample.scores[CHAMPION])
        )
        gains = np.empty((LOOP_RESAMPLES, 2))
        for i in range(LOOP_RESAMPLES):
            drawn = rng.integers(0, len(rows), len(rows))
            y, a, b = labels[drawn], mine[drawn], theirs[drawn]
            gains[i] = log_loss(y, b) - log_loss(y, a), roc_auc(y, a) - roc_auc(y, b)
        found |= {(f"segment={name}", metric): gains[:, k] for k, metric in enumerate(METRICS)}
    return found


def worst_difference(sample, loop):
    """Greatest difference of a standard error and of a 5 % bound, in Monte-Carlo standard errors."""
    study, differences = Evaluation(sample, POLICY), []
    for metric in METRICS:
        for contest in paired_comparisons(study, metric, CHAMPION, "segment"):
            gains = loop.get((contest.segment.name, metric))
            if gains is None:
                continue
            spread = contest.gain.draws.std()
            noise = np.sqrt(1 / (2 * LOOP_RESAMPLES) + 1 / (2 * RESAMPLES) + 1 / (2 * 4096))
            bound = np.quantile(gains, 0.05) - np.quantile(contest.gain.draws, 0.05)
            error = np.sqrt(0.05 * 0.95 * (1 / LOOP_RESAMPLES + 1 / RESAMPLES)) / 0.103
            differences += [abs(gains.std() / spread - 1) / noise, abs(bound) / spread / error]
    return max(differences)


def main():
    sample = data()
    begin, cpu = time.perf_counter(), time.process_time()
    with threadpool_limits(1, user_api="blas"):  # as ValidateModelOperator does
        report = judge_candidate(sample, POLICY)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    begin = time.perf_counter()
    loop = plain_loop(sample, sorted(set(sample.segments["segment"]))[:LOOP_SEGMENTS])
    measured = time.perf_counter() - begin
    plain = measured * (SEGMENTS / LOOP_SEGMENTS) * (RESAMPLES / LOOP_RESAMPLES)
    worst = worst_difference(sample, loop)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{ROWS:,} rows x {SEGMENTS} segments x {RESAMPLES:,} resamples, {' and '.join(METRICS)}")
    print(f"judge, whole and all segments {seconds:8.2f} s wall, {cpu:.2f} s CPU; {report.verdict.outcome}")
    print(
        f"plain loop, segments only     {plain:8.0f} s wall, scaled by count from {measured:.1f} s for "
        f"{LOOP_SEGMENTS} segments x {LOOP_RESAMPLES} resamples"
    )
    print(
        f"ratio {plain / seconds:.0f}; greatest difference {worst:.1f} Monte-Carlo errors; peak {peak:.1f} GB"
    )
    bars = {
        f"{seconds:.1f} s, allowed {MOST_SECONDS:g}": seconds <= MOST_SECONDS,
        f"{plain / seconds:.1f} times faster, needs {LEAST_RATIO:g}": plain / seconds >= LEAST_RATIO,
        f"numbers differ by {worst:.1f} Monte-Carlo errors, allowed 4": worst <= 4,
    }
    missed = [said for said, is_met in bars.items() if not is_met]
    if missed:
        raise SystemExit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
