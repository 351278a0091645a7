"""Configuration of a model's DAGs; the same from Python and from YAML."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from airflow_mlops.backends.text_file import read_utf8
from airflow_mlops.core.data.dataset_uri import CsvOptions, DatasetUri
from airflow_mlops.core.data.reference import Reference as ReferenceRule
from airflow_mlops.core.data.skew.policy import ColumnLimits, SkewPolicy, known_limits
from airflow_mlops.core.errors import InvalidConfigError, InvalidPlanError
from airflow_mlops.core.input_errors import explain
from airflow_mlops.core.monitoring.performance_policy import PerformancePolicy, is_of_single_rows
from airflow_mlops.core.release.clearance import ReleaseGate, ReleaseRule
from airflow_mlops.core.retraining.policy import DEFAULT_TRIGGERS, RetrainPolicy, Trigger
from airflow_mlops.core.text_input import yaml_document
from airflow_mlops.core.training.candidate import plain_params
from airflow_mlops.core.training.job import DatasetSpec
from airflow_mlops.dag_factories.checked import Duration, config, field_values
from airflow_mlops.dag_factories.release import ApprovalConfig, CardConfig, ReadinessConfig, approval_of
from airflow_mlops.dag_factories.rollout_config import RolloutConfig
from airflow_mlops.dag_factories.validate import (
    ValidateConfig,
)
from airflow_mlops.moved import names_of

if TYPE_CHECKING:
    from pathlib import Path


@config
class CsvConfig(CsvOptions):
    """How csv files are read, all of ``CsvOptions``."""


@config
class DataConfig:
    """Where the data is, how it is read and what its columns are.

    :param uri: dataset of partitions, parquet or csv, or a Delta or Iceberg table. Templated when the DAG
        runs.
    :param csv: how csv files are read; what is not stated is found. See ``CsvOptions``.
    :param key: columns that identify a row; the first is also the request id of live predictions.
    :param positive: of two classes, the one whose probability scores are; not given: the last of the sorted.
    :param history: how many of the newest partitions a model is trained on, 1 or more.
    :param schema: path of the YAML suite.
    :param watch: time between two looks for new partitions, by a DAG of its own; ``null``: others announce.
    :param complete: when a partition that is watched for is complete; see ``NewPartitionSensor``.
    """

    uri: str
    target: str
    schema: str
    key: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    holdout_share: float = 0.25
    positive: str | int | bool | None = None
    history: Annotated[int, Field(ge=1)] = 3
    csv: CsvConfig = field(default_factory=CsvConfig)
    watch: Duration | None = None
    complete: Literal["stable", "marker", "present"] = "stable"

    def __post_init__(self) -> None:
        """Refuse roles that contradict each other, and a time that is none."""
        self.spec()
        if self.watch == 0:
            msg = "data.watch: 0 s, allowed: above 0"
            raise InvalidConfigError(msg)

    @property
    def dataset(self) -> str:
        """The URI with how it is read: all that read the data, from profile to monitoring, read it so."""
        if not (stated := self.csv.pairs()):
            return self.uri
        has_options = DatasetUri.parse(self.uri).location != self.uri
        return f"{self.uri}{'&' if has_options else '#'}{urlencode(stated)}"

    def spec(self) -> DatasetSpec:
        """Return the columns' roles."""
        names = ("target", "key", "segments", "features", "exclude", "holdout_share", "positive")
        return DatasetSpec(**{name: getattr(self, name) for name in names})


@config
class TrainConfig:
    """How a model is trained: the author's ``function(data, params) -> model`` and its parameters."""

    function: Callable[..., Any] | str
    params: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse parameters that could not be recorded."""
        plain_params(self.params or {})


@config
class MonitorConfig:
    """Limits of monitoring; see ``PerformancePolicy``.

    :param metric: one that validation measures, too, for its value there is what production is compared with.
        Not given: the first of validation's that single requests suffice for.
    """

    metric: str = ""
    max_drop: float | None = None
    min_rows: int = 200
    min_class_rows: int = 20
    max_missing: float = 0.05
    max_unlabelled: float = 0.02

    def policy(self, validation: ValidateConfig) -> PerformancePolicy | None:
        """Return the limits; ``None`` if no metric is given and production can measure none of validation's.

        :raises InvalidConfigError: a metric that validation does not measure.
        """
        promised = validation.policy().measured
        if self.metric and self.metric not in promised:
            msg = (
                f"monitor.metric: {self.metric!r} is not measured by validation, with which it is compared; "
            )
            msg += f"one of: {', '.join(promised)}"
            raise InvalidConfigError(msg)
        usable = (name for name in promised if name not in validation.metrics and is_of_single_rows(name))
        metric = self.metric or next(usable, "")
        return PerformancePolicy(**{**field_values(self), "metric": metric}) if metric else None


@config
class RetrainConfig:
    """When to train again; see ``RetrainPolicy``."""

    cooldown: Duration = 86400.0
    min_new_rows: int = 1000
    max_per_week: int = 7
    triggers: tuple[Trigger, ...] = DEFAULT_TRIGGERS

    def policy(self) -> RetrainPolicy:
        """Return the limits."""
        values = {name: value for name, value in field_values(self).items() if name != "cooldown"}
        return RetrainPolicy(cooldown_seconds=self.cooldown, **values)


@config
class ReferenceConfig:
    """What a new window is compared with; see ``airflow_mlops.core.data.reference``."""

    rule: str = "training"
    count: int = 4
    at_least: int = 1
    partitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an unknown rule."""
        self.choice()

    def choice(self) -> ReferenceRule:
        """Return the rule and its arguments."""
        return ReferenceRule(**field_values(self))


