"""Expectations on types: the pandas types of storage types, by the names that Great Expectations accepts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeGuard

from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.families import STORED_OTHERWISE, TypeChange, TypeFamily, type_change

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_mlops.core.data.expectations.query import ColumnEvaluators, ProfileAnswer, ProfileQuery
    from airflow_mlops.core.data.expectations.rule import Rule
    from airflow_mlops.core.data.profile.profile import Profile

INTEGER_TYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NULLABLE_INTEGER_TYPES = tuple(
    f"{name.replace('uint', 'UInt').replace('int', 'Int')}Dtype" for name in INTEGER_TYPES
)
"""pandas' nullable integers; for a rule that lists one, nulls do not turn a column into float64."""
_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}
_UNITS = ("s", "ms", "us", "ns")
TYPE_NAMES = {
    Kind.INTEGER: [*INTEGER_TYPES, *NULLABLE_INTEGER_TYPES],
    Kind.NUMBER: [*_FLOATS.values(), *INTEGER_TYPES, *NULLABLE_INTEGER_TYPES],
    Kind.BOOLEAN: ["bool"],
    Kind.STRING: ["str"],
    Kind.DATETIME: [f"datetime64[{unit}]" for unit in _UNITS],
}
"""Types that an inferred rule allows for each kind of column."""
_OBJECTS = {
    "text": {"str", "string_types"},
    "boolean": {"bool", "int", "long"},
    "date": {"date"},
    "decimal": {"Decimal"},
}
"""Kinds of values that pandas stores as Python objects, and the type names that match them."""
_ALIASES = {"int64": {"int", "long"}, "float64": {"float", "double"}}
_FAMILIES = {
    TypeFamily.INTEGER: {*INTEGER_TYPES},
    TypeFamily.FLOAT: {*_FLOATS.values()},
    TypeFamily.DECIMAL: {"Decimal"},
}
DATE, TIMESTAMP, ZONED = "date", "timestamp", "timestamp with a time zone"
"""Kinds of moments, of which none compares with another."""
KNOWN_TYPES = {
    name for names in (*TYPE_NAMES.values(), *_OBJECTS.values(), *_ALIASES.values()) for name in names
}


def pandas_type(column: Column, *, nullable: bool = False) -> str | None:
    """Return the column's pandas type: a type's name, a kind of Python objects, ``None`` if unknown.

    :param nullable: integers with nulls keep an integer type.
    """
    arrow = column.arrow_type
    if match := re.fullmatch(r"dictionary<values=([a-z_]+),.*", arrow):
        arrow = match[1]
    if arrow in INTEGER_TYPES:
        if not column.nulls:
            return arrow
        return NULLABLE_INTEGER_TYPES[INTEGER_TYPES.index(arrow)] if nullable else "float64"
    if arrow == "bool":
        return "boolean" if column.nulls else "bool"
    if match := re.fullmatch(r"timestamp\[(s|ms|us|ns)(, tz=.+)?\]", arrow):
        return "Timestamp" if match[2] else f"datetime64[{match[1]}]"
    return _FLOATS.get(arrow) or _object_type(arrow)


def moment_form(column: Column) -> str:
    """Return which kind of moments a datetime column holds; empty for any other, and for several kinds."""
    held = pandas_type(column) or ""
    return {"date": DATE, "Timestamp": ZONED}.get(held, TIMESTAMP if held.startswith("datetime64") else "")


def _object_type(arrow: str) -> str | None:
    kinds = {
        "string": "text",
        "large_string": "text",
        "string_view": "text",
        "date32[day]": "date",
        "date64[ms]": "date",
    }
    return "decimal" if arrow.startswith("decimal") else kinds.get(arrow)


def _type_list(query: ProfileQuery) -> ProfileAnswer | None:
    named = query.rule.kwargs.get("type_list")
    if named is None:
        return query.answer(passed=True, observed=str(query.column.kind), reason="any type is allowed")
    if not _are_known(named):
        return None
    held = pandas_type(query.column, nullable=bool(set(named) & set(NULLABLE_INTEGER_TYPES)))
    fits = _names_of(held)
    return _answer(query, held, named, bool(fits & set(named)))


def _are_known(named: object) -> TypeGuard[list[str]]:
    if not isinstance(named, list) or not named:
        return False
    return all(isinstance(name, str) and name in KNOWN_TYPES for name in named)


def _of_type(query: ProfileQuery) -> ProfileAnswer | None:
    named = query.rule.kwargs.get("type_")
    if not isinstance(named, str) or named not in (KNOWN_TYPES | {"Timestamp"}) - set(NULLABLE_INTEGER_TYPES):
        return None
    held = pandas_type(query.column)
    alike = bool(held) and str(held).startswith("datetime64[") and named.startswith("datetime64[")
    return _answer(query, held, [named], alike or named in _names_of(held) | ({held} & {"Timestamp"}))


def _names_of(held: str | None) -> set[str]:
    if held in _OBJECTS:
        return _OBJECTS[held]
    return set() if held in (None, "Timestamp") else {str(held), *_ALIASES.get(str(held), ())}


def _answer(query: ProfileQuery, held: str | None, named: list[str], fits: bool) -> ProfileAnswer | None:  # noqa: FBT001 - private
    """Objects are checked one by one: ``mostly`` applies, and a column without values passes."""
    column = query.column
    if held is None:
        return None
    passed = (query.judge_share(*2 * (column.present * fits,)) if held in _OBJECTS else fits) or False
    words = [word for word, names in _NAMES_IN_MESSAGES.items() if names == named]
    wanted = words[-1] if words else ", ".join(named)
    reason = f"{moment_form(column) or column.kind} ({column.arrow_type}), allowed {wanted}"
    change = type_change(allowed_families(named), column, query.whole)
    is_mild = not passed and change is TypeChange.STORED
    reason += STORED_OTHERWISE if is_mild else ""
    return query.answer(passed=passed, observed=str(column.kind), reason=reason, mild=is_mild)


def allowed_families(named: Collection[str]) -> set[TypeFamily]:
    """Return the families of types that a rule allows in full; a rule that names some widths means them."""
    return {family for family, names in _FAMILIES.items() if names <= {*named}}


def undecided_columns(rules: Sequence[Rule], profile: Profile) -> set[str]:
    """Return the columns of which the rows have to tell whether their values are whole numbers."""
    found = set()
    for rule in rules:
        column, named = profile.column(str(rule.kwargs.get("column"))), rule.kwargs.get("type_list")
        if column is not None and rule.type.endswith("to_be_in_type_list") and _are_known(named):
            change = type_change(allowed_families(named), column)
            found |= {column.name} if change is TypeChange.UNDECIDED else set()
    return found


_NAMES_IN_MESSAGES: dict[str, list[str]] = {
    **{str(kind): names for kind, names in TYPE_NAMES.items()},
    "integer or number": TYPE_NAMES[Kind.NUMBER],
    TIMESTAMP: TYPE_NAMES[Kind.DATETIME],
    ZONED: ["Timestamp"],
}
TYPE_EVALUATORS: ColumnEvaluators = {
    "expect_column_values_to_be_in_type_list": (_type_list, frozenset({"type_list", "mostly"})),
    "expect_column_values_to_be_of_type": (_of_type, frozenset({"type_", "mostly"})),
}
