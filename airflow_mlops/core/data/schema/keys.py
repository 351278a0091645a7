"""Keys: what speaks for a column whose values all differ being an identifier rather than a measurement."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_mlops.core.data.profile.column import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY_WORDS = frozenset(
    {"id", "ids", "key", "keys", "uid", "uuid", "guid", "pk", "identifier", "hash", "serial"}
)
_LEAST_REPEATS = 5.0
"""Repeats to be expected if values were drawn at random: that none occurs has then a chance of e^-5."""
_ENOUGH = 1000
"""Fewest texts whose name alone makes them keys."""
AXIS_WORDS = frozenset(
    {"time", "t", "date", "day", "period", "wave", "season", "step", "tick", "round", "year", "yr"}
)
"""Words of columns that say when a row was made, or in which order."""
_LEAST_NAMED = 20
"""Fewest texts whose shapes are compared."""


def key_evidence(column: Column, distinct: int) -> str:
    """Return why a column whose ``distinct`` values all differ is taken for a key; empty if nothing says so.

    Neither names of times and axes nor names alone of few values are enough: an id may be of what is
    measured again and again.
    """
    said = words(column.name)
    if said & AXIS_WORDS:
        return ""
    if column.kind is Kind.INTEGER:
        return _crowded(column, distinct)
    if column.kind is not Kind.STRING:
        return ""
    if _one_shape(column.named):
        return "its values are of one shape"
    return "by its name" if names_an_id(column) and distinct >= _ENOUGH else ""


def names_an_id(column: Column) -> bool:
    """Whether a column's name says that its values identify something, rows or what rows are about."""
    return bool(words(column.name) & _KEY_WORDS)


def words(name: str) -> set[str]:
    """Return the words of a column's name: ``flightId`` and ``flight_id`` have the same."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def _crowded(column: Column, distinct: int) -> str:
    """Whether so many integers at random in so small a range would have repeated."""
    if column.minimum is None or column.maximum is None:
        return ""
    span = column.maximum - column.minimum + 1
    expected = distinct**2 / (2 * span)
    return "its numbers are too dense to differ by chance" if expected >= _LEAST_REPEATS else ""


def _one_shape(values: Iterable[str]) -> bool:
    """Whether texts are codes: digits and letters in the same places, as in ``k0042`` or a UUID."""
    named = list(values)
    shapes = {re.sub(r"[0-9a-f]", "9", re.sub(r"[g-zA-Z]", "a", value)) for value in named}
    return len(named) >= _LEAST_NAMED and len(shapes) == 1 and "9" in next(iter(shapes))
