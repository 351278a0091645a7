"""Answers about types: the names by which Great Expectations knows what pandas makes of a storage type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mlops.core.data.profile.column import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mlops.core.data.expectations.query import Answer, Question

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NULLABLE = tuple(f"{name.replace('uint', 'UInt').replace('int', 'Int')}Dtype" for name in WHOLE)
"""pandas' whole numbers with nulls; a rule that lists one of them sees nulls without a change to float64."""
FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}
UNITS = ("s", "ms", "us", "ns")
TYPE_NAMES = {
    Kind.INTEGER: [*WHOLE, *NULLABLE],
    Kind.NUMBER: [*FLOATS.values(), *WHOLE, *NULLABLE],
    Kind.BOOLEAN: ["bool"],
    Kind.STRING: ["str"],
    Kind.DATETIME: [f"datetime64[{unit}]" for unit in UNITS],
}
"""What an inferred rule allows for each kind of column."""
OBJECTS = {
    "text": {"str", "string_types"},
    "truth": {"bool", "int", "long"},
    "date": {"date"},
    "decimal": {"Decimal"},
}
"""What pandas keeps as Python objects, with the names that fit the objects."""
ALSO = {"int64": {"int", "long"}, "float64": {"float", "double"}}
KNOWN = {name for names in (*TYPE_NAMES.values(), *OBJECTS.values(), *ALSO.values()) for name in names}


def pandas_type(column: Column, *, nullable: bool = False) -> str | None:
    """Return what pandas makes of the column: a type's name, a key of ``OBJECTS``, ``None`` if not known.

    :param nullable: whole numbers with nulls stay whole.
    """
    arrow = column.arrow_type
    if match := re.fullmatch(r"dictionary<values=([a-z_]+),.*", arrow):
        arrow = match[1]
    if arrow in WHOLE:
        if not column.nulls:
            return arrow
        return NULLABLE[WHOLE.index(arrow)] if nullable else "float64"
    if arrow == "bool":
        return "truth" if column.nulls else "bool"
    if match := re.fullmatch(r"timestamp\[(s|ms|us|ns)(, tz=.+)?\]", arrow):
        return "Timestamp" if match[2] else f"datetime64[{match[1]}]"
    return FLOATS.get(arrow) or _object_type(arrow)


def _object_type(arrow: str) -> str | None:
    kinds = {
        "string": "text",
        "large_string": "text",
        "string_view": "text",
        "date32[day]": "date",
        "date64[ms]": "date",
    }
    return "decimal" if arrow.startswith("decimal") else kinds.get(arrow)


def _type_list(question: Question) -> Answer | None:
    named = question.rule.kwargs.get("type_list")
    if not isinstance(named, list) or not named or not all(isinstance(n, str) and n in KNOWN for n in named):
        return None
    held = pandas_type(question.column, nullable=bool(set(named) & set(NULLABLE)))
    fits = _names_of(held)
    return _say(question, held, named, bool(fits & set(named)))


def _of_type(question: Question) -> Answer | None:
    named = question.rule.kwargs.get("type_")
    if not isinstance(named, str) or named not in (KNOWN | {"Timestamp"}) - set(NULLABLE):
        return None
    held = pandas_type(question.column)
    alike = bool(held) and str(held).startswith("datetime64[") and named.startswith("datetime64[")
    return _say(question, held, [named], alike or named in _names_of(held) | ({held} & {"Timestamp"}))


def _names_of(held: str | None) -> set[str]:
    if held in OBJECTS:
        return OBJECTS[held]
    return set() if held in (None, "Timestamp") else {str(held), *ALSO.get(str(held), ())}


def _say(question: Question, held: str | None, named: list[str], fits: bool) -> Answer | None:  # noqa: FBT001 - private
    """Objects are looked at one by one, so that ``mostly`` counts and a column without any passes."""
    column = question.column
    if held is None:
        return None
    passed = (question.judge_share(*2 * (column.present * fits,)) if held in OBJECTS else fits) or False
    wanted = next((f"{kind}" for kind, names in _ASKED.items() if names == named), ", ".join(named))
    reason = f"{column.kind} ({column.arrow_type}), allowed {wanted}"
    return question.say(passed=passed, observed=str(column.kind), reason=reason)


_ASKED: dict[str, list[str]] = {
    "integer or number" if kind is Kind.NUMBER else str(kind): names for kind, names in TYPE_NAMES.items()
}
TYPE_ANSWERS: dict[str, tuple[Callable[[Question], Any], set[str]]] = {
    "expect_column_values_to_be_in_type_list": (_type_list, {"type_list", "mostly"}),
    "expect_column_values_to_be_of_type": (_of_type, {"type_", "mostly"}),
}
