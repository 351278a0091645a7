"""Known values: those that a profile counts one by one, read off its categories or bins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.core.data.expectations.query import EXACT
from airflow_mlops.core.data.profile.column import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOLEANS = {"true": True, "false": False}


class KnownValues(NamedTuple):
    """Values with lower bounds of their counts; ``complete``: there are no others, and counts are exact."""

    counts: dict[Any, int]
    complete: bool


def known_values(column: Column) -> KnownValues | None:
    """Return the known values of a text, boolean or integer column; ``None`` for any other."""
    if column.kind is Kind.STRING and column.categories is not None:
        return KnownValues(dict(column.named), column.names_all)
    if column.kind is Kind.BOOLEAN and column.names_all and column.named.keys() <= _BOOLEANS.keys():
        return KnownValues({_BOOLEANS[name]: count for name, count in column.named.items()}, complete=True)
    return _whole_numbers(column) if column.kind is Kind.INTEGER else None


class ValueBin(NamedTuple):
    """Bin of values in ``[low, high]``, or ``[low, high)`` with ``open_end``."""

    low: float
    high: float
    open_end: bool
    size: int


def occupied_bins(column: Column) -> Iterator[ValueBin]:
    """Return the non-empty bins, clipped to the observed range; infinite values extend the outer ones."""
    lowest = float("-inf") if column.infinite or column.minimum is None else column.minimum
    highest = float("inf") if column.infinite or column.maximum is None else column.maximum
    edges = (float("-inf"), *column.edges, float("inf"))
    for low, high, count in zip(edges, edges[1:], column.counts, strict=False):
        if count:
            open_end = high <= highest and high != float("inf")
            yield ValueBin(max(low, lowest), min(high, highest), open_end, count)


def _whole_numbers(column: Column) -> KnownValues | None:
    """Read counts of single integers off bins that are one integer wide."""
    if not column.present or not is_exact(column):
        return None if column.present else KnownValues({}, complete=True)
    counts: dict[Any, int] = {}
    complete = True
    if _at_edges(column):
        return KnownValues(
            {int(e): n for e, n in zip(column.edges, column.counts[1:], strict=True) if n}, complete=True
        )
    for found in occupied_bins(column):
        first = math.ceil(found.low)
        last = math.ceil(found.high) - 1 if found.open_end else math.floor(found.high)
        if first == last:
            counts[first] = found.size
        else:
            complete = False
    return KnownValues(counts, complete)


def _at_edges(column: Column) -> bool:
    """Say whether every integer is its bin's lower edge: only then their sum is that of the edges."""
    parts = [n * (edge - column.origin) for edge, n in zip(column.edges, column.counts[1:], strict=True)]
    is_whole = all(edge.is_integer() for edge in column.edges)
    return is_whole and not column.counts[0] and sum(map(abs, parts)) < EXACT and sum(parts) == column.total


def is_exact(column: Column) -> bool:
    """Say whether all values are finite and, like the bin edges, exact in double precision."""
    ends = (column.minimum, column.maximum, *column.edges[:1], *column.edges[-1:])
    return all(end is not None and abs(end) < EXACT for end in ends) and not column.infinite
