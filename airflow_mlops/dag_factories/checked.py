"""Base of configuration classes: frozen and typed; errors name the key, the value and what is allowed."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from airflow_mlops.core.errors import InvalidConfigError
from airflow_mlops.core.input_errors import explain

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_Class = TypeVar("_Class", bound=type)


def seconds(value: Any) -> float:
    """Read a duration: a number of seconds, or text such as ``30s``, ``10m``, ``2h``, ``1d``."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
    if match is None:
        msg = f"{value!r} is no duration; allowed: seconds from 0, or 30s, 10m, 2h, 1d"
        raise ValueError(msg)
    return float(match[1]) * _UNITS[match[2]]


Duration = Annotated[float, BeforeValidator(seconds)]


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def config(cls: _Class) -> _Class:
    """Make a class a frozen, checked configuration.

    Building one raises ``InvalidConfigError``, which names the key, the value and what is allowed.
    """
    settings = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)
    built: Any = pydantic_dataclass(frozen=True, config=settings)(cls)
    check = built.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it becomes the class's own
        try:
            check(self, *args, **kwargs)
        except ValidationError as error:
            raise InvalidConfigError(explain(error, built)) from error

    built.__init__ = __init__
    return built  # type: ignore[no-any-return]


def field_values(record: Any, of: type | None = None) -> dict[str, Any]:
    """Return a configuration's fields as they are.

    :param of: only the fields of this class, which the configuration inherits.
    """
    return {field.name: getattr(record, field.name) for field in fields(of or record)}
