"""Dataset of a training job: roles of the columns and the hold-out share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.core.errors import InvalidConfigError, InvalidDataError
from airflow_mlops.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec(Record):
    """Roles of a dataset's columns.

    :param target: the label.
    :param features: columns the model sees; ``None`` for all that have no other role.
    :param key: columns that identify a row; also the request id by which labels are joined to predictions.
    :param segments: columns whose values are compared separately in validation.
    :param exclude: columns that are not used.
    :param holdout_share: share of rows held back from training, (0, 1). A row is held back by the hash of
        its key, the same for every model and window: no model is trained on rows it is compared on.
    :param positive: of two classes, the one whose probability scores are; ``None`` for the last of the
        sorted ones. A model of the classes 0 and 1 means it by 1.
    """

    target: str
    features: tuple[str, ...] | None = None
    key: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    holdout_share: float = 0.25
    positive: str | int | bool | None = None

    def __post_init__(self) -> None:
        """Refuse roles that contradict each other."""
        if not 0 < self.holdout_share < 1:
            msg = f"data.holdout_share: {self.holdout_share}, allowed: above 0 and below 1"
            raise InvalidConfigError(msg)
        for role in ("features", "key", "segments", "exclude"):
            columns = getattr(self, role) or ()
            twice = next((name for name in columns if columns.count(name) > 1), None)
            if self.target in columns or twice is not None:
                problem = f"holds the target {self.target!r}" if twice is None else f"names {twice!r} twice"
                msg = f"data.{role}: {problem}, allowed: other columns, each once"
                raise InvalidConfigError(msg)
        both = [name for name in self.features or () if name in self.exclude]
        if both:
            msg = f"data.features: {both[0]!r} stands in data.exclude, too; allowed: one of them"
            raise InvalidConfigError(msg)

    def feature_names(self, columns: Sequence[str]) -> list[str]:
        """Return the features among a dataset's columns.

        :raises InvalidDataError: the target, a key, a segment or a feature is not there; names it.
        """
        needed = (self.target, *self.key, *self.segments, *(self.features or ()))
        missing = [name for name in needed if name not in columns]
        if missing:
            msg = f"column {', '.join(missing)} is missing; columns: {', '.join(columns)}"
            raise InvalidDataError(msg)
        if self.features is not None:
            return list(self.features)
        taken = {self.target, *self.key, *self.exclude}
        return [name for name in columns if name not in taken]
