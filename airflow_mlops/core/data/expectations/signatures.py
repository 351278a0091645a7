"""Signatures of expectations: the arguments that each takes, so that a misspelt one is refused by name.

Where signatures come from is the caller's choice: reading a schema takes a lookup as an argument. Production
code passes ``backends.rules.gx_signatures``, which reads Great Expectations' own JSON schemas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.core.did_you_mean import did_you_mean
from airflow_mlops.core.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATE_OR_DATETIME = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}.*)?")


class ArgumentKind(StrEnum):
    """Kind of an argument's value; the text is what messages call it."""

    ANY = "anything"
    FLAG = "true or false"
    LIST = "a list"
    MAPPING = "a mapping"
    NAME = "a column's name, which may be empty"
    NUMBER = "a number"
    SHARE = "a number from 0 to 1"
    TEXT = "text"
    BOUND = "a number or a date, 2013-01-31 or 2013-01-31T00:00:00"

    def accepts(self, value: Any) -> bool:
        """Say whether a value is of this kind; numbers may be written as text."""
        return _CHECKS[self](value)


class Argument(NamedTuple):
    """One argument of an expectation."""

    kind: ArgumentKind
    required: bool = False


Signature = Mapping[str, Argument]
"""Arguments of one expectation by name, in the order in which messages list them."""
SignatureLookup = Callable[[str], Signature | None]
"""Returns the signature of an expectation; ``None`` for one that is not known here, such as a user's own."""


def require_arguments(kwargs: Mapping[str, Any], signature: Signature, where: str) -> None:
    """Refuse arguments that an expectation does not take, values of the wrong kind and missing arguments.

    :param where: file and place, for the message.
    :raises InvalidConfigError: names the argument, its value and what is allowed.
    """
    for name, value in kwargs.items():
        if name not in signature:
            msg = f"{where}: unknown argument {name!r}; one of: {', '.join(signature)}{did_you_mean(name, signature)}"
            raise InvalidConfigError(msg)
        kind = signature[name].kind
        if value is not None and not _is_suite_parameter(value) and not kind.accepts(value):
            msg = f"{where}: {name} is {value!r}, allowed: {kind}"
            raise InvalidConfigError(msg)
    missing = next(_missing(kwargs, signature), None)
    if missing is not None:
        msg = f"{where}: argument {missing!r} is missing"
        raise InvalidConfigError(msg)


def _missing(kwargs: Mapping[str, Any], signature: Signature) -> Iterator[str]:
    return (name for name, argument in signature.items() if argument.required and kwargs.get(name) is None)


def _is_suite_parameter(value: Any) -> bool:
    """Say whether Great Expectations substitutes the value at run time."""
    return isinstance(value, dict) and "$PARAMETER" in value


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float | str) and float(value) == float(value)
    except (ValueError, OverflowError):
        return False


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= float(value) <= 1


def _is_bound(value: Any) -> bool:
    return _is_number(value) or (isinstance(value, str) and bool(_DATE_OR_DATETIME.fullmatch(value)))


_CHECKS: dict[ArgumentKind, Callable[[Any], bool]] = {
    ArgumentKind.ANY: lambda _: True,
    ArgumentKind.FLAG: lambda value: isinstance(value, bool),
    ArgumentKind.LIST: lambda value: isinstance(value, list),
    ArgumentKind.MAPPING: lambda value: isinstance(value, dict),
    ArgumentKind.NAME: lambda value: isinstance(value, str),
    ArgumentKind.NUMBER: _is_number,
    ArgumentKind.SHARE: _is_share,
    ArgumentKind.TEXT: lambda value: isinstance(value, str) and bool(value),
    ArgumentKind.BOUND: _is_bound,
}
