"""Seen: what the reference shows of one column, in all and window by window; and bounds of shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from airflow_mlops.core.data.profile.column import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.data.profile.profile import Profile

_DEVIATIONS = 3.0
"""Standard errors of the bounds below: one share in about a thousand lies beyond."""
_LEAST_WINDOWS = 3
"""Fewest windows that can show a direction."""
_LEAST_DRIFT = 1.0
"""Standard deviations inside a window by which a trend has to move from the first window to the last."""


@dataclass(frozen=True)
class Seen:
    """A column of the reference, and the same column in each of its windows.

    :param rows: rows of the reference.
    :param windows: the column in each window, oldest first, with the window's rows; empty if the windows are
        not known, which means that the reference is one window.
    """

    column: Column
    rows: int
    windows: tuple[tuple[int, Column], ...] = ()

    @classmethod
    def of(cls, name: str, profile: Profile, windows: Sequence[Profile]) -> Seen:
        """Return what a profile and those of its windows show of a column, where its kind is the same."""
        column = profile.by_name[name]
        there = ((w.rows, w.by_name[name]) for w in windows if name in w.by_name)
        parts = tuple(
            (rows, part) for rows, part in there if not part.present or part.kind.is_like(column.kind)
        )
        return cls(column=column, rows=profile.rows, windows=parts if len(parts) > 1 else ())

    @property
    def window_rows(self) -> int:
        """Rows of the smallest window."""
        return min((rows for rows, _ in self.windows), default=self.rows)

    @property
    def present(self) -> int:
        """Values of the smallest window that has any."""
        return min((c.present for _, c in self.windows if c.present), default=self.column.present)

    @property
    def null_share(self) -> float:
        """Largest share of nulls of a window."""
        return max(
            [self.column.null_share(self.rows), *(column.null_share(rows) for rows, column in self.windows)]
        )

    @cached_property
    def newest(self) -> float:
        """Largest share of a window's values that no earlier window had; 0 if they are not all known."""
        known: set[str] = set()
        shares = [0.0]
        for _, column in self.windows:
            if not column.names_all:
                return 0.0
            new = sum(count for value, count in column.named.items() if value not in known)
            shares.append(new / column.present if known and column.present else 0.0)
            known |= column.named.keys()
        return max(shares)

    @cached_property
    def direction(self) -> int:
        """1 if the values rise from window to window without overlap, -1 if they fall, 0 otherwise."""
        ends = [(c.minimum or 0.0, c.maximum or 0.0) for c in self._numbers]
        return _sign([(b[0] - a[1], b[1] - a[0]) for a, b in pairwise(ends)])

    @cached_property
    def trend(self) -> int:
        """1 if the mean rises in each window, and clearly in all, -1 if it falls, 0 otherwise."""
        means = [column.mean or 0.0 for column in self._numbers]
        found = _sign([(b - a, b - a) for a, b in pairwise(means)])
        inside = median(column.deviation or 0.0 for column in self._numbers) if found else 0.0
        return found if found and abs(means[-1] - means[0]) > _LEAST_DRIFT * inside else 0

    @property
    def _numbers(self) -> list[Column]:
        return [column for _, column in self.windows if column.minimum is not None]


def _sign(steps: Sequence[tuple[float, float]]) -> int:
    """Return 1 if all steps, from their least to their greatest size, lead up, -1 if all lead down."""
    if len(steps) < _LEAST_WINDOWS - 1:
        return 0
    if min(least for least, _ in steps) > 0:
        return 1
    return -1 if max(most for _, most in steps) < 0 else 0


def largest_share(found: int, among: int, window: int) -> float:
    """Return the largest share that a further window would show by chance.

    Wilson's upper bound of the share itself, and above it the scatter of a share among so few values; each
    ``_DEVIATIONS`` standard errors away.

    :param found: how many of ``among`` values are of the kind.
    :param window: values of the further window.
    """
    if not among or not window:
        return 1.0
    bound = upper_share(found, among)
    return min(1.0, bound + _DEVIATIONS * math.sqrt(bound * (1 - bound) / window))


def upper_share(found: int, among: int) -> float:
    """Return Wilson's upper confidence bound of a share; 0 of 20 may be as much as 0.31."""
    z2, share = _DEVIATIONS**2, found / among
    middle = share + z2 / (2 * among)
    spread = _DEVIATIONS * math.sqrt(share * (1 - share) / among + z2 / (4 * among**2))
    return min(1.0, (middle + spread) / (1 + z2 / among))


def rounded_up(share: float) -> float:
    """Return a share in whole hundredths, not below it."""
    return min(1.0, math.ceil(round(100 * share, 6)) / 100)
