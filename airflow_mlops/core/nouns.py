"""Numbers with their noun."""

from __future__ import annotations


def with_noun(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one.

    >>> with_noun(1, "change"), with_noun(0, "change")
    ('1 change', '0 changes')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
