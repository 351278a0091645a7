"""Bins that the values of a column are counted in: those of a reference, or found from some of the rows."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.core.data.profile.column import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_mlops.core.data.profile.profile import Profile

_CATEGORY_BINS = 1000
_RARE_SHARE = 1e-3
"""Of a column with more than ``_CATEGORY_BINS`` values only those with a larger share get a bin."""
_EXACT_DIGITS = 15
"""Whole numbers of so many digits are exact as floats, so that one division rounds correctly."""

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


def kind_of(arrow_type: pa.DataType) -> Kind:
    """Return what a column of this Arrow type holds."""
    if pa.types.is_dictionary(arrow_type):
        return kind_of(arrow_type.value_type)
    tests = {
        Kind.BOOLEAN: (pa.types.is_boolean,),
        Kind.INTEGER: (pa.types.is_integer,),
        Kind.NUMBER: (pa.types.is_floating, pa.types.is_decimal),
        Kind.STRING: (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        Kind.DATETIME: (pa.types.is_timestamp, pa.types.is_date),
    }
    return next((k for k, checks in tests.items() if any(c(arrow_type) for c in checks)), Kind.UNSUPPORTED)


def numbers_of(values: Any, kind: Kind) -> tuple[Numbers, Integers | None]:
    """Return values as float64, datetimes as epoch seconds, and whole numbers as they are stored.

    What stands for a null is undefined; :func:`validity` tells which these are.
    """
    if pa.types.is_decimal(values.type):
        return _rounded(values), None
    if kind is Kind.NUMBER or pa.types.is_floating(values.type):
        floats = values if pa.types.is_float64(values.type) else pc.cast(values, pa.float64(), safe=False)
        return _buffer(floats, np.float64), None
    if kind is Kind.INTEGER:
        whole = _buffer(pc.cast(values, pa.int64(), safe=False), np.int64)
        unsigned = pa.types.is_uint64(values.type)
        return _frozen(
            whole.view(np.uint64).astype(np.float64) if unsigned else whole.astype(np.float64)
        ), whole
    stamps = values if pa.types.is_timestamp(values.type) else pc.cast(values, pa.timestamp("s"))
    whole = _buffer(pc.cast(stamps, pa.int64()), np.int64)
    return _frozen(whole / {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[stamps.type.unit]), whole


def _rounded(values: Any) -> Any:
    """Return decimals as the nearest floats, as databases do; Arrow's own cast is off for up to 40 %."""
    kind = values.type
    data = values.buffers()[1]
    if pa.types.is_decimal128(kind) and kind.precision <= _EXACT_DIGITS and kind.scale >= 0 and data:
        words = np.frombuffer(data, np.int64)[::2]
        return _frozen(words[values.offset : values.offset + len(values)] / 10.0**kind.scale)
    return _buffer(pc.cast(pc.cast(values, pa.string()), pa.float64()), np.float64)


def _buffer(values: Any, dtype: Any) -> Any:
    """Return the fixed-width values of an array without copying."""
    data = values.buffers()[1]
    if data is None or not len(values):
        return _frozen(np.zeros(len(values), dtype))
    return np.frombuffer(data, dtype)[values.offset : values.offset + len(values)]


def _frozen(array: Any) -> Any:
    """Forbid writing, as to Arrow's own memory: compiled loops are compiled once a type."""
    array.setflags(write=False)
    return array


ALL_THERE = _frozen(np.zeros(0, np.uint8))


def validity(values: Any) -> Any:
    """Return the bitmap of values that are there; empty if all are."""
    bits = values.buffers()[0] if values.null_count else None
    return np.frombuffer(bits, np.uint8) if bits is not None else ALL_THERE


def empty_column(field: pa.Field, first: pa.ChunkedArray | None, reference: Column | None) -> Column:
    """Return a column without counts; of text with the bins to count a field in.

    :param first: some of its rows, needed for text without a reference.
    """
    kind = kind_of(field.type)
    known = reference if reference is not None and _fits(reference, kind) else None
    kind = known.kind if known and pa.types.is_null(field.type) else kind
    empty = {"name": field.name, "kind": kind, "arrow_type": str(field.type)}
    if kind is Kind.BOOLEAN:
        return Column(**empty, categories={"false": 0, "true": 0})
    if kind is not Kind.STRING:
        return Column(**empty)
    if known:
        names, listed_above = tuple(known.categories or ()), known.listed_above
    else:
        names, listed_above = _common(first)
    return Column(**empty, categories=dict.fromkeys(names, 0), listed_above=listed_above)


def needs_rows(field: pa.Field, reference: Profile | None) -> bool:
    """Say whether a field's bins have to be found from the window's own rows."""
    kind, known = kind_of(field.type), reference.column(field.name) if reference else None
    return kind is Kind.STRING and (known is None or not _fits(known, kind))


def _fits(reference: Column, kind: Kind) -> bool:
    """Say whether a reference's bins can hold this kind; a reference without values has none."""
    if reference.kind is not Kind.UNSUPPORTED and kind is Kind.UNSUPPORTED:
        return True
    return reference.kind.is_like(kind) and bool(reference.edges or reference.categories or reference.other)


def decode_dictionary(values: Any) -> Any:
    """Return values instead of dictionary codes."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _common(first: pa.ChunkedArray | None) -> tuple[tuple[str, ...], float]:
    if first is None:
        return (), 0.0
    counted = pc.value_counts(
        pc.drop_null(pc.cast(decode_dictionary(first.combine_chunks()), pa.large_string()))
    )
    counts = dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
    return frequent(counts, len(first))


def frequent(counts: Mapping[str, int], values: int) -> tuple[tuple[str, ...], float]:
    """Return which texts get a bin, most frequent first, and the share above which hardly one misses it.

    All that occur get one if they are few. A value whose expected count is ``least + 2.5 sqrt(least) + 3``
    occurs less than ``least`` times with a probability below 0.5 % (Poisson).
    """
    least = _RARE_SHARE * values if sum(map(bool, counts.values())) > _CATEGORY_BINS else 1.0
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    names = tuple(name for name, count in ranked[:_CATEGORY_BINS] if count >= least)
    if len(names) == _CATEGORY_BINS and len(ranked) > _CATEGORY_BINS:
        least = max(least, ranked[_CATEGORY_BINS][1] + 1.0)
    sure = (least + 2.5 * math.sqrt(least) + 3) / max(1, sum(counts.values()))
    return names, min(1.0, sure)


def finite(value: float) -> float:
    """Return the nearest number that JSON can hold; sums of the largest floats overflow."""
    return value if math.isfinite(value) else math.copysign(sys.float_info.max, value)
