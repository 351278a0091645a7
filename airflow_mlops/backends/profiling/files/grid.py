"""Grid: counts of numbers in cells of a size that depends on the numbers alone, not on their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_mlops.backends.profiling.files import kernels
from airflow_mlops.core.data.profile.bins import bit_lengths

if TYPE_CHECKING:
    from airflow_mlops.core.data.profile.bins import Floats, Ints

MOST_CELLS = 3072
_FEW_SLOTS, _MOST_SLOTS = 1 << 10, 1 << 12
"""Slots of a table: 64 kB at most, of which a processor's own cache holds those of many columns."""
LARGE_SHARE = 1 / 200
"""Share of the values so far that a cell of several values may hold; further ones go to finer cells."""
_LEAST_LARGE = 64
_NOTHING = np.zeros(0, np.int64)


class Grid:
    """Counts in cells of one size, the smallest in which at most ``MOST_CELLS`` hold values.

    A cell is the interval of all keys that agree but for their last ``shift`` bits. At shift 0 a cell is one
    value. Values only ever make cells larger, so that the size is the same in whatever order they come, and
    counts are exact. Where a cell nevertheless holds a large share, as beside a few values far away, those
    that follow are counted in ``finer``, a grid of these cells alone: what is uncertain is at most
    ``LARGE_SHARE`` of the values.
    """

    def __init__(self) -> None:
        self.cells = np.zeros((_FEW_SLOTS, 2), np.int64)
        self.state = np.array([0, 0, _room(_FEW_SLOTS), _LEAST_LARGE, 0])
        self.finer: Grid | None = None

    @property
    def shift(self) -> int:
        """Number of last bits of a key in which the keys of a cell may differ."""
        return int(self.state[0])

    def expect(self, values: int) -> None:
        """Take note of how many values there will be at least."""
        self.state[3] = max(_LEAST_LARGE, int(values * LARGE_SHARE))

    def add(self, keys: Ints, weights: Ints) -> None:
        """Count keys."""
        passed, done = np.empty(len(keys), np.int64), 0
        while True:
            done = kernels.count_keys(keys, weights, done, self.cells, self.state, passed)
            there = passed[: self.state[4]]
            self.pass_on(keys[there], weights[there])
            if done == len(keys):
                return
            self.make_room(int(keys[done]), keys[:done], weights[:done])

    def pass_on(self, keys: Ints, weights: Ints) -> None:
        """Count keys in the finer grid."""
        if len(keys):
            self.finer = self.finer or Grid()
            self.finer.state[3] = max(_LEAST_LARGE // 4, self.state[3] // 4)
            self.finer.add(keys, weights)

    def make_room(self, key: int, before: Ints, weights: Ints) -> None:
        """Make the table or the cells larger so that a key finds room, or open its cell if that is full.

        :param before: keys counted last, with their ``weights``: those of a full cell are counted again.
        """
        there = self._held()
        full = np.flatnonzero((self.cells[:, 0] == key >> self.shift) & (self.cells[:, 1] > 0))
        if len(full):
            again = before >> self.shift == key >> self.shift
            self.cells[full, 1] = -1 - (self.cells[full, 1] - weights[again].sum())
            self.pass_on(before[again], weights[again])
        elif len(self.cells) < _MOST_SLOTS:
            self._fill(there, len(self.cells) * 4)
        elif self.shift:
            self._enlarge(there, 1)
        else:
            keys = np.sort(np.append(there[:, 0], key))
            self._enlarge(there, int(bit_lengths(keys[1:] ^ keys[:-1]).min()))

    def join(self, other: Grid) -> None:
        """Count what another grid has counted."""
        shift = max(self.shift, other.shift)
        parts = [grid.aligned(shift) for grid in (self, other)]
        self.state[3] += other.state[3]
        if other.finer is not None:
            self.finer = self.finer or Grid()
            self.finer.join(other.finer)
        self.state[0] = shift
        there, more = np.concatenate(parts), 0
        if not len(there):
            return
        while len(np.unique(there[:, 0] >> more)) > MOST_CELLS:
            more += 1
        slots = len(self.cells)
        while _room(slots) < min(len(there), MOST_CELLS):
            slots *= 4
        self.cells = np.zeros((slots, 2), np.int64)
        self._regroup(there, more)

    def aligned(self, shift: int) -> Ints:
        """Return key and count of each cell, after the cells were made as large as this shift says."""
        if shift > self.shift:
            self._enlarge(self._held(), shift - self.shift)
        return self._held()

    def leaves(self) -> tuple[Ints, Ints, Floats]:
        """Return first key, first key beyond, and count of each cell that holds values, ascending.

        What a cell held before its values were passed on is spread over finer cells in proportion.
        """
        there = self._held()
        there = there[np.argsort(there[:, 0])]
        opened, held = there[there[:, 1] < 0, 0], np.where(there[:, 1] < 0, -1 - there[:, 1], there[:, 1])
        low, high, count = (
            self.finer.leaves() if self.finer is not None else (_NOTHING, _NOTHING, np.zeros(0))
        )
        place = np.searchsorted(opened, low >> self.shift)
        inside = np.bincount(place, count, len(opened))
        early = held[there[:, 1] < 0]
        count = count * (1 + early / np.maximum(inside, 1.0))[place]
        alone = there[:, 1] > 0
        alone[there[:, 1] < 0] = (inside == 0) & (early > 0)
        lows = np.append(there[alone, 0] << self.shift, low)
        highs = np.append((there[alone, 0] + 1) << self.shift, high)
        order = np.argsort(lows)
        return lows[order], highs[order], np.append(held[alone], count)[order]

    def _held(self) -> Ints:
        there: Ints = self.cells[self.cells[:, 1] != 0]
        return there

    def _fill(self, there: Ints, slots: int) -> int:
        """Put cells in a new table, adding up those of one key; return the largest count."""
        self.cells = np.zeros((slots, 2), np.int64)
        state = np.array([0, 0, _room(slots), 0, 0])
        kernels.count_keys(there[:, 0].copy(), there[:, 1].copy(), 0, self.cells, state, _NOTHING)
        self.state[1:3] = state[1:3]
        return int(self.cells[:, 1].max())

    def _enlarge(self, there: Ints, more: int) -> None:
        joined = np.column_stack([there[:, 0] >> more, there[:, 1]])
        if self.finer is None and self._fill(joined, len(self.cells)) <= self.state[3]:
            self.state[0] += more
        else:
            self._regroup(there, more)

    def _regroup(self, there: Ints, more: int) -> None:
        """Join cells; those that then hold a large share, or passed values on, pass on what they hold."""
        there = there[np.argsort(there[:, 0], kind="stable")]
        joined, shift = there[:, 0] >> more, self.shift
        first = np.flatnonzero(np.append(True, joined[1:] != joined[:-1]))
        held = np.where(there[:, 1] < 0, -1 - there[:, 1], there[:, 1])
        total = np.add.reduceat(held, first)
        passing = (np.minimum.reduceat(there[:, 1], first) < 0) | (total > self.state[3])
        passing &= (shift + more > 0) | (np.minimum.reduceat(there[:, 1], first) < 0)
        self._fill(np.column_stack([joined[first], np.where(passing, -1, total)]), len(self.cells))
        self.state[0] = shift + more
        moved = np.repeat(passing, np.diff(np.append(first, len(joined)))) & (held > 0)
        self.pass_on(there[moved, 0] << shift, held[moved])


def _room(slots: int) -> int:
    return min(MOST_CELLS, slots * 3 // 4)
