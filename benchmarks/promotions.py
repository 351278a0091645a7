"""Challengers one after another, as a model meets them over years: what docs/how-to/validation.md states."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from airflow_mlops.core.validation.anchor import next_anchor
from airflow_mlops.core.validation.comparison import judge_candidate
from airflow_mlops.core.validation.policy import ValidationPolicy
from airflow_mlops.core.validation.sample import ANCHOR, BASELINE, CHALLENGER, CHAMPION, Sample

BEST, APART = 0.85, 0.0153
CLEARLY_SHORT = 1.2
ROLES = {CHALLENGER: CHALLENGER, CHAMPION: CHAMPION, ANCHOR: ANCHOR}


@dataclass(frozen=True)
class World:
    """The best champion has an accuracy of .85; any two equal models disagree on 6 % of the rows.

    :param loss: of each challenger against the champion of its time, in margins.
    :param fresh: new held-back rows for each challenger; else always the same.
    """

    loss: float
    fresh: bool
    rows: int = 1000
    margin: float = 0.02
    challengers: int = 30
    resamples: int = 100

    def hard(self, rng):
        """Draw rows: which of them a model usually answers right."""
        return rng.random(self.rows) < BEST

    def answers(self, rng, usual, lost):
        """Draw which rows a model answers right, that has lost so many margins since the best champion."""
        fails, gets = (APART + lost * self.margin) / BEST, APART / (1 - BEST)
        u = rng.random(self.rows)
        return np.where(usual, u >= fails, u < gets)


@dataclass(frozen=True)
class Followed:
    """What became of a series: how many were promoted, and how many margins the last champion has lost."""

    promoted: int
    lost: float


def follow(world, seed, *, anchored=True, spending=True):
    """Judge challengers one after another, each worse than the champion of its time by ``world.loss``.

    :param anchored: whether challengers are compared with the best earlier champion, too.
    :param spending: whether the significance level shrinks with the tries on the same rows.
    """
    rng = np.random.default_rng(seed)
    usual, promoted, with_anchor = world.hard(rng), 0, 0
    lost = {CHAMPION: 0.0, ANCHOR: 0.0}
    right = {role: world.answers(rng, usual, 0.0) for role in lost}
    right[ANCHOR], is_anchor = right[CHAMPION], True
    for number in range(1, world.challengers + 1):
        if world.fresh:
            usual = world.hard(rng)
            right = {role: world.answers(rng, usual, lost[role]) for role in lost}
        lost[CHALLENGER] = lost[CHAMPION] + world.loss
        right[CHALLENGER] = world.answers(rng, usual, lost[CHALLENGER])
        with_anchor += 1
        rivals = (CHAMPION, ANCHOR) if anchored and not is_anchor else (CHAMPION,)
        if any(clearly_short(world, right[CHALLENGER], right[rival]) for rival in rivals):
            continue
        tries = number if spending and not world.fresh else 1
        compared = {role: right[role] for role in (CHALLENGER, *rivals)}
        report = judged(world, rng, compared, tries, with_anchor)
        if report.verdict.outcome.is_accepted:
            promoted += 1
            best = next_anchor(replace(report, versions=ROLES))
            with_anchor = 0 if best == CHALLENGER else with_anchor
            lost[ANCHOR], right[ANCHOR] = lost[best], right[best]
            lost[CHAMPION], right[CHAMPION] = lost[CHALLENGER], right[CHALLENGER]
            is_anchor = best == CHALLENGER
    return Followed(promoted, lost[CHAMPION])


def clearly_short(world, mine, theirs):
    """Say that no bound at .05 can clear the margin: not even 1.2 standard errors below the gain do.

    Most inferior challengers are refused so; it saves nine of ten bootstraps.
    """
    gain = mine.astype(float) - theirs
    return gain.mean() - CLEARLY_SHORT * gain.std() / np.sqrt(world.rows) <= -world.margin


def judged(world, rng, right, tries, with_anchor):
    labels = rng.integers(0, 2, world.rows).astype(float)
    scores = {name: np.where(known, labels, 1 - labels) for name, known in right.items()}
    scores[BASELINE] = np.full(world.rows, 0.5)
    settings = {"resamples": world.resamples, "seed": int(rng.integers(1 << 31)), "slices": None}
    policy = ValidationPolicy(margin={"accuracy": world.margin}, **settings)
    return judge_candidate(Sample(labels, scores), policy, tries=tries, anchor_tries=with_anchor)
