"""Which answers of a window are slow: slower than the champion's p99 was before the window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence.share import ArmCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_ANSWERS = 100
"""Fewer answers have no 99th percentile of their own."""

Timed = tuple[float, int]
"""When an answer was complete, epoch seconds, and how long it took, milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Record):
    """How long the answers of one version took in a window.

    :param p50_ms: half were as quick, or quicker; ``None`` without answers. Likewise ``p99_ms``.
    """

    answers: int = 0
    p50_ms: int | None = None
    p99_ms: int | None = None


def latency(answers: Sequence[Timed], since: float, until: float) -> Latency:
    """Sum up answers of ``(since, until]``.

    >>> latency([(1.0, 20), (2.0, 30), (3.0, 900)], since=0.0, until=2.5)
    Latency(answers=2, p50_ms=20, p99_ms=30)
    """
    took = sorted(milliseconds for at, milliseconds in answers if since < at <= until)
    if not took:
        return Latency()
    half, most = (took[math.ceil(share * len(took)) - 1] for share in (0.5, 0.99))
    return Latency(answers=len(took), p50_ms=half, p99_ms=most)


def slow_answers(
    canary: Sequence[Timed], stable: Sequence[Timed] | None, since: float, until: float
) -> ArmCounts | None:
    """Return answers of ``(since, until]``, "error" being one slower than the champion's p99 until then.

    The bar is known before the window begins: the champion's answers are no closer to it than the
    canary's, so equal versions are slow equally often. ``None`` while too few answers give a bar. At a
    cold start (``stable`` is ``None``) nothing is slow: there is no champion to be slower than.
    """
    bar: float | None = math.inf
    if stable is not None:
        known = latency(stable, 0.0, since)
        bar = known.p99_ms if known.answers >= LEAST_ANSWERS else None
    if bar is None:
        return None
    (asked, slow), (others, also) = (
        _counts(arm, since, until, bar) for arm in (canary, () if stable is None else stable)
    )
    return ArmCounts(canary_requests=asked, canary_errors=slow, stable_requests=others, stable_errors=also)


def _counts(answers: Sequence[Timed], since: float, until: float, bar: float) -> tuple[int, int]:
    took = [milliseconds for at, milliseconds in answers if since < at <= until]
    return len(took), sum(milliseconds > bar for milliseconds in took)
