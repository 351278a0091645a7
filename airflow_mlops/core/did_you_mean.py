"""Suggestion for an unknown name: the end of the error message, by similarity of spelling."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name of closest spelling, empty if none is close."""
    close = get_close_matches(str(name), [str(other) for other in known], 1)
    return f"; did you mean {close[0]!r}?" if close else ""
