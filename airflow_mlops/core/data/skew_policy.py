"""SkewPolicy: how much a column may move before retraining is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewPolicy(Record):
    """Thresholds on effects, each compared with a lower confidence bound.

    :param alpha: chance that a window without any change has a flagged column, (0, 0.5].
    :param ks: Kolmogorov-Smirnov distance of a numeric column, [0, 1).
    :param total_variation: mass that moved between categories, [0, 1).
    :param null_share: rise of the share of missing values, [0, 1).
    :param new_categories: rise of the share of values without a category, [0, 1).
    :param ignore: columns that are not compared (keys, time stamps).
    """

    alpha: float = 0.05
    ks: float = 0.01
    total_variation: float = 0.01
    null_share: float = 0.01
    new_categories: float = 0.01
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse thresholds that no distance can have."""
        if not 0 < self.alpha <= 0.5:
            msg = f"skew.alpha: {self.alpha}, allowed: above 0 up to 0.5"
            raise InvalidConfigError(msg)
        for name in ("ks", "total_variation", "null_share", "new_categories"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                msg = f"skew.{name}: {value}, allowed: 0 up to below 1"
                raise InvalidConfigError(msg)
