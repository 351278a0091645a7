"""Calibration: thresholds of skew from blocks of quiet history, so that what is usual stays quiet."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.core.data.skew.bins import align_columns
from airflow_mlops.core.data.skew.measure import MeasuredEffects, SampleCounts, measure_all
from airflow_mlops.core.data.skew.policy import Distance, SkewPolicy
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.profile import Profile
    from airflow_mlops.core.data.skew.bins import AlignedCounts
    from airflow_mlops.core.data.skew.distance import Flags, Floats

LEAST_BLOCKS = 6
"""With fewer blocks nothing is calibrated: their largest distance says too little about the next one."""
_UNBOUNDED = (Distance.PSI, Distance.WASSERSTEIN)
_HIGHEST = 0.999
"""Distances above this one count as it, so that their odds are finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewCalibration(Record):
    """Thresholds that quiet history asks for.

    :param blocks: how many blocks of history were compared.
    :param error: chance, at most, that a further quiet block has a flagged column, whatever the number of
        columns; 1 if nothing was calibrated.
    :param limits: column → test (a distance, ``null_share``, ``new_categories``) → threshold.
    :param not_calibrated: columns that are not in all blocks with the same cells.
    """

    blocks: int
    quantile: float
    error: float
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    not_calibrated: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether there was enough history."""
        return self.blocks >= LEAST_BLOCKS

    @property
    def sentence(self) -> str:
        """What the thresholds are worth."""
        if not self.holds:
            return (
                f"not calibrated: {self.blocks} blocks of history, {LEAST_BLOCKS} needed; the defaults hold"
            )
        return (
            f"thresholds calibrated on {self.blocks} blocks of history: a further quiet block has a "
            f"flagged column with a chance of at most {self.error:.1%}"
        )

    def threshold(self, column: str, test: str) -> float | None:
        """Return the threshold of a test, ``None`` if it was not calibrated."""
        return self.limits.get(column, {}).get(test)


def calibrate(
    blocks: Sequence[Profile],
    *,
    quantile: float = 0.95,
    floor: float | None = None,
    policy: SkewPolicy | None = None,
) -> SkewCalibration:
    """Take thresholds from how far each block of quiet history lies from all others together.

    Each block's distances, less what its size adds by chance, are divided by the largest one of the other
    blocks in the same column (at least the floor); the largest of a block's ratios is its strangeness. The
    threshold of a column is its largest distance times the wanted quantile of the strangeness, at least the
    floor; so one strange column widens all others in proportion. Distances that end at 1 are taken as odds
    d/(1-d), and no threshold reaches 1.

    With k blocks the j-th smallest strangeness is exceeded by a further block with a chance of at most
    1 - j/(k+1): conformal prediction (Vovk et al. 2005). The largest one bounds the chance by 1/(k+1): 19
    blocks are needed for 5 %. Leaving one block out gives history one block less to be compared with than
    the further block has, which errs on the safe side; simulation shows about half the stated chance.

    This holds if quiet blocks are **exchangeable**: as alike as if they had been shuffled, of similar size
    or larger ones to come, and compared with a reference of about the same blocks. Blocks of one season
    say nothing about the next one. Distances inside a block and between columns may depend in any way.

    :param blocks: profiles with the same cells, of equal spans of time without a known problem.
    :param quantile: of the strangeness of history, (0, 1).
    :param floor: least threshold; the policy's general ones if ``None``.
    :param policy: distances, ignored columns, rows per entity.
    :raises InvalidConfigError: a quantile or floor that no distance can have.
    """
    policy = policy or SkewPolicy()
    if not 0 < quantile < 1 or (floor is not None and not 0 <= floor < 1):
        msg = f"calibration: quantile {quantile}, floor {floor}; allowed: between 0 and 1"
        raise InvalidConfigError(msg)
    if len(blocks) < LEAST_BLOCKS:
        return SkewCalibration(blocks=len(blocks), quantile=quantile, error=1.0)
    table, skipped = align_columns(blocks, policy.ignore)
    apart, tests = _distances(table, policy)
    floors = np.asarray([policy.general(test) if floor is None else floor for _, test in tests])
    rank = min(len(blocks), math.ceil((len(blocks) + 1) * quantile))
    bounded = np.asarray([test not in _UNBOUNDED for _, test in tests], bool)
    factor = np.sort(_nonconformity(_as_odds(apart, bounded), _as_odds(floors, bounded)))[rank - 1]
    usual = np.fmax(np.fmax.reduce(apart, axis=0), floors) if tests else floors
    wide = factor * _as_odds(usual, bounded)
    limits: dict[str, dict[str, float]] = {}
    for (column, test), threshold in zip(
        tests, np.maximum(floors, np.where(bounded, wide / (1 + wide), wide)), strict=True
    ):
        limits.setdefault(column, {})[test] = float(threshold)
    error = 1 - rank / (len(blocks) + 1)
    return SkewCalibration(
        blocks=len(blocks), quantile=quantile, error=error, limits=limits, not_calibrated=skipped
    )


def _distances(table: AlignedCounts, policy: SkewPolicy) -> tuple[Floats, list[tuple[str, str]]]:
    """Return corrected distances of blocks to the rest, ``(n_blocks, n_tests)``; nan: not measured."""
    share, blocks = 1 / policy.rows_per_entity, len(table.rows)
    found = []
    for block in range(blocks):
        mine = np.arange(blocks) == block
        found.append(
            measure_all(
                table, SampleCounts.of(table, ~mine, share), SampleCounts.of(table, mine, share), policy
            )
        )
    places: dict[tuple[str, str], int] = {}
    for key in (key for measured in found for key in _keys(table, measured)):
        places.setdefault(key, len(places))
    apart = np.full((blocks, len(places)), np.nan)
    for block, measured in enumerate(found):
        apart[block, [places[key] for key in _keys(table, measured)]] = measured.effects.corrected
    return apart, list(places)


def _keys(table: AlignedCounts, measured: MeasuredEffects) -> list[tuple[str, str]]:
    return [(table.names[c], test) for c, test in zip(measured.columns, measured.tests, strict=True)]


def _as_odds(distances: Floats, bounded: Flags) -> Floats:
    """Return bounded distances as odds, the others as they are."""
    return np.where(bounded, distances / (1 - np.minimum(distances, _HIGHEST)), distances)


def _nonconformity(apart: Floats, floors: Floats) -> Floats:
    """Return each block's largest distance in units of the largest of the other blocks."""
    known = np.nan_to_num(apart)
    ranked = np.sort(known, axis=0)
    others = np.where(known == ranked[-1], ranked[-2], ranked[-1])
    return np.asarray((known / np.maximum(np.maximum(others, floors), 1e-12)).max(axis=1, initial=0.0))
