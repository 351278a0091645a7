"""Candidate: a trained and registered version that has not been validated yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.record import Record

CLASSES_KEY = "mlops_classes"
"""Key of a stored model's metadata: the classes in the order of its scores' columns."""
_RECORDED = "numbers, text, true, false, null, and lists or mappings of them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Record):
    """What training hands over to validation.

    :param metrics: of the held-back rows.
    :param trigger_reason: why it was trained.
    :param classes: the target's classes in the order of the scores' columns; empty where labels are numbers.
    :param positive: of two classes the one that metrics are about; empty if there is none.
    """

    model: str
    version: str
    evidence_run: str
    window: Window
    trained_rows: int
    holdout_rows: int
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    trigger_reason: str = ""
    classes: tuple[str, ...] = ()
    positive: str = ""


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters of training as JSON can record them, so that a replay trains with the same.

    Scalars and arrays of numpy become plain numbers and lists; tuples, lists; dates, text.

    :raises InvalidConfigError: a name that is no text, or a value that cannot be recorded; names it.
    """
    return _plain_mapping(params, "train.params")


def _plain_mapping(values: Mapping[Any, Any], where: str) -> dict[str, Any]:
    for name in values:
        if not str(name).strip() or not isinstance(name, str):
            msg = f"{where}: name {name!r}, allowed: text"
            raise InvalidConfigError(msg)
    return {name: _plain(value, f"{where}.{name}") for name, value in values.items()}


def _plain(value: Any, where: str) -> Any:
    to_list = getattr(value, "tolist", None)  # numpy's arrays and scalars have it
    value = to_list() if to_list is not None else value
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return _plain_mapping(value, where)
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}[{place}]") for place, each in enumerate(value)]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    msg = f"{where}: {type(value).__name__}, allowed: {_RECORDED}"
    raise InvalidConfigError(msg)
