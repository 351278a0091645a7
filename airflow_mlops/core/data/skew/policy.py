"""SkewPolicy: how much a column may move before retraining is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import NoneType
from typing import Any

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError
from airflow_mlops.core.record import Record


class Distance(StrEnum):
    """How far two distributions are apart; see :mod:`~airflow_mlops.core.data.skew.distance`."""

    KS = "ks"
    JENSEN_SHANNON = "jensen_shannon"
    PSI = "psi"
    WASSERSTEIN = "wasserstein"
    TOTAL_VARIATION = "total_variation"
    LINF = "linf"

    @property
    def needs_order(self) -> bool:
        """Whether only values on a line have it."""
        return self in (Distance.KS, Distance.WASSERSTEIN)

    @property
    def highest(self) -> float:
        """Largest value it can take."""
        return math.inf if self in (Distance.PSI, Distance.WASSERSTEIN) else 1.0


class Role(StrEnum):
    """What a column is to the model."""

    FEATURE = "feature"
    LABEL = "label"
    PREDICTION = "prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnLimits(Record):
    """What one column may do; ``None`` leaves it to the policy.

    :param distance: what is judged.
    :param threshold: on that distance.
    :param null_share: rise of the share of missing values.
    :param new_categories: rise of the share of values without a category.
    """

    distance: Distance | None = None
    threshold: float | None = None
    null_share: float | None = None
    new_categories: float | None = None

    def __post_init__(self) -> None:
        """Refuse thresholds that no effect can have."""
        highest = self.distance.highest if self.distance else math.inf
        _require_range("threshold", self.threshold, highest)
        _require_range("null_share", self.null_share, 1.0)
        _require_range("new_categories", self.new_categories, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewPolicy(Record):
    """Thresholds on effects, each compared with a lower confidence bound.

    The thresholds belong together: a normal column whose mean moves by .025 standard deviations has about
    these distances.

    :param alpha: chance that a window without any change has a flagged column, (0, 0.5].
    :param ks: Kolmogorov-Smirnov distance, [0, 1).
    :param total_variation: mass that moved between cells, [0, 1).
    :param null_share: rise of the share of missing values, [0, 1).
    :param new_categories: rise of the share of values without a category, or that no number of a column
        with few values had, [0, 1).
    :param ignore: columns that are not compared (keys, time stamps).
    :param jensen_shannon: distance (root of the divergence, base 2), [0, 1).
    :param psi: population stability index, 0 or more.
    :param wasserstein: in standard deviations of the reference, 0 or more.
    :param linf: largest change of a cell's share, [0, 1).
    :param numeric: distance that numbers and datetimes are judged by.
    :param category: distance that text and booleans are judged by.
    :param columns: limits of single columns; they win over all others.
    :param labels: columns reported as labels, ``predictions`` those reported as predictions.
    :param rows_per_entity: how many rows one entity (customer, aircraft) has on average, 1 or more. The
        sample counts as that much smaller: the safe answer to rows that repeat each other.
    """

    alpha: float = 0.05
    ks: float = 0.01
    total_variation: float = 0.01
    null_share: float = 0.01
    new_categories: float = 0.01
    ignore: tuple[str, ...] = ()
    jensen_shannon: float = 0.01
    psi: float = 0.001
    wasserstein: float = 0.025
    linf: float = 0.01
    numeric: Distance = Distance.KS
    category: Distance = Distance.TOTAL_VARIATION
    columns: dict[str, ColumnLimits] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    predictions: tuple[str, ...] = ()
    rows_per_entity: float = 1.0

    def __post_init__(self) -> None:
        """Refuse thresholds that no distance can have."""
        if not 0 < self.alpha <= 0.5:
            msg = f"skew.alpha: {self.alpha}, allowed: above 0 up to 0.5"
            raise InvalidConfigError(msg)
        for name in ("ks", "total_variation", "null_share", "new_categories", "jensen_shannon", "linf"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                msg = f"skew.{name}: {value}, allowed: 0 up to below 1"
                raise InvalidConfigError(msg)
        for name in ("psi", "wasserstein"):
            _require_range(name, getattr(self, name), math.inf)
        if not 1 <= self.rows_per_entity < math.inf:
            msg = f"skew.rows_per_entity: {self.rows_per_entity}, allowed: 1 or more"
            raise InvalidConfigError(msg)
        if self.category.needs_order:
            allowed = ", ".join(d for d in Distance if not d.needs_order)
            msg = f"skew.category: {self.category} needs numbers; one of: {allowed}"
            raise InvalidConfigError(msg)

    def role(self, column: str) -> Role:
        """Return what a column is to the model."""
        if column in self.labels:
            return Role.LABEL
        return Role.PREDICTION if column in self.predictions else Role.FEATURE

    def distance(self, column: str, *, numeric: bool) -> Distance:
        """Return what a column is judged by; one that needs numbers gives way where there are none."""
        limits = self.columns.get(column)
        wanted = limits.distance if limits and limits.distance else (self.numeric if numeric else None)
        if wanted is None or (wanted.needs_order and not numeric):
            return self.category
        return wanted

    def configured(self, column: str, test: str) -> float | None:
        """Return a column's own threshold of a test (a distance, ``null_share``, ``new_categories``)."""
        limits = self.columns.get(column)
        if limits is None:
            return None
        if test in ("null_share", "new_categories"):
            own: float | None = getattr(limits, test)
            return own
        return limits.threshold if limits.distance in (None, test) else None

    def general(self, test: str) -> float:
        """Return the threshold of a test for columns without their own."""
        value: float = getattr(self, str(test))
        return value


