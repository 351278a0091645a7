"""Canonical form of values: the same value is the same text, and the same hash, whatever type stored it.

Used wherever values are hashed, joined or compared: the split into training and hold-out, predictions with
labels, classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

HASH_KEY = "airflow_mlops_v1"  # 16 characters; changing it would hold back other rows
_TEXT = pa.large_string()
_NEAR = 9.0e18
"""Whole numbers below this are 64-bit integers without a doubt."""
_EXACT = 2.0**53
_WORD = (1 << 64) - 1
_Numbers = np.ndarray[Any, np.dtype[np.float64]]
_Words = np.ndarray[Any, np.dtype[np.uint64]]


def canonical(values: Any) -> pa.Array:
    """Return each value as text, null where there is none.

    Whole numbers are digits (``5``, 5.0, 5.00 and true alike: ``1`` and ``0`` for booleans), other numbers
    the shortest text of the nearest double. Times are ISO 8601 in UTC without zeros at the end, a midnight
    is its date; a time without zone counts as UTC. Text stays as it is. NaN is null.

    :param values: Arrow, pandas or numpy values, or a sequence.
    """
    values = arrow_of(values)
    if isinstance(values, pa.ChunkedArray):
        return pa.concat_arrays([pa.nulls(0, _TEXT), *(canonical(chunk) for chunk in values.chunks)])
    kind = values.type
    if pa.types.is_floating(kind):
        return _float_text(_floats(values))
    if pa.types.is_decimal(kind):
        return _decimal_text(values)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return _time_text(values)
    if _is_number(kind) or _is_text(kind) or pa.types.is_null(kind):
        return pc.cast(pc.cast(values, pa.int8()) if pa.types.is_boolean(kind) else values, _TEXT)
    return pa.array([None if value is None else _said(value) for value in values.to_pylist()], _TEXT)


def is_missing(values: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where there is no value: null, or NaN."""
    return np.asarray(pc.is_null(arrow_of(values), nan_is_null=True), dtype=bool)


def row_hashes(table: pa.Table) -> _Words:
    """Return a hash of each row, of the canonical values of its columns, in their order.

    Numbers are hashed as 64-bit integers where they are whole, else in single precision, so that a value has
    one hash in every width; all else as its canonical text; null is a value of its own.
    """
    columns = {place: _hashable(column) for place, column in enumerate(table.columns)}
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(columns), index=False, hash_key=HASH_KEY))


def arrow_of(values: Any) -> pa.Array | pa.ChunkedArray:
    """Return values as Arrow has them, without dictionaries, views, extension types; mixed ones as text."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        try:
            values = pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return pa.array([_alone(value) for value in values], _TEXT)
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return arrow_of(pc.cast(values, kind.storage_type))
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return arrow_of(pc.cast(values, kind.value_type))
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):  # for which Arrow lacks functions
        return pc.cast(values, _TEXT if pa.types.is_string_view(kind) else pa.large_binary())
    return values


def _alone(value: Any) -> str | None:
    """Return a value that does not fit beside the others as text."""
    try:
        found = pa.array([value], from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _said(value)
    text: str | None = canonical(found)[0].as_py()
    return text


def _said(value: Any) -> str:
    """Return bytes as their text, or hexadecimal digits if they are none, else what Python prints."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _floats(values: Any) -> _Numbers:
    """Return numbers as doubles, NaN for null."""
    doubles = pc.cast(values, pa.float64(), safe=False)
    return np.asarray(pc.fill_null(doubles, float("nan")), dtype=np.float64)


def _float_text(floats: _Numbers) -> pa.Array:
    whole = np.isfinite(floats) & (floats == np.trunc(floats))
    near = whole & (np.abs(floats) < _NEAR)
    digits = pc.cast(pa.array(np.where(near, floats, 0).astype(np.int64)), _TEXT)
    text = pc.if_else(pa.array(near), digits, pc.cast(pa.array(floats, from_pandas=True), _TEXT))
    return _replaced(text, {int(i): str(int(floats[i])) for i in np.flatnonzero(whole & ~near)})


def _decimal_text(values: pa.Array) -> pa.Array:
    """Return whole decimals with all their digits, others as the nearest double."""
    if values.type.scale < 0:
        text = pa.array([None if v is None else f"{v:f}" for v in values.to_pylist()], _TEXT)
    else:
        text = pc.replace_substring_regex(pc.cast(values, _TEXT), r"(\.\d*?)0+$", r"\1")
    text = pc.replace_substring_regex(pc.replace_substring_regex(text, r"\.$", ""), "^-0$", "0")
    is_whole = pc.invert(pc.match_substring(text, "."))
    return pc.if_else(is_whole, text, _float_text(_floats(pc.cast(text, pa.float64()))))


def _time_text(values: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(values.type):
        values = pc.cast(pc.cast(values, pa.int64()), pa.timestamp(values.type.unit))
    elif pa.types.is_date64(values.type):
        values = pc.cast(values, pa.timestamp("ms"))
    text = pc.replace_substring_regex(pc.cast(values, _TEXT), r"(\.\d*?)0+$", r"\1")
    return pc.replace_substring_regex(pc.replace_substring_regex(text, r"\.$", ""), " 00:00:00$", "")


def _replaced(text: pa.Array, other: dict[int, str]) -> pa.Array:
    if not other:
        return text
    listed = text.to_pylist()
    for place, value in other.items():
        listed[place] = value
    return pa.array(listed, _TEXT)


def _hashable(column: Any) -> Any:
    """Return what pandas hashes: 64-bit words of numbers, text of anything else."""
    values = arrow_of(column)
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if not _is_number(values.type):
        return canonical(values).to_numpy(zero_copy_only=False)
    words, missing = _words(values), is_missing(values)
    if not missing.any():
        return words
    codes, known = pd.factorize(words)
    return pd.Categorical.from_codes(np.where(missing, -1, codes), categories=pd.Index(known))


def _words(values: pa.Array) -> _Words:
    """Return numbers as 64-bit words; what stands for a null is undefined."""
    if pa.types.is_boolean(values.type) or pa.types.is_integer(values.type):
        is_wide = pa.types.is_uint64(values.type)
        whole = pc.fill_null(pc.cast(values, pa.uint64() if is_wide else pa.int64()), 0)
        return np.asarray(whole).view(np.uint64)
    if pa.types.is_floating(values.type):
        floats, text = _floats(values), None
    else:
        text = _decimal_text(values)
        floats = _floats(pc.cast(text, pa.float64()))
    whole = np.isfinite(floats) & (floats == np.trunc(floats))
    near = whole & (np.abs(floats) < (_NEAR if text is None else _EXACT))
    with np.errstate(over="ignore"):
        single = floats.astype(np.float32).astype(np.float64)
    words = np.where(np.isinf(single), floats, single).view(np.uint64)
    words[near] = floats[near].astype(np.int64).view(np.uint64)
    for place in np.flatnonzero(whole & ~near):
        words[place] = int(floats[place] if text is None else text[int(place)].as_py()) & _WORD
    return words
