"""Samples of held-back rows with the scores of challenger, champion and baseline."""

from __future__ import annotations

import numpy as np

from airflow_mlops.core.validation.sample import BASELINE, CHALLENGER, CHAMPION, Sample


def sample(rng, rows=4000, *, noise=0.1, champion_noise=0.1, segments=None, champion=True):
    truth = rng.uniform(0.05, 0.95, rows)
    labels = (rng.random(rows) < truth).astype(float)
    scores = {
        CHALLENGER: np.clip(truth + rng.normal(0, noise, rows), 0, 1),
        BASELINE: np.full(rows, labels.mean()),
    }
    if champion:
        scores[CHAMPION] = np.clip(truth + rng.normal(0, champion_noise, rows), 0, 1)
    return Sample(labels, scores, segments or {})


def regression(rng, unit, worse=1.0, rows=4000):
    """A regression in some unit, in two segments; the challenger's errors in the second are ``worse``."""
    labels = rng.normal(100, 10, rows)
    noise, own = rng.normal(size=rows), 0.1 * rng.normal(size=rows)
    there = np.arange(rows) < rows // 2
    scores = {CHAMPION: labels + noise, CHALLENGER: labels + (noise + own) * np.where(there, 1.0, worse)}
    scores[BASELINE] = np.full(rows, 100.0)
    segments = {"origin": np.where(there, "JFK", "LGA").astype(object)}
    scaled = {name: unit * values for name, values in scores.items()}
    return Sample(unit * labels, scaled, segments=segments, columns=segments)
