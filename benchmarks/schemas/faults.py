"""Faults that a schema has to find, each put into one column of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

Broken = tuple[str, str, pa.Table]
SCALES, NULLS = (100, 1000), (0.3, 0.6, 1.0)


def faults(table: pa.Table, rng: np.random.Generator) -> Iterator[Broken]:
    """Yield the fault, its column and the broken window; columns of keys, times and single values too."""
    yield "column too many", "table", table.append_column("further", pa.array(np.arange(len(table))))
    for field in table.schema:
        yield from _of_column(table, field, rng)


def duplicated(table: pa.Table, name: str, share: float = 0.05) -> Broken:
    """Repeat some rows, as a load that ran twice does."""
    rows = pa.concat_tables([table, table.slice(0, max(1, int(len(table) * share)))])
    return "key repeated in 5 %", name, rows


def _of_column(table: pa.Table, field: pa.Field, rng: np.random.Generator) -> Iterator[Broken]:
    name, values = field.name, table.column(field.name)
    yield "column missing", name, table.drop_columns([name])
    if values.null_count < 0.1 * len(values):
        for share in NULLS:
            gone = pa.array(rng.random(len(values)) < share)
            yield f"nulls in {share:.0%}", name, _with(table, name, pc.if_else(gone, None, values))
    if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
        yield from _of_number(table, name, values, rng)
    elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        yield "text became numbers", name, _with(table, name, pa.array(rng.normal(size=len(values))))
        if pc.count_distinct(values).as_py() <= 30:
            wrong = pa.array(rng.random(len(values)) < 0.3)
            broken = pc.if_else(wrong, pa.scalar("#N/A!", field.type), values)
            yield "category garbled in 30 %", name, _with(table, name, broken)


def _of_number(
    table: pa.Table, name: str, values: pa.ChunkedArray, rng: np.random.Generator
) -> Iterator[Broken]:
    text = [None if value is None else f"{value} mi" for value in values.to_pylist()]
    yield "number became text", name, _with(table, name, pa.array(text, pa.string()))
    known = pc.unique(values.drop_null()).to_pylist()
    if len(known) > 1 and not set(known) <= {0, 1}:
        for scale in SCALES:
            scaled = pc.multiply(values.cast(pa.float64()), float(scale))
            yield f"unit times {scale}", name, _with(table, name, scaled.cast(values.type, safe=False))
        wrong = pa.array(rng.random(len(values)) < 0.2)
        for placeholder in (-999, 99_999):
            if values.type.bit_width > 16:
                broken = pc.if_else(wrong, pa.scalar(placeholder, values.type), values)
                yield f"{placeholder} in 20 %", name, _with(table, name, broken)


def _with(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
