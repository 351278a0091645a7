"""Values that a profile knows by name, each with its count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.core.data.expectations.query import EXACT
from airflow_mlops.core.data.profile.column import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOLEANS = {"true": True, "false": False}


class Known(NamedTuple):
    """Values met and how often at least; ``complete``: these are all, and the counts are exact."""

    counts: dict[Any, int]
    complete: bool


def known_values(column: Column) -> Known | None:
    """Return what is known of a text, truth or whole-number column; ``None`` of any other."""
    if column.kind is Kind.STRING and column.categories is not None:
        return Known(dict(column.named), column.names_all)
    if column.kind is Kind.BOOLEAN and column.names_all and column.named.keys() <= BOOLEANS.keys():
        return Known({BOOLEANS[name]: count for name, count in column.named.items()}, complete=True)
    return _whole_numbers(column) if column.kind is Kind.INTEGER else None


class Cell(NamedTuple):
    """Numbers from ``low`` to ``high``, both included unless ``open_end`` leaves ``high`` itself out."""

    low: float
    high: float
    open_end: bool
    held: int


def cells_of(column: Column) -> Iterator[Cell]:
    """Return the cells that hold values; the range met narrows them, infinite values widen the outer ones."""
    lowest = float("-inf") if column.infinite or column.minimum is None else column.minimum
    highest = float("inf") if column.infinite or column.maximum is None else column.maximum
    borders = (float("-inf"), *column.edges, float("inf"))
    for low, high, count in zip(borders, borders[1:], column.counts, strict=False):
        if count:
            open_end = high <= highest and high != float("inf")
            yield Cell(max(low, lowest), min(high, highest), open_end, count)


def _whole_numbers(column: Column) -> Known | None:
    """Read counts of single whole numbers off cells that are one number wide."""
    if not column.present or not is_exact(column):
        return None if column.present else Known({}, complete=True)
    counts: dict[Any, int] = {}
    complete = True
    for cell in cells_of(column):
        first = math.ceil(cell.low)
        last = math.ceil(cell.high) - 1 if cell.open_end else math.floor(cell.high)
        if first == last:
            counts[first] = cell.held
        else:
            complete = False
    return Known(counts, complete)


def is_exact(column: Column) -> bool:
    """Say whether the column's finite values and cell borders are small enough for floats to hold them."""
    ends = (column.minimum, column.maximum, *column.edges[:1], *column.edges[-1:])
    return all(end is not None and abs(end) < EXACT for end in ends) and not column.infinite
