"""Numbers with their noun."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one.

    >>> counted(1, "change"), counted(0, "change")
    ('1 change', '0 changes')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
