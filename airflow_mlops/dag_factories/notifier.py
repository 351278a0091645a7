"""A notifier as YAML writes it: the path of its class and its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from airflow.sdk import BaseNotifier

ALLOWED = "allowed: 'class', the path of a notifier's class, and its arguments"


def read_notifier(value: Any) -> Any:
    """Return the notifier that a mapping describes; anything else as it is.

    :raises ValueError: no such class, no notifier, or arguments that it does not take.
    """
    if not isinstance(value, Mapping):
        return value
    arguments = {str(key): of for key, of in value.items() if key != "class"}
    found = _class(str(value.get("class", "")))
    try:
        return found(**arguments)
    except TypeError as error:
        msg = f"{value['class']}: {error}"
        raise ValueError(msg) from error


def _class(path: str) -> type[BaseNotifier]:
    module, _, name = path.rpartition(".")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"no class {path!r} ({error}); {ALLOWED}"
        raise ValueError(msg) from error
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        msg = f"{path} is no notifier; {ALLOWED}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns it into an error that names the key
    return found
