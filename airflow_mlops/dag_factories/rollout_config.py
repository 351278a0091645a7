"""Typed configuration of a rollout: how traffic moves to a new version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from airflow.sdk import BaseNotifier
from pydantic import BeforeValidator, StrictInt

from airflow_mlops.core.errors import InvalidConfigError, InvalidPlanError
from airflow_mlops.core.rollout.freeze import Freeze
from airflow_mlops.core.rollout.plan import OnInconclusive, RolloutMetric, RolloutPlan, Strategy
from airflow_mlops.core.rollout.plan import Step as PlanStep
from airflow_mlops.core.rollout.plan_text import read_freeze
from airflow_mlops.dag_factories.checked import Duration, config
from airflow_mlops.dag_factories.notifier import read_notifier

STEPS: dict[Strategy, tuple[int, ...]] = {
    Strategy.CANARY: (5, 25, 50),
    Strategy.BLUE_GREEN: (100,),
    Strategy.AB: (50,),
}


@config
class Step:
    """One traffic weight; what is not given is the rollout's.

    :param approve: a person has to agree before traffic goes on from this step.
    """

    percent: StrictInt
    approve: bool = False
    bake: Duration | None = None
    deadline: Duration | None = None
    min_requests: int | None = None

    def planned(self) -> PlanStep:
        """Return the plan's step."""
        return PlanStep(
            percent=self.percent,
            approve=self.approve,
            bake_seconds=self.bake,
            deadline_seconds=self.deadline,
            min_requests=self.min_requests,
        )


def _read_step(value: Any) -> Any:
    if isinstance(value, Step | int) and not isinstance(value, bool):
        return value
    if not isinstance(value, Mapping):
        msg = f"{value!r}, allowed: a whole percent, or keys with percent"
        raise ValueError(msg)  # noqa: TRY004 - pydantic passes on no other
    try:
        return Step(**{str(key): of for key, of in value.items()})
    except InvalidConfigError as error:
        raise ValueError(str(error)) from error


def _read_freeze(value: Any) -> Any:
    try:
        return read_freeze(value)
    except InvalidPlanError as error:
        raise ValueError(str(error)) from error


AnyStep = Annotated[int | Step, BeforeValidator(_read_step)]
AnyNotifier = Annotated[BaseNotifier, BeforeValidator(read_notifier)]
AnyFreeze = Annotated[Freeze, BeforeValidator(_read_freeze)]


@config
class Rollout:
    """How traffic moves; see ``RolloutPlan``.

    :param backend: what serves; ``local`` is HAProxy in front of MLflow scoring processes. The connection
        says the same, and where.
    :param steps: rising percents, ``{percent: 25, approve: true}`` where one needs more. Not given:
        5, 25, 50 of a canary, 100 of ``blue_green``, 50 of ``ab``.
    :param lease: how long the canary keeps its traffic when nobody watches it any more.
    :param answer_within: how long a person who is asked may think; then the rollout is rolled back.
    :param approvers: ids of the users who may answer; empty: whoever may edit the DAG.
    :param notifiers: who is told when the rollout starts, is held, is promoted or rolled back. In YAML
        ``{class: path of the notifier's class}`` and its arguments.
    """

    backend: Literal["local", "kserve", "http_route", "vertex"] = "local"
    conn_id: str = "mlops_serving"
    steps: tuple[AnyStep, ...] | None = None
    strategy: Strategy = Strategy.CANARY
    bake: Duration = 600.0
    deadline: Duration = 7200.0
    window: Duration = 5.0
    min_requests: int = 50
    max_error_rate: float = 0.02
    burst: int | None = None
    warm_up: Duration = 0.0
    keep_old: Duration = 0.0
    metrics: tuple[RolloutMetric, ...] = (RolloutMetric.ERRORS,)
    alpha: float = 0.05
    on_inconclusive: OnInconclusive = OnInconclusive.ROLL_BACK
    freeze: tuple[AnyFreeze, ...] = ()
    lease: Duration = 300.0
    answer_within: Duration = 86400.0
    approvers: tuple[str, ...] = ()
    notifiers: tuple[AnyNotifier, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a plan that must not be carried out before anything moves."""
        self.plan()
        if self.answer_within <= 0:
            msg = f"rollout.answer_within: {self.answer_within:g} s, allowed: above 0"
            raise InvalidPlanError(msg)

    def plan(self) -> RolloutPlan:
        """Return the plan.

        :raises InvalidPlanError: names the key, the value and what is allowed.
        """
        steps = STEPS[self.strategy] if self.steps is None else self.steps
        same = ("strategy", "min_requests", "max_error_rate", "burst", "metrics", "alpha", "freeze")
        return RolloutPlan(
            steps=tuple(step.planned() if isinstance(step, Step) else step for step in steps),
            bake_seconds=self.bake,
            deadline_seconds=self.deadline,
            window_seconds=self.window,
            warm_up_seconds=self.warm_up,
            keep_old_seconds=self.keep_old,
            lease_seconds=self.lease,
            on_inconclusive=self.on_inconclusive,
            **{name: getattr(self, name) for name in same},
        )
