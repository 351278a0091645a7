"""RolloutHistory: what a rollout saw and decided, step by step, for people who read it afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.evidence import Window
from airflow_mlops.core.rollout.state import Phase, TracePoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.core.rollout.state import RolloutState


@dataclass(frozen=True, slots=True, kw_only=True)
class StepHistory(Record):
    """One step.

    :param began: when its traffic was set, ``ended`` when it was decided; seconds since the epoch.
    :param requests: answers of both arms in the windows of ``trace``.
    :param reasons: why each decision was taken: the evidence's, then the person's.
    """

    percent: int
    began: float
    ended: float
    phase: Phase
    requests: Window
    e_value: float
    reasons: tuple[str, ...] = ()
    trace: tuple[TracePoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutHistory(Record):
    """All steps of a rollout, oldest first.

    :param promoted: whether the version became champion; rolled back otherwise.
    :param reason: why it ended as it did.
    :param bar: e-value that rolls back.
    """

    model: str
    version: str
    champion: str | None
    promoted: bool
    reason: str
    bar: float
    ended: float
    steps: tuple[StepHistory, ...] = ()


def steps_of(states: Sequence[RolloutState]) -> tuple[StepHistory, ...]:
    """Return the steps of states as they were kept: of each step one, and one more after an answer."""
    ordered = sorted(states, key=lambda state: (state.percent, state.clock))
    return tuple(_step(list(each)) for _, each in groupby(ordered, key=lambda state: state.percent))


def why_rolled_back(steps: Sequence[StepHistory]) -> str:
    """Return the last step's reasons; what failed outside the steps is in the log of its task."""
    if not steps:
        return "a task failed before traffic moved; see its log"
    last = steps[-1]
    if last.phase in (Phase.PASSED, Phase.PROMOTED):
        return f"a task failed after the step of {last.percent} % was passed; see its log"
    return "; ".join(last.reasons) or f"a task failed at {last.percent} %; see its log"


def _step(states: list[RolloutState]) -> StepHistory:
    last, trace = states[-1], tuple(point for state in states for point in state.trace)
    windows = [point.window for point in trace]
    names = ("canary_requests", "canary_errors", "stable_requests", "stable_errors")
    return StepHistory(
        percent=last.percent,
        began=last.step_since,
        ended=last.clock,
        phase=last.phase,
        requests=Window(**{name: sum(getattr(each, name) for each in windows) for name in names}),
        e_value=last.share.e_value,
        reasons=tuple(dict.fromkeys(reason for state in states for reason in state.reasons)),
        trace=trace,
    )
