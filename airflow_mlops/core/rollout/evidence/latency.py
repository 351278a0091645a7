"""Slow answers of a window: slower than the champion's 99th percentile before the window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence.share import ArmCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_ANSWERS = 100
"""With fewer answers the 99th percentile is the maximum."""

Timed = tuple[float, int]
"""Completion time of an answer in epoch seconds, and its duration in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Record):
    """Latency of one version in a window.

    :param p50_ms: median; ``p99_ms``: 99th percentile (nearest rank); ``None`` without answers.
    """

    answers: int = 0
    p50_ms: int | None = None
    p99_ms: int | None = None


def latency(answers: Sequence[Timed], since: float, until: float) -> Latency:
    """Return the latency of the answers of ``(since, until]``.

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
    """Return the answers of ``(since, until]``; errors are those slower than the champion's earlier p99.

    The threshold is fixed before the window begins and does not depend on its answers, so that equal
    versions are slow equally often. ``None`` while there are too few answers for a threshold. At a cold
    start (``stable`` is ``None``) no answer is slow: there is no champion to compare with.
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
