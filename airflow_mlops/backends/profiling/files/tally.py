"""Tallies: what is counted of one column while batches go by; each ends as a ``Column``."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.backends.profiling.files import kernels
from airflow_mlops.backends.profiling.files.bins import (
    ALL_THERE,
    decode_dictionary,
    finite,
    grid_of,
    numbers_of,
    validity,
)
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.sketch import (
    FNV,
    REGISTERS,
    VALUES_SAMPLED,
    join_heavy_hitters,
    pack_registers,
)

_ONCE = np.zeros(0, np.int64)


def tally(empty: Column) -> NullTally:
    """Return the tally for a column of this kind.

    :param empty: the column without counts, with the bins to count in.
    """
    if empty.kind.is_numeric:
        return NumberTally(empty)
    return {Kind.STRING: TextTally, Kind.BOOLEAN: FlagTally}.get(empty.kind, NullTally)(empty)


class NullTally:
    """Counts values and nulls: all that can be said of a type without an order or names."""

    def __init__(self, empty: Column) -> None:
        self.empty, self.nulls, self.other = empty, 0, 0

    def add(self, values: Any) -> None:
        """Count one batch."""
        self.nulls += values.null_count
        self.other += len(values) - values.null_count

    def column(self) -> Column:
        """Return what was counted."""
        return replace(self.empty, nulls=self.nulls, other=self.other)


class FlagTally(NullTally):
    """Counts true and false."""

    def __init__(self, empty: Column) -> None:
        super().__init__(empty)
        self.true = 0

    def add(self, values: Any) -> None:
        """Count one batch."""
        super().add(values)
        self.true += pc.sum(decode_dictionary(values)).as_py() or 0

    def column(self) -> Column:
        """Return what was counted."""
        return replace(
            self.empty, nulls=self.nulls, categories={"false": self.other - self.true, "true": self.true}
        )


class NumberTally(NullTally):
    """Counts numbers and datetimes in bins, adds up moments, notes distinct integers."""

    def __init__(self, empty: Column) -> None:
        super().__init__(empty)
        (low, scale), self.start = grid_of(empty.edges)
        self.grid = np.array([low, scale, empty.origin])
        self.borders = np.array([*empty.edges, math.inf])
        self.counts = np.zeros(len(self.borders), np.int64)
        self.sums = np.array([math.inf, -math.inf, 0.0, 0.0])
        self.seen = np.zeros(3, np.int64)
        self.registers = np.zeros(REGISTERS, np.uint8)

    def add(self, values: Any) -> None:
        """Count one batch."""
        if pa.types.is_null(values.type):
            self.seen[0] += len(values)
            return
        values = decode_dictionary(values)
        (numbers, whole), bits = numbers_of(values, self.empty.kind), validity(values)
        kernels.tally_numbers(
            numbers,
            bits,
            values.offset,
            self.borders,
            self.grid,
            self.start,
            self.counts,
            self.sums,
            self.seen,
        )
        if whole is not None:
            kernels.tally_distinct(whole, bits, values.offset, self.registers)

    def column(self) -> Column:
        """Return what was counted."""
        least, greatest, total, squares = self.sums.tolist()
        nulls, nans, infinite = self.seen.tolist()
        return replace(
            self.empty,
            nulls=nulls + nans,
            nans=nans,
            infinite=infinite,
            minimum=least if least <= greatest else None,
            maximum=greatest if least <= greatest else None,
            total=finite(total),
            total_squares=finite(squares),
            counts=tuple(self.counts.tolist()),
            registers=pack_registers(self.registers),
        )


class TextTally(NullTally):
    """Counts texts: those with a bin exactly, the heavy hitters of the others within a stated error."""

    def __init__(self, empty: Column) -> None:
        super().__init__(empty)
        self.index = np.full(kernels.TEXT_SLOTS, -1, np.int16)
        size = kernels.TEXTS_COUNTED + len(empty.categories or ())
        self.keys, self.counts = np.zeros(size, np.uint64), np.zeros(size, np.int64)
        self.rows = np.zeros(size, np.int64)
        self.sums = np.array([math.inf, -math.inf, 0.0, 0.0])
        self.seen = np.array([0, 0, 0, 0, 0, np.iinfo(np.int64).max])
        self.registers = np.zeros(REGISTERS, np.uint8)
        self.names: dict[int, str] = {}
        self.codes: tuple[Any, Any] | None = None
        self._reserve(list(empty.categories or ()))

    def _reserve(self, categories: list[str]) -> None:
        """Make the bins the table's first entries; what the loop notes of them is taken back."""
        if categories:
            self._count(pa.array(categories, pa.large_string()), _ONCE)
        self.seen[:5] = [0, 0, self.seen[2], 0, self.seen[2]]
        self.counts[:] = 0
        self.registers[:] = 0
        self.sums[:] = [math.inf, -math.inf, 0.0, 0.0]
        self.names = {}

    def add(self, values: Any) -> None:
        """Count one batch; codes of a dictionary are counted until another dictionary comes."""
        if pa.types.is_null(values.type):
            self.seen[0] += len(values)
        elif not pa.types.is_dictionary(values.type):
            self._count(pc.cast(values, pa.large_string()), _ONCE)
        else:
            self._count_codes(values)

    def _count_codes(self, values: Any) -> None:
        dictionary = values.dictionary
        if self.codes is None or not self.codes[0].equals(dictionary):
            self._flush()
            self.codes = dictionary, np.zeros(len(dictionary), np.int64)
        indices = pc.cast(values.indices, pa.int32())
        codes = np.frombuffer(indices.buffers()[1], np.int32)[indices.offset : indices.offset + len(indices)]
        self.seen[0] += kernels.tally_codes(codes, validity(indices), indices.offset, self.codes[1])

    def _flush(self) -> None:
        if self.codes is not None:
            texts, weights = self.codes
            self._count(pc.cast(texts, pa.large_string()), weights)
            self.codes = None

    def _count(self, texts: Any, weights: Any) -> None:
        hashes, lengths = np.empty(len(texts), np.uint64), np.empty(len(texts), np.int64)
        _, starts, data = texts.buffers()
        starts = np.frombuffer(starts, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        data = np.frombuffer(data, np.uint8) if data is not None and data.size else ALL_THERE
        kernels.measure_text(starts, data, hashes, lengths)
        self.rows[:] = -1  # no entry is new to this batch yet
        table = self.index, self.keys, self.counts, self.rows
        kernels.tally_text(
            hashes,
            lengths,
            weights,
            validity(texts),
            texts.offset,
            table,
            self.registers,
            self.sums,
            self.seen,
        )
        self._name(texts)

    def _name(self, texts: Any) -> None:
        """Give the entries first met in this batch their names; forget those of entries given up."""
        bins, entries = int(self.seen[4]), int(self.seen[2])
        keys = self.keys[bins:entries].tolist()
        fresh = {keys[i]: int(self.rows[bins + i]) for i in np.nonzero(self.rows[bins:entries] >= 0)[0]}
        texts = texts.take(pa.array(fresh.values(), pa.int64())).to_pylist()
        known = self.names | dict(zip(fresh, texts, strict=True))
        self.names = {key: known[key] for key in keys}

    def column(self) -> Column:
        """Return what was counted."""
        self._flush()
        nulls, values, entries, cut, bins, _ = self.seen.tolist()
        counts, keys = self.counts.tolist(), self.keys.tolist()
        found = {self.names[keys[i]]: counts[i] for i in range(bins, entries)}
        heavy_hitters, left_out = join_heavy_hitters(found, {})
        known = sum(counts[:bins])
        sampled = sorted(zip(keys[bins:entries], counts[bins:entries], strict=True))[:VALUES_SAMPLED]
        return replace(
            self.empty,
            nulls=nulls,
            minimum=self.sums[0].item() if values else None,
            maximum=self.sums[1].item() if values else None,
            total=self.sums[2].item(),
            total_squares=self.sums[3].item(),
            categories=dict(zip(self.empty.categories or (), counts, strict=False)),
            other=values - known,
            heavy_hitters=heavy_hitters,
            heavy_hitters_error=cut + left_out,
            value_sample={f"{key:016x}": count for key, count in sampled},
            value_hash=FNV,
            registers=pack_registers(self.registers),
        )
