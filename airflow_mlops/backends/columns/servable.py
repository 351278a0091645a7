"""What a column is to a model, by its Arrow type: a number or text, as a JSON request holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.backends.columns.canonical import arrow_of, canonical
from airflow_mlops.backends.profiling.files.bins import kind_of
from airflow_mlops.core.data.profile.column import Kind
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_mlops.core.data.profile.profile import Profile

_NUMBERS = frozenset({Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER})
_NARROWER = {"long": "int64", "integer": "int32", "float": "float32"}
_ALLOWED = "allowed: numbers, booleans, text"
_INSTEAD = {Kind.DATETIME: "derive numbers from it, an hour or an age, or name it in data.exclude"}
_ELSE = "name it in data.exclude"


def servable(columns: Mapping[str, Any] | pd.DataFrame | pa.Table) -> dict[str, pd.Series]:
    """Return features as a model server hands them to a model: float64, or text as objects.

    Booleans are the numbers 1 and 0, and a number that is null is NaN: so a feature has one type, whether or
    not a window has nulls in it. Text that is null is ``None``. A column of nulls without a type is numbers.

    :param columns: Arrow or pandas columns by name.
    :raises InvalidDataError: a feature of another type; names it, its Arrow type and what to do.
    """
    named = columns.items() if not isinstance(columns, pa.Table) else _of_table(columns)
    return {str(name): _servable(str(name), values) for name, values in named}


def target_values(name: str, values: Any) -> pd.Series:
    """Return labels: integers and booleans as they are, other numbers as float64, text as objects.

    :raises InvalidDataError: a target of another type; names it and its Arrow type.
    """
    values = arrow_of(values)
    kind = kind_of(values.type)
    if kind in (Kind.INTEGER, Kind.BOOLEAN):
        return pd.Series(pa.chunked_array(values).to_numpy(), name=name)
    if kind not in (Kind.NUMBER, Kind.STRING):
        msg = f"target {name!r} is {values.type}, {_ALLOWED}"
        raise InvalidDataError(msg)
    return _servable(name, values)


def fitted(column: pd.Series, declared: str) -> pd.Series:
    """Return a feature in the type that a model's signature declares, as the model's server converts it.

    A null of a declared boolean is false there, and a column without values fits any declared type.
    """
    if declared == "boolean" and column.dtype.kind == "f":
        return column.fillna(0).astype(bool)
    if declared in _NARROWER and column.dtype.kind == "f":
        return _narrowed(column, _NARROWER[declared])
    if declared == "string" and column.dtype.kind == "f" and column.isna().all():
        return pd.Series([None] * len(column), index=column.index, dtype=object, name=column.name)
    if declared == "double" and column.dtype.kind == "O" and column.isna().all():
        return column.astype(float)
    return column


def _narrowed(column: pd.Series, kind: str) -> pd.Series:
    values = column.to_numpy(dtype=np.float64)
    narrow = (values if kind == "float32" else np.nan_to_num(values)).astype(kind)
    is_kept = kind == "float32" or bool((narrow == values).all())
    return pd.Series(narrow, index=column.index, name=column.name) if is_kept else column


def alike(table: pa.Table, reference: Profile) -> pa.Table:
    """Return logged inputs with the kinds of a reference profile, so that the two can be compared.

    A server logs booleans as the numbers 1 and 0, or text where a file has codes.
    """
    known = reference.by_name
    columns = {
        name: _alike(values, known[name].kind) if name in known else values
        for name, values in _of_table(table)
    }
    return pa.table(columns)


def plain_columns(table: pa.Table) -> pa.Table:
    """Return a table without dictionaries, views and extension types."""
    return pa.table([arrow_of(values) for values in table.columns], table.column_names)


def _of_table(table: pa.Table) -> Iterable[tuple[str, Any]]:
    return zip(table.column_names, table.columns, strict=True)


def _servable(name: str, values: Any) -> pd.Series:
    index = values.index if isinstance(values, pd.Series) else None
    if isinstance(values, pd.Series) and values.dtype == np.float64:
        return values
    values = arrow_of(values)
    kind = kind_of(values.type)
    if kind in _NUMBERS or pa.types.is_null(values.type):
        return pd.Series(_numbers(values), index=index, name=name)
    if kind is Kind.STRING:
        text = pc.cast(values, pa.large_string()).to_numpy(zero_copy_only=False)
        return pd.Series(text, index=index, name=name, dtype=object)
    msg = f"feature {name!r} is {values.type}, {_ALLOWED}; {_INSTEAD.get(kind, _ELSE)}"
    raise InvalidDataError(msg)


def _numbers(values: Any) -> Any:
    kind = values.type
    if pa.types.is_decimal(kind):
        values = pc.cast(values, pa.large_string())  # the nearest doubles; Arrow's own cast is off by a bit
    elif pa.types.is_boolean(kind):
        values = pc.cast(values, pa.int8())
    doubles = pc.fill_null(pc.cast(values, pa.float64(), safe=False), float("nan"))
    return np.array(doubles, dtype=np.float64)


def _alike(values: Any, kind: Kind) -> Any:
    values = arrow_of(values)
    there = kind_of(values.type)
    if there is kind or pa.types.is_null(values.type):
        return values
    if kind is Kind.STRING:
        return canonical(values)
    if kind is Kind.BOOLEAN and there in _NUMBERS:
        numbers = _numbers(values)
        return pa.array(numbers != 0, mask=np.isnan(numbers))
    return pc.cast(values, pa.int8()) if kind in _NUMBERS and there is Kind.BOOLEAN else values
