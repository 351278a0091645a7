"""Messages for input that pydantic refuses: the key, the problem, what is allowed, the closest known key."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from airflow_mlops.core.did_you_mean import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

_UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden")
_NOT_ONE_OF = ("enum", "literal_error")
_ALLOWED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "model_type": "a mapping",
    "too_short": "{min_length} or more entries",
    "string_too_short": "text",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "finite_number": "a finite number",
}
NOT_ALLOWED = "not_allowed"
"""Type of a custom error whose message says what is allowed."""


def explain(error: ValidationError, model: Any) -> str:
    """Return each problem as ``key: problem``, with what is allowed; unknown keys first.

    :param model: the pydantic model or dataclass that the input was validated against. In unions with a
        discriminator, a member's tag is ``tag_of(member)``: such a tag is no part of the key.
    """
    found = sorted((dict(item) for item in error.errors()), key=lambda item: item["type"] not in _UNKNOWN_KEY)
    return "; ".join(_problem(item, model) for item in found)


def tag_of(model: type) -> str:
    """Return the tag of a union's member by which :func:`explain` knows it."""
    return f"<{model.__name__}>"


def allowed_keys(model: Any) -> list[str]:
    """Return the keys that input for a model may have."""
    return list(_names(model))


def _problem(item: dict[str, Any], model: Any) -> str:
    place = [part for part in item["loc"] if not _is_tag(part)]
    key = ".".join(map(str, place))
    if item["type"] in _UNKNOWN_KEY:
        allowed = allowed_keys(_model_at(model, item["loc"][:-1]))
        return f"unknown key {key!r}; one of: {', '.join(allowed)}{did_you_mean(place[-1], allowed)}"
    if item["type"] == "value_error":
        return f"{key}: {item['ctx']['error']}" if key else str(item["ctx"]["error"])
    if item["type"] == "missing":
        return f"key {key!r} is missing{_meaning(model, item['loc'])}"
    if item["type"] in _NOT_ONE_OF:
        allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        return f"{key}: {item['input']!r}, one of: {', '.join(allowed)}{did_you_mean(item['input'], allowed)}"
    if not key and item["type"] in ("dataclass_type", "model_type"):
        given = "empty" if item["input"] is None else f"a {type(item['input']).__name__}"
        return f"{given}, allowed: a mapping with keys of: {', '.join(allowed_keys(model))}"
    what = _allowed(item)
    return (
        f"{key}: {item['input']!r}, allowed: {what}"
        if what
        else f"{key}: {item['msg']}, got {item['input']!r}"
    )


def _allowed(item: dict[str, Any]) -> str:
    """Return what is allowed instead of a value, where that is known."""
    what = _ALLOWED.get(item["type"], "" if item["type"] != NOT_ALLOWED else item["msg"])
    if item["type"] == "string_type" and isinstance(item["input"], bool | int | float | dt.date):
        what += "; write it in quotes"  # YAML reads no, 2026 and 16:00 as something else
    return what.format(**item.get("ctx", {}))


def _meaning(model: Any, place: tuple[int | str, ...]) -> str:
    """Return the description of a field, where it has one."""
    known = getattr(_model_at(model, place[:-1]), "__pydantic_fields__", {}).get(place[-1])
    return f": {known.description}" if known and known.description else ""


def _model_at(model: Any, place: tuple[int | str, ...]) -> Any:
    """Follow a place into nested models, through what is optional, a list, a mapping or a union."""
    found = [model]
    for part in place:
        if _is_tag(part):
            found = [one for one in found if tag_of(one) == part]
        elif part in (names := _names(found[0])):
            found = list(_models_in(get_type_hints(found[0])[names[str(part)]])) or found
    return found[0]


def _names(model: Any) -> dict[str, str]:
    """Return the field of each key; they differ where a field has an alias."""
    known = getattr(model, "__pydantic_fields__", None)
    if known is None:
        return {field.name: field.name for field in fields(model)}
    return {info.alias or name: name for name, info in known.items()}


def _models_in(hint: Any) -> Iterator[Any]:
    if is_dataclass(hint) or hasattr(hint, "__pydantic_fields__"):
        yield hint
    for inner in get_args(hint):
        yield from _models_in(inner)


def _is_tag(part: int | str) -> bool:
    return isinstance(part, str) and part.startswith("<")
