"""Bins of numbers: where a column's own values place them, and how columns with other bins are compared.

A float is known by its **key**, an integer in the order of the floats. A **cell** is the interval of all keys
that agree but for their last bits; cells are nested or apart, whatever the data, so that counts in cells add
up exactly and lie where the values lie, in whatever order these came.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

SINGLE_VALUES = 512
"""Of a column with at most so many distinct values each has a bin of its own."""
BIN_SHARE = 1 / 256
"""Share of the values up to which neighbouring cells are one bin; with more it is one cell or value."""
MOST_BINS = 1024

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_LEAST = np.int64(np.iinfo(np.int64).min)
_WORD = np.uint64(32)


def keys_of(values: Floats) -> Ints:
    """Return the keys of floats, -0.0 as 0.0."""
    bits = (values + 0.0).view(np.int64)
    return np.asarray(np.where(bits < 0, _LEAST - bits, bits))


def values_of(keys: Ints) -> Floats:
    """Return the floats that keys stand for."""
    return np.asarray(np.where(keys < 0, _LEAST - keys, keys), np.int64).view(np.float64)


def bit_lengths(keys: Ints) -> Ints:
    """Return the number of bits of each key, read without a sign."""
    plain = keys.view(np.uint64)
    high, low = plain >> _WORD, plain & np.uint64(0xFFFFFFFF)
    length = np.where(high > 0, 32 + np.frexp(high.astype(float))[1], np.frexp(low.astype(float))[1])
    return np.asarray(length, np.int64)


def place_bins(
    cells: tuple[Ints, Ints], counts: Floats, *, whole: bool = False
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return bin edges and counts, one more than edges; the same for the same counts in cells.

    Neighbours become one bin, the smallest cell that holds them, while it holds at most ``BIN_SHARE``.

    :param cells: first key, and first key beyond, of each cell that holds values, ascending.
    :param counts: values in each cell. Parts of a value that was counted in a larger cell are allowed.
    :param whole: whether all values are whole numbers: edges are too.
    """
    lows, highs = cells
    below = np.concatenate([[0.0], np.cumsum(counts)])
    first = np.flatnonzero(np.concatenate([[True], _apart(lows, below)]))
    last = np.append(first[1:], len(lows))
    size = bit_lengths(lows[first] ^ lows[last - 1])
    single = last - first == 1
    starts = np.where(single, lows[first], lows[first] >> size << size)
    with np.errstate(over="ignore"):
        ends = np.where(single, highs[last - 1], starts + (np.int64(1) << size))
    low, high = (_edges(keys, whole=whole) for keys in (starts, ends))
    high = np.where(size > 62, math.inf, high)
    return bins_between(low, high, np.diff(np.rint(below[np.append(first, len(lows))])))


def _apart(lows: Ints, below: Floats) -> Any:
    """Say between which neighbours an edge stays: the smallest cell that holds both holds too many values."""
    if len(lows) <= SINGLE_VALUES:
        return np.ones(len(lows) - 1, bool)
    least = BIN_SHARE * below[-1]
    joined = bit_lengths(lows[1:] ^ lows[:-1])
    apart = np.zeros(len(joined), bool)
    for size in np.unique(joined):
        ends = np.append(np.flatnonzero(joined > size) + 1, len(lows))
        held = np.diff(below[np.concatenate([[0], ends])])
        here = np.flatnonzero(joined == size)
        apart[here] = held[np.searchsorted(ends, here, side="right")] > least
    return _keep_most(apart, below) if apart.sum() > MOST_BINS else apart


def _keep_most(apart: Any, below: Floats) -> Any:
    """Drop edges until bins are few: those within an equal share of the values, not beside a large bin."""
    at = np.flatnonzero(apart)
    held = np.diff(below[np.concatenate([[0], at + 1, [len(below) - 1]])])
    share = np.floor(np.cumsum(held) / (BIN_SHARE * below[-1]))
    large = held > BIN_SHARE * below[-1]
    keep = (np.diff(share) > 0) | large[1:] | large[:-1]
    kept = np.zeros_like(apart)
    kept[at[keep]] = True
    return kept


def _edges(keys: Ints, *, whole: bool) -> Floats:
    values = values_of(keys)
    return np.ceil(values) if whole else values


def bins_between(low: Floats, high: Floats, counts: Floats) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return edges and counts, one more than edges, of values in intervals ``[low, high)``."""
    edges = np.unique(np.concatenate([low, high]))
    edges = edges[np.abs(edges) <= sys.float_info.max]
    placed = np.zeros(len(edges) + 1, np.int64)
    np.add.at(placed, np.searchsorted(edges, low, side="right"), counts.astype(np.int64))
    return tuple(edges.tolist()), tuple(placed.tolist())


def thin(edges: Floats, below: Floats) -> tuple[Floats, Floats]:
    """Drop edges, with the number of values below each, if there are too many."""
    if len(edges) <= 2 * MOST_BINS:
        return edges, below
    ends = np.array([True])
    kept = np.concatenate([ends, _keep_most(np.ones(len(edges) - 2, bool), below), ends])
    return edges[kept], below[kept]


def right_after(points: Floats | float) -> Floats:
    """Return the next greater floats; infinity after the largest."""
    with np.errstate(over="ignore"):
        return np.asarray(np.nextafter(points, np.inf))


def read_below(edges: Floats, below: Floats, points: Sequence[float] | Floats) -> Floats:
    """Return how many values are below each point, evenly spread between two edges.

    :param below: number of values below each edge.
    """
    at = np.asarray(points, float)
    place = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, max(0, len(edges) - 2))
    upper = np.minimum(place + 1, len(edges) - 1)
    quarter = at / 4, edges[place] / 4, edges[upper] / 4  # spans near the largest float would overflow
    span = quarter[2] - quarter[1]
    with np.errstate(over="ignore"):
        part = np.divide(quarter[0] - quarter[1], span, out=np.zeros(len(at)), where=span > 0)
    part = np.where(at >= edges[upper], 1.0, np.clip(part, 0.0, 1.0))
    return np.asarray(below[place] + part * (below[upper] - below[place]))
