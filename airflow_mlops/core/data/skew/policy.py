"""SkewPolicy and SkewCalibration: the thresholds above which a change of a column counts as skew."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import NoneType
from typing import Any

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError, InvalidRecordError
from airflow_mlops.core.nouns import with_noun
from airflow_mlops.core.record import Record
from airflow_mlops.core.text_input import yaml_document

NULL_SHARE, NEW_CATEGORIES = "null_share", "new_categories"
LEAST_BLOCKS = 6
"""With fewer blocks of history nothing is calibrated: their maximum says too little about the next block."""

HIGHEST_CALIBRATED = 0.3
FARTHER_AHEAD = ((40, 0.05), (20, 0.4), (0, 0.7))
"""Blocks of history, and how often a quiet block six ahead was flagged in simulation (part of a season)."""
"""Threshold above which a calibrated test does not pass: a change that large must not go unseen. It is the
Kolmogorov-Smirnov distance of a shift by 0.77 standard deviations."""


class Distance(StrEnum):
    """Distance between two distributions; see :mod:`~airflow_mlops.core.data.skew.distance`."""

    KS = "ks"
    JENSEN_SHANNON = "jensen_shannon"
    PSI = "psi"
    WASSERSTEIN = "wasserstein"
    TOTAL_VARIATION = "total_variation"
    LINF = "linf"

    @property
    def needs_order(self) -> bool:
        """Whether it is defined for ordered values only."""
        return self in (Distance.KS, Distance.WASSERSTEIN)

    @property
    def highest(self) -> float:
        """Largest value it can take."""
        return math.inf if self in (Distance.PSI, Distance.WASSERSTEIN) else 1.0


class Role(StrEnum):
    """Role of a column in the model."""

    FEATURE = "feature"
    LABEL = "label"
    PREDICTION = "prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnLimits(Record):
    """Thresholds of one column; ``None``: the policy's own.

    :param distance: the distance that is compared with ``threshold``.
    :param null_share: largest rise of the share of missing values.
    :param new_categories: largest rise of the share of values without a category.
    """

    distance: Distance | None = None
    threshold: float | None = None
    null_share: float | None = None
    new_categories: float | None = None

    def __post_init__(self) -> None:
        """Refuse thresholds outside the range of their effect."""
        highest = self.distance.highest if self.distance else math.inf
        _require_range("threshold", self.threshold, highest)
        _require_range("null_share", self.null_share, 1.0)
        _require_range("new_categories", self.new_categories, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewPolicy(Record):
    """Thresholds on effect sizes; each is compared with a lower confidence bound.

    The default thresholds match each other: they are about the distances of a normally distributed column
    whose mean moves by 0.025 standard deviations.

    :param alpha: family-wise error rate: probability that a window without any change has a flagged
        column, (0, 0.5].
    :param ks: Kolmogorov-Smirnov distance, [0, 1).
    :param total_variation: total variation distance: the probability mass that moved between bins, [0, 1).
    :param null_share: rise of the share of missing values, [0, 1).
    :param new_categories: rise of the share of values that the reference does not list, [0, 1). Categories,
        and numbers of a column with few distinct values, are listed.
    :param ignore: columns that are not compared (keys, time stamps).
    :param jensen_shannon: Jensen-Shannon distance (square root of the divergence to base 2), [0, 1).
    :param psi: population stability index, 0 or more.
    :param wasserstein: Wasserstein distance in standard deviations of the reference, 0 or more.
    :param linf: largest change of one bin's share, [0, 1).
    :param numeric: distance for numbers and datetimes.
    :param category: distance for text and booleans.
    :param columns: thresholds of single columns; they take precedence.
    :param labels: columns reported as labels; ``predictions``: those reported as predictions.
    :param rows_per_entity: mean number of rows per entity (customer, aircraft), 1 or more. Used as the
        design effect of cluster sampling (Kish 1965): sample sizes are divided by it, a conservative
        correction for rows that resemble each other.
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
        """Refuse thresholds outside the range of their distance."""
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
        """Return the role of a column in the model."""
        if column in self.labels:
            return Role.LABEL
        return Role.PREDICTION if column in self.predictions else Role.FEATURE

    def distance(self, column: str, *, numeric: bool) -> Distance:
        """Return the distance for a column; ``category`` where the one asked for needs numbers."""
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
        if test in (NULL_SHARE, NEW_CATEGORIES):
            own: float | None = getattr(limits, test)
            return own
        return limits.threshold if limits.distance in (None, test) else None

    def general(self, test: str) -> float:
        """Return the threshold of a test for columns without their own."""
        value: float = getattr(self, str(test))
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewCalibration(Record):
    """Thresholds calibrated on history without a known problem.

    :param blocks: number of blocks of history.
    :param quantile: of the nonconformity scores of the blocks.
    :param error: upper bound of the probability that a further block has a flagged column, whatever the
        number of columns; 1 if nothing was calibrated.
    :param limits: column → test (a distance, ``null_share``, ``new_categories``) → threshold.
    :param not_calibrated: columns that do not have the same bins in all blocks.
    :param not_exchangeable: column → reason why its blocks say nothing about the next one. Its thresholds are
        from its own history alone, and it does not pass.
    :param left_out: partitions of a block that was left out because it is unlike all others.
    :param apart: columns with a threshold from their own blocks alone: one of these is so unlike the others
        that it would have widened the thresholds of all columns. They pass and fail like any other.
    """

    blocks: int
    quantile: float
    error: float
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    not_calibrated: tuple[str, ...] = ()
    not_exchangeable: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether there was enough history."""
        return self.blocks >= LEAST_BLOCKS

    @property
    def sentence(self) -> str:
        """The guarantee that the thresholds give, in one sentence."""
        if not self.holds:
            return (
                f"not calibrated: {with_noun(self.blocks, 'block')} of history, {LEAST_BLOCKS} needed; "
                "the defaults hold"
            )
        said = (
            f"thresholds calibrated on {self.blocks} blocks of history: the next quiet block has a "
            f"flagged column with a chance of at most {self.error:.1%}"
        )
        return f"{said}, {self._farther}"

    @property
    def _farther(self) -> str:
        """What the stated chance becomes farther ahead, where blocks are not exchangeable."""
        most = next(share for blocks, share in FARTHER_AHEAD if self.blocks >= blocks)
        return (
            f"the sixth one up to {most:.0%} if a trend or part of a season goes on; calibrate again with "
            "the newest blocks"
        )

    def doubt(self, column: str, test: str) -> str:
        """Return why a test below its threshold is no pass; empty if it is one."""
        threshold = self.threshold(column, test)
        if threshold is None:
            return ""
        if column in self.not_exchangeable and test not in (NULL_SHARE, NEW_CATEGORIES):
            return (
                f"{column}: cannot be calibrated on blocks: {self.not_exchangeable[column]}; ignore it, or "
                "give it a threshold of its own"
            )
        if threshold > HIGHEST_CALIBRATED:
            return (
                f"{column}: calibrated threshold of {test} {threshold:.2f}, allowed: up to "
                f"{HIGHEST_CALIBRATED:g}; give it one of its own, or leave out odd blocks"
            )
        return ""

    def threshold(self, column: str, test: str) -> float | None:
        """Return the threshold of a test, ``None`` if it was not calibrated."""
        return self.limits.get(column, {}).get(test)


def policy_from_yaml(text: str, source: str) -> SkewPolicy:
    """Read a policy from YAML with the fields of :class:`SkewPolicy` as keys.

    :param source: name of the file, for messages.
    :raises InvalidConfigError: the text is not YAML, or has an unknown key or a wrong value; names it.
    """
    document = yaml_document(text, source)
    _require_keys(document, SkewPolicy, source)
    known_limits(document.get("columns"), f"{source}: columns")
    try:
        return SkewPolicy.from_json({**document, "columns": document.get("columns") or {}})
    except (InvalidRecordError, InvalidConfigError) as error:
        msg = f"{source}: {error}"
        raise InvalidConfigError(msg) from error


def known_limits(columns: Any, where: str = "skew.columns") -> Any:
    """Return the limits of columns; refuse keys that :class:`ColumnLimits` does not have.

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
