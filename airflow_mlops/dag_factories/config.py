"""Typed configuration of a model's DAGs; the same from Python and from YAML."""

from __future__ import annotations

import re
from collections.abc import Callable  # noqa: TC003 - pydantic resolves it at run time
from dataclasses import field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_type_hints

import yaml
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from airflow_mlops.core.data.reference import Reference as ReferenceChoice
from airflow_mlops.core.data.skew_policy import SkewPolicy
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy
from airflow_mlops.core.retraining.policy import DEFAULT_TRIGGERS, RetrainPolicy, Trigger
from airflow_mlops.core.rollout.plan import OnInconclusive, RolloutPlan
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.core.validation.threshold import ValidationPolicy

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Class = TypeVar("Class", bound=type)


def seconds(value: Any) -> float:
    """Read a duration: a number of seconds, or text such as ``30s``, ``10m``, ``2h``, ``1d``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
    if match is None:
        msg = f"{value!r} is no duration; allowed: seconds, or 30s, 10m, 2h, 1d"
        raise ValueError(msg)
    return float(match[1]) * UNITS[match[2]]


Duration = Annotated[float, BeforeValidator(seconds)]


@dataclass_transform(frozen_default=True)
def config(cls: Class) -> Class:
    """Make a class a frozen, checked configuration whose errors name key, value and what is allowed."""
    settings = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    built: Any = pydantic_dataclass(frozen=True, config=settings)(cls)
    check = built.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's own
        try:
            check(self, *args, **kwargs)
        except ValidationError as error:
            raise InvalidConfigError(explain(error, built)) from error

    built.__init__ = __init__
    return built  # type: ignore[no-any-return]


@config
class Data:
    """Where the data is and what its columns are.

    :param uri: dataset of partitions, parquet or csv. Templated when the DAG runs.
    :param key: columns that identify a row; the first also is the request id of live predictions.
    :param history: how many partitions, the newest included, a model is trained on.
    :param schema: path of the YAML suite.
    """

    uri: str
    target: str
    schema: str
    key: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    holdout_share: float = 0.25
    history: int = 3

    def spec(self) -> DatasetSpec:
        """Return the columns' roles."""
        names = ("target", "key", "segments", "features", "exclude", "holdout_share")
        return DatasetSpec(**{name: getattr(self, name) for name in names})


@config
class Train:
    """How a model is trained: the author's ``function(data, params) -> model`` and its parameters."""

    function: Callable[..., Any] | str
    params: dict[str, Any] | None = None


@config
class Validate:
    """Bars of validation; see ``ValidationPolicy``."""

    margin: dict[str, float]
    floor: dict[str, float] | None = None
    max_segment_drop: float = 0.02
    min_segment_rows: int = 200
    alpha: float = 0.05
    resamples: int = 1000

    def policy(self) -> ValidationPolicy:
        """Return the bars."""
        return ValidationPolicy(**{**_values(self), "floor": self.floor or {}})


@config
class Rollout:
    """How traffic moves; see ``RolloutPlan``.

    :param backend: what serves; ``local`` is HAProxy in front of MLflow scoring processes.
    """

    backend: Literal["local"] = "local"
    conn_id: str = "mlops_serving"
    steps: tuple[int, ...] = (5, 25, 50)
    bake: Duration = 600.0
    deadline: Duration = 7200.0
    window: Duration = 5.0
    min_requests: int = 50
    max_error_rate: float = 0.02
    burst: int | None = None
    warm_up: Duration = 0.0
    alpha: float = 0.05
    on_inconclusive: OnInconclusive = OnInconclusive.ROLL_BACK

    def plan(self) -> RolloutPlan:
        """Return the plan."""
        return RolloutPlan(
            steps=self.steps,
            bake_seconds=self.bake,
            deadline_seconds=self.deadline,
            window_seconds=self.window,
            min_requests=self.min_requests,
            max_error_rate=self.max_error_rate,
            burst=self.burst,
            warm_up_seconds=self.warm_up,
            alpha=self.alpha,
            on_inconclusive=self.on_inconclusive,
        )


