"""The profile engine for files: one streaming pass over Arrow batches, memory bounded by one batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.backends.profiling.dataset import open_window
from airflow_mlops.core.data.column import Column, Kind
from airflow_mlops.core.data.profile import Profile
from airflow_mlops.core.data.sketch import HITTERS_KEPT
from airflow_mlops.core.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mlops.core.data.window import Window

BATCH_ROWS = 1 << 17
SKETCH_ROWS = 100_000
NUMERIC_CELLS = 64
CATEGORY_CELLS = 1000


def profile_window(window: Window, *, cells_from: Profile | None = None) -> Profile:
    """Scan a window once.

    :param cells_from: profile whose cells are used, so that the two add up and compare; columns it does
        not know, or knows as another kind, get cells from the window's first rows.
    :raises InvalidDataError: a file that cannot be read to its end.
    """
    dataset = open_window(window)
    try:
        sketch = dataset.head(SKETCH_ROWS)
        batches = dataset.to_batches(batch_size=BATCH_ROWS)
        return _profile(sketch, batches, cells_from, window.partitions)
    except (pa.ArrowInvalid, OSError) as error:
        msg = f"{window.uri}: window {window.label} cannot be read: {error}"
        raise InvalidDataError(msg) from error


def profile_table(table: pa.Table, *, cells_from: Profile | None = None) -> Profile:
    """Profile rows that are in memory already, an inference log for instance."""
    return _profile(table.slice(0, SKETCH_ROWS), table.to_batches(BATCH_ROWS), cells_from, ())


def _profile(
    sketch: pa.Table,
    batches: Iterable[pa.RecordBatch],
    cells_from: Profile | None,
    partitions: tuple[str, ...],
) -> Profile:
    tallies = {
        field.name: _tally(
            field, sketch.column(field.name), cells_from.column(field.name) if cells_from else None
        )
        for field in sketch.schema
    }
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for name, tally in tallies.items():
            tally.add(batch.column(name))
    return Profile(rows=rows, columns=tuple(t.column() for t in tallies.values()), partitions=partitions)


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


def _tally(field: pa.Field, sketch: pa.ChunkedArray, reference: Column | None) -> Any:
    kind = kind_of(field.type)
    known = reference if reference is not None and _fits(reference, kind) else None
    if kind.is_numeric:
        edges = known.edges if known else _edges(_numbers(sketch, kind))
        return _NumericTally(field, kind, edges)
    if kind is Kind.UNSUPPORTED:
        return _NullTally(field, kind)
    categories = tuple(known.categories or ()) if known else _categories(sketch)
    return _CategoryTally(field, kind, categories)


def _fits(reference: Column, kind: Kind) -> bool:
    return reference.kind is kind or (reference.kind.is_numeric and kind.is_numeric)


def _numbers(values: Any, kind: Kind) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the values that are not null as floats; datetimes as epoch seconds."""
    values = pc.drop_null(values)
    if kind is Kind.DATETIME:
        seconds = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
        return np.asarray(seconds, dtype=np.float64) / 1e6
    return np.asarray(pc.cast(values, pa.float64()), dtype=np.float64)


def _edges(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, ...]:
    """Return borders of cells that hold about equally many of the given values."""
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return ()
    quantiles = np.quantile(finite, np.linspace(0, 1, NUMERIC_CELLS + 1)[:-1], method="higher")
    return tuple(np.unique(quantiles).tolist())


def _text(values: Any) -> Any:
    return pc.cast(values.dictionary_decode() if pa.types.is_dictionary(values.type) else values, pa.string())


def _categories(sketch: pa.ChunkedArray) -> tuple[str, ...]:
    counted = pc.value_counts(pc.drop_null(_text(sketch.combine_chunks())))
    pairs = [(entry["counts"], entry["values"]) for entry in counted.to_pylist()]
    return tuple(value for _, value in sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:CATEGORY_CELLS])


class _NullTally:
    """Counts rows and nulls: all that can be said about a type without an order or names."""

    def __init__(self, field: pa.Field, kind: Kind) -> None:
        self.field, self.kind, self.nulls, self.other = field, kind, 0, 0

    def add(self, values: Any) -> None:
        self.nulls += values.null_count
        self.other += len(values) - values.null_count

    def column(self) -> Column:
        return Column(**self._common(), nulls=self.nulls, other=self.other)

    def _common(self) -> dict[str, Any]:
        return {"name": self.field.name, "kind": self.kind, "arrow_type": str(self.field.type)}


class _NumericTally(_NullTally):
    def __init__(self, field: pa.Field, kind: Kind, edges: tuple[float, ...]) -> None:
        super().__init__(field, kind)
        self.edges = np.asarray(edges)
        self.counts = np.zeros(len(edges) + 1, dtype=np.int64)
        self.nans, self.infinite = 0, 0
        self.low, self.high, self.total, self.squares = math.inf, -math.inf, 0.0, 0.0

    def add(self, values: Any) -> None:
        numbers = _numbers(values, self.kind)
        finite = numbers[np.isfinite(numbers)]
        nans = int(np.isnan(numbers).sum())
        self.infinite += len(numbers) - nans - finite.size
        self.nans += nans
        self.nulls += values.null_count + nans
        cells = np.searchsorted(self.edges, numbers[~np.isnan(numbers)], side="right")
        self.counts += np.bincount(cells, minlength=len(self.counts))
        if finite.size:
            self.low, self.high = min(self.low, finite.min()), max(self.high, finite.max())
            finite = finite - (self.edges[len(self.edges) // 2] if self.edges.size else 0.0)
            self.total += float(finite.sum())
            self.squares += float(np.dot(finite, finite))

    def column(self) -> Column:
        seen = self.low <= self.high
        return Column(
            **self._common(),
            nulls=self.nulls,
            nans=self.nans,
            infinite=self.infinite,
            minimum=float(self.low) if seen else None,
            maximum=float(self.high) if seen else None,
            total=self.total,
            total_squares=self.squares,
            edges=tuple(self.edges.tolist()),
            counts=tuple(self.counts.tolist()),
        )


class _CategoryTally(_NullTally):
    def __init__(self, field: pa.Field, kind: Kind, categories: tuple[str, ...]) -> None:
        super().__init__(field, kind)
        self.counts = dict.fromkeys(categories, 0)
        self.hitters: dict[str, int] = {}
        self.low, self.high = math.inf, -math.inf

    def add(self, values: Any) -> None:
        self.nulls += values.null_count
        counted = pc.value_counts(pc.drop_null(_text(values)))
        for value, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
            self.low, self.high = min(self.low, len(value)), max(self.high, len(value))
            if value in self.counts:
                self.counts[value] += count
            else:
                self.other += count
                if value in self.hitters or len(self.hitters) < HITTERS_KEPT:
                    self.hitters[value] = self.hitters.get(value, 0) + count

    def column(self) -> Column:
        seen = self.low <= self.high
        return Column(
            **self._common(),
            nulls=self.nulls,
            minimum=float(self.low) if seen else None,
            maximum=float(self.high) if seen else None,
            categories=self.counts,
            other=self.other,
            hitters=self.hitters,
            hitters_error=self.other - sum(self.hitters.values()),
        )
