"""Calibrated skew thresholds: conformal prediction on blocks of history without a known problem."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.skew.bins import SampleCounts, align_columns
from airflow_mlops.core.data.skew.compare import MeasuredEffects, measure_all
from airflow_mlops.core.data.skew.exchangeable import not_exchangeable
from airflow_mlops.core.data.skew.policy import (
    HIGHEST_CALIBRATED,
    LEAST_BLOCKS,
    NEW_CATEGORIES,
    NULL_SHARE,
    Distance,
    SkewCalibration,
    SkewPolicy,
)
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.bins import Floats, Ints
    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.skew.bins import AlignedCounts
    from airflow_mlops.core.data.skew.distance import Flags

_UNBOUNDED = (Distance.PSI, Distance.WASSERSTEIN)
_WIDER = 2.0
"""Factor on the odds of a threshold that a column's own blocks suggest although they are not exchangeable."""
_HIGHEST = 0.999
"""Larger distances are clipped to it, so that their odds are finite."""
_MOST_APART, _WORTH = 3, 1.75
"""Tests that are taken apart at most; by which factor the thresholds of the others have to fall for each."""


def calibrate(
    blocks: Sequence[Profile],
    *,
    quantile: float = 0.95,
    floor: float | None = None,
    policy: SkewPolicy | None = None,
) -> SkewCalibration:
    """Take thresholds from the distances of each block of history to all other blocks together.

    The nonconformity score of a block: each corrected distance is divided by the largest one that the other
    blocks have in the same column and test (at least the floor); the score is the largest of these ratios.
    The threshold of a column is its largest distance times the wanted quantile of the scores, at least the
    floor: one block with a high score widens the thresholds of all columns in proportion. Distances bounded
    by 1 are compared after the odds transform d/(1-d), so that no threshold reaches 1.

    Of k blocks, the j-th smallest score is exceeded by the score of a further block with probability at most
    1 - j/(k+1): conformal prediction (Vovk, Gammerman & Shafer 2005), here leave-one-out. The largest score
    bounds the probability by 1/(k+1): 5 % needs 19 blocks. A block of history is compared with one block
    less than a further block will be, which is conservative: in simulation about half the stated probability.

    Assumption: the blocks are **exchangeable**, that is their order carries no information; further blocks
    are of similar size or larger, and are compared with a reference of about the same blocks. Blocks of one
    season say nothing about the next one. Dependence inside a block and between columns is allowed.

    Columns that show themselves not to be exchangeable (keys, counters, times, trends, values that wander)
    take no part in the scores and get thresholds from their own blocks; below these they are inconclusive.
    So is a test whose threshold came out above ``HIGHEST_CALIBRATED``.
    One block that makes thresholds so large is left out, if without it none is. Up to three tests of which
    one block alone widens the thresholds of all others are taken apart: each keeps the largest distance of
    its own blocks, and adds 1/(k+1) to the stated probability.

    :param blocks: profiles of equal spans of time without a known problem, in the order of time.
    :param quantile: of the nonconformity scores, (0, 1).
    :param floor: least threshold; ``None``: the general ones of the policy.
    :param policy: distances, ignored columns, rows per entity.
    :raises InvalidConfigError: a quantile or floor outside its range.
    """
    policy = policy or SkewPolicy()
    if not 0 < quantile < 1 or (floor is not None and not 0 <= floor < 1):
        msg = f"calibration: quantile {quantile}, floor {floor}; allowed: between 0 and 1"
        raise InvalidConfigError(msg)
    if len(blocks) < LEAST_BLOCKS:
        return SkewCalibration(blocks=len(blocks), quantile=quantile, error=1.0)
    aligned, skipped = align_columns(blocks, policy.ignore)
    apart, tests = _distances(aligned, policy)
    floors = np.asarray([policy.general(test) if floor is None else floor for _, test in tests])
    odd = not_exchangeable(aligned, apart, tests, floors)
    shared = np.asarray([c not in odd or test in (NULL_SHARE, NEW_CATEGORIES) for c, test in tests], bool)
    bounded = np.asarray([test not in _UNBOUNDED for _, test in tests], bool)
    limits, left_out = _without_outlier(apart[:, shared], floors[shared], bounded[shared], quantile)
    thresholds = np.zeros(len(tests))
    thresholds[shared] = limits
    history = apart if left_out is None else np.delete(apart, left_out, axis=0)
    alone = _tests_apart(history, floors, bounded, np.flatnonzero(shared), quantile)
    if alone:
        together = np.setdiff1d(np.flatnonzero(shared), alone)
        thresholds[together] = _thresholds(
            history[:, together], floors[together], bounded[together], quantile
        )[0]
        thresholds[alone] = np.fmax(np.fmax.reduce(history[:, alone], axis=0), floors[alone])
    for i in np.flatnonzero(~shared):
        own = _thresholds(apart[:, [i]], floors[[i]], bounded[[i]], quantile, _WIDER)
        thresholds[i] = own[0][0]
    found: dict[str, dict[str, float]] = {}
    for (column, test), threshold in zip(tests, thresholds.tolist(), strict=True):
        found.setdefault(column, {})[test] = threshold
    used = len(blocks) - (left_out is not None)
    return SkewCalibration(
        blocks=used,
        quantile=quantile,
        error=1 - (_rank(used, quantile) - len(alone)) / (used + 1),
        limits=found,
        not_calibrated=skipped,
        not_exchangeable=odd,
        apart=tuple(dict.fromkeys(tests[i][0] for i in alone)),
        left_out=() if left_out is None else blocks[left_out].partitions or (f"number {left_out + 1}",),
    )