@config
class Monitor:
    """Bars of monitoring; see ``PerformancePolicy``."""

    metric: str = "roc_auc"
    max_drop: float = 0.02
    min_rows: int = 200

    def policy(self) -> PerformancePolicy:
        """Return the bars."""
        return PerformancePolicy(**_values(self))


@config
class Retrain:
    """When to train again; see ``RetrainPolicy``."""

    cooldown: Duration = 86400.0
    min_new_rows: int = 1000
    max_per_week: int = 7
    triggers: tuple[Trigger, ...] = DEFAULT_TRIGGERS

    def policy(self) -> RetrainPolicy:
        """Return the limits."""
        values = {name: value for name, value in _values(self).items() if name != "cooldown"}
        return RetrainPolicy(cooldown_seconds=self.cooldown, **values)


@config
class Reference:
    """What a new window is compared with; see ``airflow_mlops.core.data.reference``."""

    rule: str = "training"
    count: int = 4
    at_least: int = 1
    partitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an unknown rule."""
        self.choice()

    def choice(self) -> ReferenceChoice:
        """Return the choice."""
        return ReferenceChoice(**_values(self))


@config
class Skew:
    """Thresholds of value skew, see ``SkewPolicy``; and what is compared with.

    :param calibrated: take thresholds from how far the reference's partitions lie apart, where there are
        enough of them.
    """

    alpha: float = 0.05
    ks: float = 0.01
    total_variation: float = 0.01
    null_share: float = 0.01
    new_categories: float = 0.01
    ignore: tuple[str, ...] = ()
    reference: Reference = field(default_factory=Reference)
    calibrated: bool = True

    def policy(self) -> SkewPolicy:
        """Return the thresholds."""
        others = ("reference", "calibrated")
        return SkewPolicy(**{name: value for name, value in _values(self).items() if name not in others})


@config
class ModelConfig:
    """Everything about one model's DAGs.

    :param model: name of the registered model, the experiment and the endpoint; prefix of the DAG ids.
    :param schedule: cron expression or preset that asks for retraining besides new data and drift.
    """

    model: Annotated[str, BeforeValidator(lambda value: _name(value))]
    data: Data
    train: Train
    validate: Validate
    rollout: Rollout = Rollout()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    skew: Skew = field(default_factory=Skew)
    schedule: str | None = None
    mlflow_conn_id: str = "mlflow_default"
    retries: int = 2
    retry_delay: Duration = 10.0
    tags: tuple[str, ...] = ("mlops",)

    def skew_policy(self) -> SkewPolicy:
        """Return the thresholds of skew; what identifies a row is new in every window and never compared."""
        return replace(self.skew.policy(), ignore=(*self.skew.ignore, *self.data.key))


def load_config(path: Path | str) -> ModelConfig:
    """Read a YAML file.

    :raises InvalidConfigError: no such file, no YAML, an unknown key, a wrong value; names it.
    """
    try:
        document = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        msg = f"{path}: cannot be read as YAML: {' '.join(str(error).split())}"
        raise InvalidConfigError(msg) from error
    try:
        return TypeAdapter(ModelConfig).validate_python(document)
    except ValidationError as error:
        msg = f"{path}: {explain(error, ModelConfig)}"
        raise InvalidConfigError(msg) from error


def explain(error: ValidationError, cls: type) -> str:
    """Say each problem as ``key: problem``, with what is allowed."""
    return "; ".join(_problem(dict(item), cls) for item in error.errors())


def _problem(item: dict[str, Any], cls: type) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        allowed = [field.name for field in fields(_class_at(cls, item["loc"][:-1]))]
        close = get_close_matches(str(item["loc"][-1]), allowed, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"unknown key {path!r}; one of: {', '.join(allowed)}{hint}"
    return f"{path}: {item['msg']}, got {item['input']!r}"


def _class_at(cls: type, path: tuple[Any, ...]) -> Any:
    found: Any = cls
    for part in path:
        inner = get_type_hints(found).get(str(part)) if is_dataclass(found) else None
        found = inner if is_dataclass(inner) else found
    return found


def _name(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,62}", str(value)):
        msg = f"{value!r} is no model name; allowed: letters, digits, '_', '-', starting with a letter"
        raise ValueError(msg)
    return str(value)


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
