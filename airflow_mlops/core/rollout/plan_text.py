"""A rollout plan as people write it, JSON or YAML: what is not understood is refused by name."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidPlanError, InvalidRecordError
from airflow_mlops.core.rollout.freeze import FreezePeriod, WeeklyFreeze
from airflow_mlops.core.rollout.plan import RolloutPlan, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.rollout.freeze import Freeze


def read_plan(data: Mapping[str, Any]) -> RolloutPlan:
    """Read a plan written by a person.

    Unlike ``RolloutPlan.from_json``, which forgives what a newer writer added, a key that nobody knows
    is an error: it would be a bar that is silently not applied.

    :raises InvalidPlanError: names the key, the value and what is allowed.
    """
    _known("rollout", data, RolloutPlan)
    for index, step in enumerate(_listed(data, "steps")):
        if isinstance(step, dict):
            _known(f"rollout.steps[{index}]", step, Step)
        elif not isinstance(step, int) or isinstance(step, bool):
            msg = f"rollout.steps[{index}]: {step!r}, allowed: a whole percent, or keys with percent"
            raise InvalidPlanError(msg)
    for index, freeze in enumerate(_listed(data, "freeze")):
        _known(f"rollout.freeze[{index}]", freeze, _kind_of(freeze))
    try:
        return RolloutPlan.from_json(data)
    except InvalidRecordError as error:
        msg = f"rollout: {error}"
        raise InvalidPlanError(msg) from error


def read_freeze(data: Any) -> Freeze:
    """Read one freeze: weekly if it has ``days``, else one that comes once.

    :raises InvalidPlanError: names the key, the value and what is allowed.
    """
    if isinstance(data, WeeklyFreeze | FreezePeriod):
        return data
    kind = _kind_of(data)
    _known("freeze", data, kind)
    try:
        return kind.from_json(data)
    except InvalidRecordError as error:
        msg = f"rollout.freeze: {error}"
        raise InvalidPlanError(msg) from error


def _kind_of(freeze: Any) -> type[WeeklyFreeze | FreezePeriod]:
    return WeeklyFreeze if hasattr(freeze, "keys") and "days" in freeze else FreezePeriod


def _listed(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key, ())
    if not isinstance(value, list | tuple):
        msg = f"rollout.{key}: {value!r}, allowed: a list"
        raise InvalidPlanError(msg)
    return list(value)


def _known(path: str, data: Any, cls: Any) -> None:
    allowed = [field.name for field in fields(cls)]
    if not hasattr(data, "keys"):
        msg = f"{path}: {data!r}, allowed: keys {', '.join(allowed)}"
        raise InvalidPlanError(msg)
    for key in data:
        if key not in allowed:
            msg = f"unknown key '{path}.{key}'; one of: {', '.join(allowed)}{did_you_mean(key, allowed)}"
            raise InvalidPlanError(msg)
