"""LiveRollout: what a rollout's analysis sees now, in a small document that people can read any time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.core.record import Record
from airflow_mlops.core.rollout.counters import ZERO_COUNTS, ReadingStatus
from airflow_mlops.core.rollout.evidence.share import ArmCounts, StepDecision
from airflow_mlops.core.rollout.state import Phase, TracePoint, thinned

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.core.rollout.state import RolloutState

LIVE_WINDOWS = 200
"""Windows that the document holds at most; older ones are merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRollout(Record):
    """The analysis of a rollout after its last window.

    :param percent: the canary's share of requests in the current step, 0 to 100.
    :param holder: the rollout, as ``dag_id/run_id``; empty where the back end has no leases.
    :param began: when the current step's traffic was set, seconds since the epoch.
    :param at: when the last window was analysed, seconds since the epoch.
    :param lease_until: until when the canary may get requests without being analysed; 0: no lease.
    :param missing: readings of the current step that could not be had.
    :param window_seconds: how often the canary is analysed; 0: not known.
    :param bar: e-value at which the step is rolled back; ``advance_bar``: at which it may advance.
    :param e_values: evidence against the canary by test.
    :param harmless: evidence that lets the step go on.
    :param windows: of this and the earlier steps, oldest first; ``LIVE_WINDOWS`` at most.
    """

    version: str
    champion: str | None
    percent: int
    phase: Phase
    decision: StepDecision
    reasons: tuple[str, ...] = ()
    holder: str = ""
    began: float = 0.0
    at: float = 0.0
    lease_until: float = 0.0
    missing: int = 0
    window_seconds: float = 0.0
    bar: float = 0.0
    advance_bar: float = 0.0
    e_values: dict[str, float] = field(default_factory=dict)
    harmless: float = 0.0
    windows: tuple[TracePoint, ...] = ()

    @property
    def step_counts(self) -> ArmCounts:
        """Requests and errors of both arms in the current step."""
        here = [point.window for point in self.windows if point.percent == self.percent]
        return sum(here, start=ZERO_COUNTS)


def live_rollout(plan: RolloutPlan, state: RolloutState, before: LiveRollout | None) -> LiveRollout:
    """Return the document after a window.

    :param before: the document so far; the windows of earlier steps are taken from it, unless it is of
        another rollout.
    """
    earlier = before.windows if before is not None and _continues(before, state) else ()
    windows = (*(point for point in earlier if point.percent < state.percent), *state.trace)
    last = state.trace[-1] if state.trace else None
    return LiveRollout(
        version=state.version,
        champion=state.champion,
        percent=state.percent,
        phase=state.phase,
        decision=state.decision,
        reasons=state.reasons,
        holder=state.lease.holder if state.lease else "",
        began=state.step_since,
        at=state.clock,
        lease_until=state.lease.expires_at if state.lease else 0.0,
        missing=state.arrivals.get(ReadingStatus.MISSING, 0),
        window_seconds=plan.window_seconds,
        bar=state.bar,
        advance_bar=1 / plan.alpha,
        e_values={"errors": state.share.e_value, **(last.others if last else {})},
        harmless=last.harmless if last else 0.0,
        windows=thinned(windows, LIVE_WINDOWS),
    )


def change_of(before: RolloutState | None, after: RolloutState) -> str:
    """Return in one line what a window changed: decision, weight, hold, answer; empty if nothing.

    :param before: ``None`` when a step begins to be analysed.
    """
    if before is not None and _outline(before) == _outline(after):
        return ""
    why = f": {'; '.join(after.reasons)}" if after.reasons else ""
    agreed = f", {after.approved_by} agreed" if after.approved_by else ""
    held = ", held because traffic was changed" if after.intervened else ""
    phase = after.phase.replace("_", " ")
    return f"version {after.version} at {after.given_percent} %: {phase}, {after.decision}{agreed}{held}{why}"


def _outline(state: RolloutState) -> tuple[object, ...]:
    lost = state.arrivals.get(ReadingStatus.MISSING, 0) > 0
    return state.percent, state.phase, state.decision, state.intervened, state.approved_by, state.said, lost


def _continues(before: LiveRollout, state: RolloutState) -> bool:
    holder = state.lease.holder if state.lease else ""
    return (before.version, before.champion, before.holder) == (state.version, state.champion, holder)
