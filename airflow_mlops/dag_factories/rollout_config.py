"""Configuration of a rollout: how traffic moves to a new version, who is asked, who is notified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from importlib import import_module
from typing import Annotated, Any, Literal

from airflow.sdk import BaseNotifier
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictInt,
    Tag,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import ArgsKwargs

from airflow_mlops.core.errors import InvalidPlanError
from airflow_mlops.core.input_errors import NOT_ALLOWED, allowed_keys, tag_of
from airflow_mlops.core.rollout.freeze import FreezePeriod, WeeklyFreeze
from airflow_mlops.core.rollout.plan import RolloutMetric, RolloutPlan, Strategy
from airflow_mlops.core.rollout.plan import Step as PlanStep
from airflow_mlops.dag_factories.checked import Duration, config, field_values
from airflow_mlops.moved import names_of

_STEPS: dict[str, tuple[int, ...]] = {
    Strategy.CANARY: (5, 25, 50),
    Strategy.BLUE_GREEN: (100,),
    Strategy.AB: (50,),
}
_PLAN = RolloutPlan()
_NOTIFIER = "allowed: 'class', the path of a notifier's class, and its arguments"


@config
class StepConfig(PlanStep):
    """One traffic weight, all of ``Step``; what is not given is the rollout's."""

    percent: StrictInt
    _: KW_ONLY
    bake_seconds: Duration | None = Field(default=None, alias="bake", kw_only=True)
    deadline_seconds: Duration | None = Field(default=None, alias="deadline", kw_only=True)

    def step(self) -> PlanStep:
        """Return the plan's step."""
        return PlanStep(**field_values(self))


def _step_kind(value: Any) -> str | None:
    if isinstance(value, Mapping | PlanStep):
        return tag_of(StepConfig)
    return tag_of(int) if isinstance(value, int) and not isinstance(value, bool) else None


def _freeze_kind(value: Any) -> str | None:
    if isinstance(value, WeeklyFreeze | FreezePeriod):
        return tag_of(type(value))
    if not isinstance(value, Mapping):
        return None
    kinds = (FreezePeriod, WeeklyFreeze)
    return tag_of(max(kinds, key=lambda kind: len({*value} & {*allowed_keys(kind)})))


def _refused(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Let pydantic say where in the configuration the core refused a value."""
    try:
        return check(value)
    except InvalidPlanError as error:
        raise ValueError(str(error)) from error


def _read_notifier(value: Any) -> Any:
    """Return the notifier that a mapping describes; any other value as it is.

    :raises ValueError: no such class, not a notifier, or arguments that it does not take.
    """
    if not isinstance(value, Mapping):
        return value
    arguments = {str(key): of for key, of in value.items() if key != "class"}
    found = _notifier_class(str(value.get("class", "")))
    try:
        return found(**arguments)
    except TypeError as error:
        msg = f"{value['class']}: {error}"
        raise ValueError(msg) from error


def _notifier_class(path: str) -> type[BaseNotifier]:
    module, _, name = path.rpartition(".")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"no class {path!r} ({error}); {_NOTIFIER}"
        raise ValueError(msg) from error
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        msg = f"{path} is no notifier; {_NOTIFIER}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns it into an error that names the key
    return found


_Step = Annotated[
    Annotated[StrictInt, Tag(tag_of(int))] | Annotated[StepConfig, Tag(tag_of(StepConfig))],
    Discriminator(
        _step_kind,
        custom_error_type=NOT_ALLOWED,
        custom_error_message="a whole percent, or keys with percent",
    ),
]
_Freeze = Annotated[
    Annotated[WeeklyFreeze, Tag(tag_of(WeeklyFreeze))] | Annotated[FreezePeriod, Tag(tag_of(FreezePeriod))],
    Discriminator(
        _freeze_kind,
        custom_error_type=NOT_ALLOWED,
        custom_error_message="keys start and end, or days",
    ),
    WrapValidator(_refused),
]
_Notifier = Annotated[BaseNotifier, BeforeValidator(_read_notifier)]


@config
class RolloutConfig(RolloutPlan):
    """How traffic moves to a new version, all of ``RolloutPlan``; durations may be text like ``10m``.

    :param backend: what serves; ``local`` is HAProxy in front of MLflow scoring processes. The connection
        says the same, and where.
    :param steps: rising percents, ``{percent: 25, approve: true}`` where one needs more. Not given:
        5, 25, 50 of a canary, 100 of ``blue_green``, 50 of ``ab``.
    :param retry_horizon: for clients that retry after 1, 2, 4, 8, 16 s.
    :param metrics: refused where the source cannot measure one of them.
    :param optional_metrics: watched, too, where the source measures them. Not given: none if ``metrics`` are
        given, else ``client_errors`` and ``latency``.
    :param lease: how long the canary keeps its traffic after the last analysis.
    :param answer_within: how long a person who is asked may take to answer; then it is rolled back.
    :param approvers: ids of the users who may answer; empty: every user who may edit the DAG.
    :param notifiers: notified when the rollout starts, is held, is promoted or rolled back. In YAML
        ``{class: path of the notifier's class}`` and its arguments.
    """

    backend: Literal["local", "kserve", "http_route", "vertex"] = "local"
    conn_id: str = "mlops_serving"
    _: KW_ONLY
    steps: tuple[_Step, ...] = _PLAN.steps  # type: ignore[assignment]
    bake_seconds: Duration = Field(default=_PLAN.bake_seconds, alias="bake", kw_only=True)
    deadline_seconds: Duration = Field(default=_PLAN.deadline_seconds, alias="deadline", kw_only=True)
    window_seconds: Duration = Field(default=_PLAN.window_seconds, alias="window", kw_only=True)
    warm_up_seconds: Duration = Field(default=_PLAN.warm_up_seconds, alias="warm_up", kw_only=True)
    keep_old_seconds: Duration = Field(default=_PLAN.keep_old_seconds, alias="keep_old", kw_only=True)
    lease_seconds: Duration = Field(default=_PLAN.lease_seconds, alias="lease", kw_only=True)
    retry_horizon_seconds: Duration = Field(default=20.0, alias="retry_horizon", kw_only=True)
    optional_metrics: tuple[RolloutMetric, ...] = (RolloutMetric.CLIENT_ERRORS, RolloutMetric.LATENCY)
    freeze: tuple[_Freeze, ...] = ()
    answer_within: Duration = 86400.0
    approvers: tuple[str, ...] = ()
    notifiers: tuple[_Notifier, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, given: Any) -> Any:
        """Fill in the strategy's steps where none are given; metrics that are given are the only ones."""
        values = given.kwargs or {} if isinstance(given, ArgsKwargs) else given
        if not isinstance(values, Mapping):
            return given
        filled = dict(values)
        if filled.get("steps") is None:
            strategy = str(values.get("strategy", Strategy.CANARY))
            filled["steps"] = _STEPS.get(strategy, _PLAN.steps)
        if "metrics" in filled:
            filled.setdefault("optional_metrics", ())
        return ArgsKwargs(given.args, filled) if isinstance(given, ArgsKwargs) else filled

    def __post_init__(self) -> None:
        """Refuse a plan that must not be carried out before any traffic moves."""
        super().__post_init__()
        if self.answer_within <= 0:
            msg = f"rollout.answer_within: {self.answer_within:g} s, allowed: above 0"
            raise InvalidPlanError(msg)

    def plan(self) -> RolloutPlan:
        """Return the plan."""
        steps = tuple(step.step() if isinstance(step, StepConfig) else step for step in self.steps)
        return RolloutPlan(**{**field_values(self, RolloutPlan), "steps": steps})


__getattr__ = names_of(__name__)