def _rank(blocks: int, quantile: float) -> int:
    return min(blocks, math.ceil((blocks + 1) * quantile))


def _thresholds(
    apart: Floats, floors: Floats, bounded: Flags, quantile: float, wider: float = 1.0
) -> tuple[Floats, Floats]:
    """Return the thresholds, and the score of each block."""
    scores = _nonconformity(_as_odds(apart, bounded), _as_odds(floors, bounded))
    factor = np.sort(scores)[_rank(len(apart), quantile) - 1] * wider
    usual = np.fmax(np.fmax.reduce(apart, axis=0), floors) if apart.size else floors
    wide = factor * _as_odds(usual, bounded)
    return np.maximum(floors, np.where(bounded, wide / (1 + wide), wide)), scores


def _without_outlier(
    apart: Floats, floors: Floats, bounded: Flags, quantile: float
) -> tuple[Floats, int | None]:
    """Return the thresholds; without the most unlike block if that one makes them absurd, and it alone."""
    limits, scores = _thresholds(apart, floors, bounded, quantile)
    if len(apart) <= LEAST_BLOCKS or not (limits[bounded] > HIGHEST_CALIBRATED).any():
        return limits, None
    worst = int(np.argmax(scores))
    rest, _ = _thresholds(np.delete(apart, worst, axis=0), floors, bounded, quantile)
    return (limits, None) if (rest[bounded] > HIGHEST_CALIBRATED).any() else (rest, worst)


def _tests_apart(apart: Floats, floors: Floats, bounded: Flags, shared: Ints, quantile: float) -> list[int]:
    """Return the tests, three at most, of which single blocks widen the thresholds of all others.

    Each is paid for by 1/(k+1) of the stated probability, so it has to bring the factor down a good deal.
    """
    ratios = _ratios(_as_odds(apart, bounded), _as_odds(floors, bounded))
    rank, left = _rank(len(apart), quantile), list(shared)
    factors, taken = [], list[int]()
    while len(left) > 1 and len(taken) <= _MOST_APART:
        scores = ratios[:, left].max(axis=1, initial=0.0)
        order = np.argsort(scores, kind="stable")
        factors.append(max(1.0, float(scores[order[rank - 1]])) * _WORTH ** len(taken))
        worst = left[int(np.argmax(ratios[order[rank - 1], left]))]
        taken.append(worst)
        left.remove(worst)
    best = int(np.argmin(factors)) if factors else 0
    return taken[:best]


def _distances(aligned: AlignedCounts, policy: SkewPolicy) -> tuple[Floats, list[tuple[str, str]]]:
    """Return corrected distances of each block to the others, ``(n_blocks, n_tests)``; nan: not measured."""
    share, blocks = 1 / policy.rows_per_entity, len(aligned.rows)
    found = []
    for block in range(blocks):
        mine = np.arange(blocks) == block
        found.append(
            measure_all(
                aligned, SampleCounts.of(aligned, ~mine, share), SampleCounts.of(aligned, mine, share), policy
            )
        )
    places: dict[tuple[str, str], int] = {}
    for key in (key for measured in found for key in _keys(aligned, measured)):
        places.setdefault(key, len(places))
    apart = np.full((blocks, len(places)), np.nan)
    for block, measured in enumerate(found):
        apart[block, [places[key] for key in _keys(aligned, measured)]] = measured.effects.corrected
    return apart, list(places)


def _keys(aligned: AlignedCounts, measured: MeasuredEffects) -> list[tuple[str, str]]:
    return [(aligned.names[c], test) for c, test in zip(measured.columns, measured.tests, strict=True)]


def _as_odds(distances: Floats, bounded: Flags) -> Floats:
    """Return the odds transform d/(1-d) of bounded distances, the others unchanged."""
    return np.where(bounded, distances / (1 - np.minimum(distances, _HIGHEST)), distances)


def _nonconformity(apart: Floats, floors: Floats) -> Floats:
    """Return each block's nonconformity score: its largest ratio to the maximum of the other blocks."""
    return np.asarray(_ratios(apart, floors).max(axis=1, initial=0.0))


def _ratios(apart: Floats, floors: Floats) -> Floats:
    """Return each block's distance in each test over the largest of the other blocks, at least the floor."""
    known = np.nan_to_num(apart)
    ranked = np.sort(known, axis=0)
    others = np.where(known == ranked[-1], ranked[-2], ranked[-1])
    return np.asarray(known / np.maximum(np.maximum(others, floors), 1e-12))
