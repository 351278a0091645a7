"""Checked configuration classes: frozen, typed, and their errors name key, value and what is allowed."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_type_hints

from pydantic import BeforeValidator, ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError

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


def explain(error: ValidationError, cls: type) -> str:
    """Say each problem as ``key: problem``, with what is allowed."""
    return "; ".join(_problem(dict(item), cls) for item in error.errors())


def _problem(item: dict[str, Any], cls: type) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        allowed = [field.name for field in fields(_class_at(cls, item["loc"][:-1]))]
        hint = did_you_mean(item["loc"][-1], allowed)
        return f"unknown key {path!r}; one of: {', '.join(allowed)}{hint}"
    return f"{path}: {item['msg']}, got {item['input']!r}"


def _class_at(cls: type, path: tuple[Any, ...]) -> Any:
    """Follow a path into nested configuration, through what is optional, a tuple or a mapping."""
    found: Any = cls
    for part in path:
        hint = get_type_hints(found).get(str(part)) if is_dataclass(found) else None
        inner = next((one for one in (hint, *get_args(hint)) if is_dataclass(one)), None)
        found = inner or found
    return found


def values_of(record: Any) -> dict[str, Any]:
    """Return a configuration's fields as they are."""
    return {field.name: getattr(record, field.name) for field in fields(record)}