def policy_from_yaml(text: str, source: str) -> SkewPolicy:
    """Read a policy that people wrote: the fields of :class:`SkewPolicy` as keys.

    :param source: name of the file, for messages.
    :raises InvalidConfigError: no YAML, an unknown key, a wrong value; names it.
    """
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{source}: no YAML: {' '.join(str(error).split())}"
        raise InvalidConfigError(msg) from error
    _require_keys(document, SkewPolicy, source)
    known_limits(document.get("columns"), f"{source}: columns")
    try:
        return SkewPolicy.from_json({**document, "columns": document.get("columns") or {}})
    except (InvalidRecordError, InvalidConfigError) as error:
        msg = f"{source}: {error}"
        raise InvalidConfigError(msg) from error


def known_limits(columns: Any, where: str = "skew.columns") -> Any:
    """Refuse limits of columns with keys that :class:`ColumnLimits` does not have.

    :raises InvalidConfigError: names the column and the key.
    """
    if not isinstance(columns, dict | NoneType):
        msg = f"{where}: {type(columns).__name__}, allowed: a mapping of column names to limits"
        raise InvalidConfigError(msg)
    for name, limits in (columns or {}).items():
        if not isinstance(limits, ColumnLimits):
            _require_keys(limits, ColumnLimits, f"{where}.{name}")
    return columns or {}


def _require_keys(mapping: Any, cls: type[SkewPolicy | ColumnLimits], where: str) -> None:
    allowed = [f.name for f in fields(cls)]
    if not isinstance(mapping, dict):
        msg = f"{where}: {type(mapping).__name__}, allowed: a mapping with keys of: {', '.join(allowed)}"
        raise InvalidConfigError(msg)
    for key in mapping:
        if key not in allowed:
            msg = f"{where}: unknown key {key!r}; one of: {', '.join(allowed)}{did_you_mean(key, allowed)}"
            raise InvalidConfigError(msg)


def _require_range(name: str, value: float | None, highest: float) -> None:
    if value is not None and not (0 <= value <= highest and value < math.inf):
        allowed = "0 or more" if math.isinf(highest) else f"0 up to {highest:g}"
        msg = f"skew.{name}: {value}, allowed: {allowed}"
        raise InvalidConfigError(msg)
