"""RolloutState: everything a rollout knows; handed from task to task as plain JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence import Decision, ErrorRateTest, ErrorShareTest, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Record):
    """Cumulative counts of both arms at one moment.

    :param generation: changes when the counters started again from zero.
    """

    generation: str = ""
    canary_requests: int = 0
    canary_errors: int = 0
    stable_requests: int = 0
    stable_errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePoint(Record):
    """One applied window as people want to see it."""

    at: float
    percent: int
    window: Window
    e_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState(Record):
    """Where a rollout is and what it has seen.

    The counters of ``last`` and the tests always belong together: whoever resumes from a state takes up
    counting where its evidence ends, so no request is counted twice or lost.

    :param champion: version that served when the rollout began; ``None`` at a cold start.
    :param step_since: when the current step's traffic was set, seconds since the epoch.
    :param trace: windows of the current step, oldest first.
    """

    version: str
    champion: str | None
    share: ErrorShareTest
    rate: ErrorRateTest
    percent: int = 0
    step_since: float = 0.0
    step_requests: int = 0
    step_errors: int = 0
    last: Reading = field(default_factory=Reading)
    decision: Decision = Decision.CONTINUE
    reasons: tuple[str, ...] = ()
    trace: tuple[TracePoint, ...] = ()
