"""Challengers one after another, as a model meets them over years: what docs/how-to/validation.md states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.sample import ANCHOR, BASELINE, CHALLENGER, CHAMPION, Sample

BEST, DISAGREE = 0.85, 0.06


@dataclass(frozen=True)
class World:
    """The best champion has an accuracy of .85; a challenger disagrees with its champion on 6 % of the rows.

    :param loss: of each challenger against the champion of its time, in margins.
    :param fresh: new held-back rows for each challenger; else always the same.
    """

    loss: float
    fresh: bool
    rows: int = 2000
    margin: float = 0.03
    challengers: int = 30
    resamples: int = 200

    @property
    def drop(self):
        return self.loss * self.margin

    def child(self, rng, right, generation):
        """Draw which rows a challenger of the champion of a generation answers right."""
        accuracy, disagree = BEST - generation * self.drop, max(DISAGREE, 2 * self.drop)
        lost, won = (disagree + self.drop) / 2 / accuracy, (disagree - self.drop) / 2 / (1 - accuracy)
        u = rng.random(len(right))
        return np.where(right, u >= lost, u < won)

    def champions(self, rng, promoted):
        """Draw rows, and for the best and each later champion which of them it answers right."""
        found = [rng.random(self.rows) < BEST]
        for generation in range(promoted):
            found.append(self.child(rng, found[-1], generation))
        return found


def follow(world, seed, *, anchored=True, spending=True):
    """Return how many of the challengers were promoted; each makes the champion worse by ``world.loss``.

    :param anchored: whether challengers are compared with the best earlier champion, too.
    :param spending: whether the significance level shrinks with the tries on the same rows.
    """
    rng = np.random.default_rng(seed)
    known = world.champions(rng, 0)
    for number in range(1, world.challengers + 1):
        if world.fresh:
            known = world.champions(rng, len(known) - 1)
        mine = world.child(rng, known[-1], len(known) - 1)
        right = {CHALLENGER: mine, CHAMPION: known[-1]}
        if anchored and len(known) > 1:
            right[ANCHOR] = known[0]
        tries = number if spending and not world.fresh else 1
        if judged(world, rng, right, tries).verdict.outcome.is_accepted:
            known.append(mine)
    return len(known) - 1


def judged(world, rng, right, tries):
    labels = rng.integers(0, 2, world.rows).astype(float)
    scores = {name: np.where(known, labels, 1 - labels) for name, known in right.items()}
    scores[BASELINE] = np.full(world.rows, 0.5)
    settings = {"resamples": world.resamples, "seed": int(rng.integers(1 << 31)), "slices": None}
    policy = ValidationPolicy(margin={"accuracy": world.margin}, **settings)
    return judge_candidate(Sample(labels, scores), policy, tries=tries)
