"""RolloutHistory: observations and decisions of a rollout, step by step, for its report."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.counters import ZERO_COUNTS
from airflow_mlops.core.rollout.evidence.share import ArmCounts
from airflow_mlops.core.rollout.state import Phase, TracePoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_mlops.core.rollout.state import RolloutState


@dataclass(frozen=True, slots=True, kw_only=True)
class StepHistory(Record):
    """One step.

    :param asked: when it began to wait for a person's answer; ``None`` if no person was asked.
    :param began: when its traffic was set; ``ended``: when it was decided; seconds since the epoch.
    :param requests: requests of both arms in the windows of ``trace``.
    :param reasons: reason of each decision: first the evidence's, then the person's.
    :param rolled_back_by: the person who answered to roll back; empty otherwise.
    """

    percent: int
    began: float
    ended: float
    phase: Phase
    asked: float | None = None
    requests: ArmCounts
    e_value: float
    reasons: tuple[str, ...] = ()
    rolled_back_by: str = ""
    trace: tuple[TracePoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutHistory(Record):
    """All steps of a rollout, oldest first.

    :param promoted: whether the version became champion; otherwise it was rolled back.
    :param reason: reason of the outcome.
    :param bar: e-value at which a step rolls back.
    :param advance_bar: e-value at which a step may advance.
    """

    model: str
    version: str
    champion: str | None
    promoted: bool
    reason: str
    bar: float
    ended: float
    advance_bar: float = 20.0
    steps: tuple[StepHistory, ...] = ()

    @property
    def requests(self) -> ArmCounts:
        """Requests of both arms in all steps."""
        return sum((step.requests for step in self.steps), start=ZERO_COUNTS)


def steps_of(states: Sequence[RolloutState]) -> tuple[StepHistory, ...]:
    """Return the steps of stored states: one state per step, and one more after an answer."""
    ordered = sorted(states, key=lambda state: (state.percent, state.clock))
    return tuple(_step(list(each)) for _, each in groupby(ordered, key=lambda state: state.percent))


def why_rolled_back(steps: Sequence[StepHistory]) -> str:
    """Return the last step's reasons; a failure outside the steps is in the log of its task."""
    if not steps:
        return "a task failed before traffic moved; see its log"
    last = steps[-1]
    if last.phase is Phase.PASSED:
        return f"a task failed after the step of {last.percent} % was passed; see its log"
    return "; ".join(last.reasons) or f"a task failed at {last.percent} %; see its log"


def _step(states: list[RolloutState]) -> StepHistory:
    last, trace = states[-1], tuple(point for state in states for point in state.trace)
    reasons = dict.fromkeys(reason for state in states for reason in state.reasons)
    return StepHistory(
        percent=last.percent,
        began=last.step_since,
        asked=next((state.clock for state in states[:-1] if state.asks), None),
        ended=last.clock,
        phase=last.phase,
        requests=sum((point.window for point in trace), start=ZERO_COUNTS),
        e_value=last.share.e_value,
        reasons=tuple(text for text in reasons if not _is_repeated(text, reasons)),
        rolled_back_by=last.said.by if last.said is not None and not last.said.go_on else "",
        trace=trace,
    )


def _is_repeated(text: str, reasons: Iterable[str]) -> bool:
    """Whether another reason begins with this one: an answer repeats the question."""
    return any(other != text and other.startswith(text) for other in reasons)