@config
class SkewConfig(SkewPolicy):
    """Thresholds of value skew, all of ``SkewPolicy``; and what is compared with.

    :param calibrated: take thresholds from how far the reference's partitions lie apart, where there are
        enough of them.
    """

    columns: Annotated[dict[str, ColumnLimits], BeforeValidator(known_limits)] = field(default_factory=dict)
    reference: ReferenceConfig = field(default_factory=ReferenceConfig)
    calibrated: bool = True

    def policy(self, data: DataConfig) -> SkewPolicy:
        """Return the thresholds; keys of rows differ in every window and are never compared."""
        values = field_values(self, SkewPolicy)
        own = {"ignore": (*self.ignore, *data.key), "labels": self.labels or (data.target,)}
        return SkewPolicy(**(values | own))


@config
class ModelConfig:
    """Everything about one model's DAGs.

    :param model: name of the registered model, the experiment and the endpoint; prefix of the DAG ids.
    :param readiness: ``null`` for no test in the serving process; ``card`` likewise for no model card.
    :param approval: ``auto``, ``required``, ``on_warning``, or all of ``ApprovalConfig``.
    :param schedule: cron expression or preset that asks for retraining besides new data and drift.
    """

    model: Annotated[str, BeforeValidator(lambda value: _name(value))]
    data: DataConfig
    train: TrainConfig
    validate: ValidateConfig
    readiness: ReadinessConfig | None = None
    card: CardConfig | None = None
    approval: Annotated[ApprovalConfig, BeforeValidator(approval_of)] = field(default_factory=ApprovalConfig)
    rollout: RolloutConfig = RolloutConfig()
    monitor: MonitorConfig = MonitorConfig()
    retrain: RetrainConfig = RetrainConfig()
    skew: SkewConfig = field(default_factory=SkewConfig)
    schedule: Annotated[str | None, BeforeValidator(lambda value: _schedule(value))] = None
    mlflow_conn_id: str = "mlflow_default"
    retries: Annotated[int, Field(ge=0)] = 2
    retry_delay: Duration = 10.0
    tags: tuple[str, ...] = ("mlops",)

    def __post_init__(self) -> None:
        """Refuse limits that make no sense before a DAG is built."""
        self.performance_policy()
        self.retrain.policy()
        self.skew_policy()

    def release_rule(self) -> ReleaseRule:
        """Return what a rollout demands of a version: the gates of the training DAG, as configured."""
        asked = {
            ReleaseGate.READINESS: self.readiness is not None,
            ReleaseGate.CARD: self.card is not None,
            ReleaseGate.APPROVAL: self.approval.when != "auto",
        }
        named = self.approval.approvers
        return ReleaseRule(
            required=tuple(gate for gate, is_required in asked.items() if is_required),
            approvers=tuple(dict.fromkeys([*named, *named.values()])) or self.rollout.approvers,
        )

    def skew_policy(self) -> SkewPolicy:
        """Return the thresholds of skew."""
        return self.skew.policy(self.data)

    def drift_policy(self) -> SkewPolicy:
        """Return the same for requests, which have no target."""
        policy = self.skew_policy()
        return replace(policy, ignore=(*policy.ignore, self.data.target), labels=())

    def performance_policy(self) -> PerformancePolicy | None:
        """Return the limits of the performance in production; ``None`` if nothing can be measured there."""
        return self.monitor.policy(self.validate)


def load_config(path: Path | str) -> ModelConfig:
    """Read a YAML file.

    :raises InvalidConfigError: no such file, no YAML, an unknown key, a wrong value; names it.
    :raises InvalidPlanError: a rollout that must not be carried out.
    """
    document = yaml_document(read_utf8(str(path)), str(path))
    try:
        return TypeAdapter(ModelConfig).validate_python(document)
    except ValidationError as error:
        msg = f"{path}: {explain(error, ModelConfig)}"
        raise InvalidConfigError(msg) from error
    except (InvalidConfigError, InvalidPlanError) as error:
        msg = f"{path}: {error}"
        raise type(error)(msg) from error


def _schedule(value: Any) -> Any:
    """Refuse what the scheduler could not read when the DAG is due."""
    from airflow.sdk import CronPartitionTimetable
    from croniter import croniter

    if value is None:
        return None
    expression = str(CronPartitionTimetable(str(value), timezone="UTC").expression)
    if expression.startswith("@") or not croniter.is_valid(expression):
        msg = f"{value!r} is no schedule; allowed: a cron expression, or @hourly, @daily, @weekly, @monthly"
        raise ValueError(msg)
    return value


def _name(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,62}", str(value)):
        msg = f"{value!r} is no model name; allowed: letters, digits, '_', '-', starting with a letter"
        raise ValueError(msg)
    return str(value)


__getattr__ = names_of(__name__)
