"""Configuration of validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from airflow_mlops.core.validation.author import OwnCheck, OwnMetric
from airflow_mlops.core.validation.metrics.registry import check_metric
from airflow_mlops.core.validation.policy import (
    BEST_ANCHOR,
    CalibrationPolicy,
    FairnessPolicy,
    OnUnusableChampion,
    SlicePolicy,
    ValidationPolicy,
    check_side,
)
from airflow_mlops.core.validation.security.security import PoisoningPolicy
from airflow_mlops.core.verdict import Outcome, Severity
from airflow_mlops.dag_factories.checked import config, field_values
from airflow_mlops.moved import names_of

_OWN = ("metrics", "checks")


@config
class SlicesConfig:
    """Search for weak segments that were not declared; see ``SlicePolicy``."""

    metric: str = ""
    max_drop: float | None = None
    columns: tuple[str, ...] = ()
    depth: Literal[1, 2] = 2
    min_rows: int = 200
    values: int = 20
    outcome: Outcome = Outcome.WARN


@config
class FairnessConfig:
    """How far a metric may differ between groups; see ``FairnessPolicy``."""

    column: str
    metric: str
    limit: float


@config
class CalibrationConfig:
    """Limits of calibration errors; see ``CalibrationPolicy``."""

    ece: float | None = None
    in_the_large: float | None = None
    bins: int = 10


@config
class PoisoningConfig:
    """Limits of the poisoning heuristics; see ``PoisoningPolicy``."""

    conflicts: float = 0.01
    flips: float = 0.01
    columns: tuple[str, ...] = ()
    alpha: float = 0.01
    outcome: Outcome = Outcome.WARN


@config
class MetricConfig:
    """The author's own ``f(y_true, y_score, sample_weight) -> float``; see ``OwnMetric``."""

    function: Callable[..., Any] | str
    greater_is_better: bool = True


@config
class CheckConfig:
    """The author's test of behaviour ``f(predict, rows)``; see ``core.validation.author.OwnCheck``."""

    function: Callable[..., Any] | str
    severity: Severity = Severity.CRITICAL
    name: str = ""


@config
class ValidateConfig:
    """Margins, floors and checks of validation; see ``ValidationPolicy``.

    :param slices: ``null`` for no search.
    :param metrics: the author's metrics, by the names that margins and floors use.
    :param checks: the author's tests of behaviour.
    """

    margin: dict[str, float] = field(default_factory=dict)
    relative_margin: dict[str, float] = field(default_factory=dict)
    floor: dict[str, float] | None = None
    max_segment_drop: float | None = None
    min_segment_rows: int = 200
    min_class_rows: int = 20
    alpha: float = 0.05
    total_margin: float = 1.0
    anchor: Annotated[str, BeforeValidator(lambda value: _anchor(value))] = BEST_ANCHOR
    resamples: int = 2000
    entity: tuple[str, ...] = ()
    query: str = ""
    slices: SlicesConfig | None = SlicesConfig()
    fairness: tuple[FairnessConfig, ...] = ()
    calibration: CalibrationConfig | None = None
    poisoning: PoisoningConfig | None = None
    on_unusable_champion: OnUnusableChampion = OnUnusableChampion.STOP
    metrics: dict[str, MetricConfig] = field(default_factory=dict)
    checks: tuple[CheckConfig, ...] = ()
    ceiling: dict[str, float] | None = None

    def __post_init__(self) -> None:
        """Refuse limits that make no sense before anything is trained."""
        self.policy()

    def policy(self) -> ValidationPolicy:
        """Return the limits.

        :raises InvalidConfigError: an unknown metric, or a limit that makes no sense.
        """
        plain = {name: value for name, value in field_values(self).items() if name not in _OWN}
        policy = ValidationPolicy(
            **{
                **plain,
                "floor": self.floor or {},
                "ceiling": self.ceiling or {},
                "slices": self.slices and SlicePolicy(**field_values(self.slices)),
                "fairness": tuple(FairnessPolicy(**field_values(rule)) for rule in self.fairness),
                "calibration": self.calibration and CalibrationPolicy(**field_values(self.calibration)),
                "poisoning": self.poisoning and PoisoningPolicy(**field_values(self.poisoning)),
            }
        )
        for name in policy.all_metrics:
            check_metric(name, self.metrics)
        for where, bars in (("floor", policy.floor), ("ceiling", policy.ceiling)):
            for name in set(bars) & set(self.metrics):
                check_side(where, name, is_loss=not self.metrics[name].greater_is_better)
        return policy

    def own_metrics(self) -> tuple[OwnMetric, ...]:
        """Return the author's metrics."""
        return tuple(OwnMetric(name=name, **field_values(metric)) for name, metric in self.metrics.items())

    def own_checks(self) -> tuple[OwnCheck, ...]:
        """Return the author's tests of behaviour."""
        return tuple(OwnCheck(**field_values(check)) for check in self.checks)


def _anchor(value: Any) -> Any:
    """Accept a version that YAML read as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


__getattr__ = names_of(__name__)
