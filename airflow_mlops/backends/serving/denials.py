"""Whether a denied call may be repeated: 401 and 403 pass when an API server has just started.

An API server refuses everybody until its rights are read. Only a rollout's first task takes a denial for the
last word; once traffic moves, a denial is what any other silence is.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAY_PASS: ContextVar[bool] = ContextVar("denials_may_pass", default=False)


@contextmanager
def repeating_denied() -> Iterator[None]:
    """Repeat denied calls in the block as often as others that failed."""
    before = _MAY_PASS.set(True)
    try:
        yield
    finally:
        _MAY_PASS.reset(before)


def denials_may_pass() -> bool:
    """Return whether this thread is in such a block."""
    return _MAY_PASS.get()
