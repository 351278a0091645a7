"""Whether traffic may rise now: only on fresh evidence, and against the champion that was compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import RegistryConflictError
from airflow_mlops.core.rollout.evidence.share import StepDecision
from airflow_mlops.core.rollout.state import Phase

if TYPE_CHECKING:
    from airflow_mlops.core.rollout.plan import RolloutPlan
    from airflow_mlops.core.rollout.state import RolloutState

_FRESH_WINDOWS = 2
_HANDOVER_SECONDS = 30.0
"""How long a scheduler may take from a decided task to the next; what came meanwhile is rechecked anyway."""


def longest_age(plan: RolloutPlan) -> float:
    """Return how old a decision may be, in seconds, when traffic rises on it."""
    return max(_FRESH_WINDOWS * plan.window_seconds, _HANDOVER_SECONDS)


def is_stale(plan: RolloutPlan, state: RolloutState, *, now: float) -> bool:
    """Whether the decision of a step is too old to raise traffic on.

    :param now: seconds since the epoch.
    """
    return now - state.clock > longest_age(plan)


def restarted(state: RolloutState, *, now: float) -> RolloutState:
    """Return a decided step begun again at its present weight: bake and deadline count from now.

    Evidence goes on, and what was answered meanwhile is its first window. A person's answer about the step
    stays; it passes again only on evidence that is good again.
    """
    reason = (
        f"the decision on {state.percent} % was {now - state.clock:.0f} s old: the DAG was paused, or the "
        f"scheduler late; the step started again at {state.percent} %"
    )
    return replace(
        state,
        phase=Phase.STEPPING,
        decision=StepDecision.CONTINUE,
        step_since=now,
        clock=now,
        step_requests=0,
        step_errors=0,
        step_refused=0,
        seen={},
        arrivals={},
        approved_by=None,
        intervened=False,
        reasons=(reason,),
        trace=(),
    )


def require_same_champion(model: str, champion: str | None, state: RolloutState) -> None:
    """Refuse to go on when another version is champion than the one the rollout compares with.

    :param champion: the registry's champion now.
    :raises RegistryConflictError: names both.
    """
    if champion in (state.champion, state.version):
        return
    msg = (
        f"{model}: champion is version {champion}, but this rollout of version {state.version} started "
        f"against {state.champion}; nothing was changed"
    )
    raise RegistryConflictError(msg)
