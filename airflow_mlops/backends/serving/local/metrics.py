"""Errors and slow answers of a local endpoint: the gateway's counters, and its log of answers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.core.rollout.counters import ARMS, COUNT_KINDS, ZERO_COUNTS
from airflow_mlops.core.rollout.evidence.latency import Latency, latency, slow_answers
from airflow_mlops.core.rollout.evidence.share import ArmCounts
from airflow_mlops.core.rollout.plan import RolloutMetric

if TYPE_CHECKING:
    from airflow_mlops.backends.metrics.protocol import Arms
    from airflow_mlops.backends.serving.local.backend import LocalServing
    from airflow_mlops.core.rollout.counters import Reading
    from airflow_mlops.core.rollout.evidence.latency import Timed

_SETTLE_SECONDS = 0.2
"""Longest delay until an answer can be read from the gateway's log."""


class LocalMetrics:
    """Implements :class:`~airflow_mlops.backends.metrics.protocol.MetricsSource` for a local endpoint.

    Answers that left the gateway's log before they were read, or came while it was down, are not counted.
    """

    def __init__(self, serving: LocalServing, endpoint: str) -> None:
        self.serving = serving
        self.endpoint = endpoint

    @property
    def measures(self) -> frozenset[RolloutMetric]:
        """The gateway's counters are errors and client errors, its log is latency."""
        return frozenset({RolloutMetric.ERRORS, RolloutMetric.CLIENT_ERRORS, RolloutMetric.LATENCY})

    def check(self, *, now: float) -> None:
        """Nothing is configured that could be wrong."""

    def read(self, arms: Arms, after: Reading, *, now: float) -> Reading | None:
        """Read the gateway's counters and the answers of this window."""
        counted = self.serving.counters(self.endpoint).reading(arms)
        if counted is None:
            return None
        until = max(now - _SETTLE_SECONDS, math.nextafter(after.until, math.inf))  # clocks may be behind
        reading = replace(counted, until=until, latency=_kept(after, counted))
        if not after.until:
            return reading
        answers = self._answers()
        stable = answers.get(arms.stable, []) if arms.stable is not None else None
        fresh = slow_answers(answers.get(arms.canary, []), stable, after.until, until)
        return (
            reading
            if fresh is None
            else replace(reading, latency=_sum(reading.latency or ZERO_COUNTS, fresh))
        )

    def latencies(self, *, since: float, until: float) -> dict[str, Latency]:
        """Return p50 and p99 of each version's answers in ``(since, until]``, epoch seconds."""
        return {version: latency(timed, since, until) for version, timed in self._answers().items()}

    def _answers(self) -> dict[str, list[Timed]]:
        found = self.serving.answers(self.endpoint)
        return {v: [(each.at, each.milliseconds) for each in answers] for v, answers in found.items()}


def _kept(after: Reading, counted: Reading) -> ArmCounts:
    """Return the slow answers counted before, from zero for an arm whose counters started again."""
    before = after.latency or ZERO_COUNTS
    same = {
        f"{arm}_{what}": getattr(before, f"{arm}_{what}")
        for arm in ARMS
        if after.key(arm) == counted.key(arm)
        for what in COUNT_KINDS
    }
    return replace(ZERO_COUNTS, **same)


def _sum(before: ArmCounts, fresh: ArmCounts) -> ArmCounts:
    names = [f"{arm}_{what}" for arm in ARMS for what in COUNT_KINDS]
    return ArmCounts(**{name: getattr(before, name) + getattr(fresh, name) for name in names})
