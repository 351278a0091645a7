"""RolloutPlan: the traffic steps of a canary rollout and the bars each step is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.record import Record


class OnInconclusive(StrEnum):
    """What to do when a step's deadline passes without evidence either way."""

    ROLL_BACK = "roll_back"
    ADVANCE = "advance"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan(Record):
    """How traffic moves to a challenger.

    :param steps: canary shares in percent, strictly rising, 1 to 100.
    :param bake_seconds: least time a step lasts before it may advance.
    :param deadline_seconds: longest time a step may wait for evidence.
    :param window_seconds: length of one observation window; longer than a client's retry burst.
    :param min_requests: requests the canary must have answered in a step before it may advance.
    :param max_error_rate: share of failed requests the canary must be shown to stay below, (0, 1).
    :param alpha: chance of rolling back a healthy canary, and of advancing on a false claim, (0, 0.5].
    """

    steps: tuple[int, ...] = (5, 25, 50)
    bake_seconds: float = 600.0
    deadline_seconds: float = 7200.0
    window_seconds: float = 5.0
    min_requests: int = 50
    max_error_rate: float = 0.02
    alpha: float = 0.05
    on_inconclusive: OnInconclusive = OnInconclusive.ROLL_BACK

    def __post_init__(self) -> None:
        """Refuse a plan that must not be carried out."""
        for problem in (_steps_problem(self.steps), *self._bounds()):
            if problem:
                raise InvalidPlanError(problem)

    def _bounds(self) -> tuple[str, ...]:
        return (
            _unless(self.bake_seconds >= 0, f"rollout.bake: {self.bake_seconds} s, allowed: 0 or more"),
            _unless(
                self.deadline_seconds > self.bake_seconds,
                f"rollout.deadline: {self.deadline_seconds} s, allowed: above bake ({self.bake_seconds} s)",
            ),
            _unless(self.window_seconds > 0, f"rollout.window: {self.window_seconds} s, allowed: above 0"),
            _unless(self.min_requests >= 1, f"rollout.min_requests: {self.min_requests}, allowed: 1 or more"),
            _unless(
                0 < self.max_error_rate < 1,
                f"rollout.max_error_rate: {self.max_error_rate}, allowed: above 0 and below 1",
            ),
            _unless(0 < self.alpha <= 0.5, f"rollout.alpha: {self.alpha}, allowed: above 0 up to 0.5"),
        )


def _unless(holds: bool, problem: str) -> str:  # noqa: FBT001 - a condition, not a switch
    return "" if holds else problem


def _steps_problem(steps: tuple[int, ...]) -> str:
    if not steps:
        return "rollout.steps: empty, allowed: at least one percent from 1 to 100"
    for index, percent in enumerate(steps):
        if not 1 <= percent <= 100:
            return f"rollout.steps[{index}]: {percent} %, allowed: 1 to 100"
    for index, (lower, higher) in enumerate(pairwise(steps), start=1):
        if higher <= lower:
            return f"rollout.steps[{index}]: {higher} % after {lower} %, allowed: strictly rising"
    return ""


def require_percent(percent: object) -> None:
    """Refuse a traffic share that is no whole number from 0 to 100.

    :raises InvalidPlanError: names the value.
    """
    if not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= 100:
        msg = f"traffic share: {percent!r} %, allowed: whole numbers from 0 to 100"
        raise InvalidPlanError(msg)
