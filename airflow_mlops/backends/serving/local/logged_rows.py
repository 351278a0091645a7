"""Rows of a request and of its answer as JSON holds them, whatever form the client and the model chose."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Mapping
from typing import Any

_UNNAMED = "input"
_MISSING = frozenset({"NAType", "NaTType"})


def input_rows(data: Any) -> list[dict[str, Any]]:
    """Return a request's rows: of a data frame, of columns by name (``inputs``), of records, of bare values.

    Columns of unequal length are one row, as is a single value.
    """
    if _is_frame(data):
        return [_named(row) for row in data.to_dict("records")]
    if isinstance(data, Mapping):
        return [_named(row) for row in _of_columns({name: plain(values) for name, values in data.items()})]
    values = _listed(data)
    return [_named(row) if isinstance(row, Mapping) else {_UNNAMED: row} for row in values]


def output_rows(predictions: Any, rows: int) -> list[Any] | None:
    """Return the answer to each of a request's rows; ``None`` if the answer cannot be told apart by rows.

    One answer to several rows is that of each.
    """
    if predictions is None:
        return [None] * rows
    if _is_frame(predictions):
        found: list[Any] = input_rows(predictions)
    elif isinstance(predictions, Mapping):
        found = _of_columns({name: plain(values) for name, values in predictions.items()})
    else:
        found = _listed(predictions)
    if len(found) == rows:
        return found
    if len(found) == 1:
        return found * rows
    return [found] if rows == 1 else None


def plain(value: Any) -> Any:
    """Return a value as JSON has it; missing, NaN and infinite values are null, times are ISO 8601."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, dt.date | dt.time) and type(value).__name__ not in _MISSING:
        return value.isoformat()
    if hasattr(value, "toarray"):
        value = value.toarray()  # a sparse matrix
    if getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
        value = value.astype(str)  # of nanoseconds, a list would be integers
    if hasattr(value, "tolist") and not isinstance(value, str | int | float):
        return plain(value.tolist())
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None or type(value).__name__ in _MISSING:
        return None
    if isinstance(value, float | decimal.Decimal):
        return float(value) if math.isfinite(value) else None
    text = value if isinstance(value, str | int) else str(value)
    return None if text == "NaT" else text


def _is_frame(data: Any) -> bool:
    return hasattr(data, "to_dict") and hasattr(data, "columns")


def _listed(values: Any) -> list[Any]:
    """Return values by row; anything that is no list is one row."""
    found = plain(values.to_list() if hasattr(values, "to_list") else values)
    return found if isinstance(found, list) else [found]


def _of_columns(columns: dict[str, Any]) -> list[dict[str, Any]]:
    lengths = {len(values) for values in columns.values() if isinstance(values, list)}
    if len(lengths) != 1:
        return [columns]
    return [
        {name: values[row] if isinstance(values, list) else values for name, values in columns.items()}
        for row in range(lengths.pop())
    ]


def _named(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): plain(value) for name, value in row.items()}
