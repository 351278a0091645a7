"""Finds csv files that were cut: Arrow takes the end of a file for the end of a row and of a quoted value."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from airflow_mlops.backends.profiling.files.storage import Storage

CHUNK = 1 << 22
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
START, PLAIN, QUOTED, CLOSED = 0, 1, 2, 3
"""Where in a value a byte stands; after ``CLOSED`` another quote goes on with the same value."""
QUOTE, COMMA, LINE_FEED, RETURN = 34, 44, 10, 13


def require_whole(storage: Storage, path: str) -> None:
    """Refuse a csv file that ends within a row.

    A file whose last line has no line break may be whole, but nobody can tell.

    :raises InvalidDataError: says where the file ends and how to mend one that is whole.
    """
    name, state, last, size = PurePosixPath(path).name, START, b"", 0
    with storage.files.open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            text = chunk.removeprefix(BYTE_ORDER_MARK) if not size else chunk
            state, last, size = _after(text, state), chunk[-1:], size + len(chunk)
    if state == QUOTED:
        msg = (
            f"{name}: ends within a quoted value, after {size} bytes: the file was cut, or a quote is missing"
        )
        raise InvalidDataError(msg)
    if size and last not in (b"\n", b"\r"):
        msg = (
            f"{name}: the last line has no line break, so the file may have been cut; add one if it is whole"
        )
        raise InvalidDataError(msg)


def _after(text: bytes, state: int) -> int:
    """Return where in a value the text ends; without quotes only a value begun before matters."""
    if state != QUOTED and b'"' not in text:
        return START if text[-1:] in (b"\n", b"\r", b",") else PLAIN
    return int(_walk(np.frombuffer(text, np.uint8), state))


@njit(nogil=True)
def _walk(text: Any, state: int) -> int:
    for byte in text:
        if state == QUOTED:
            state = CLOSED if byte == QUOTE else QUOTED
        elif byte in (COMMA, LINE_FEED, RETURN):
            state = START
        elif byte == QUOTE and state != PLAIN:
            state = QUOTED
        else:
            state = PLAIN
    return state
