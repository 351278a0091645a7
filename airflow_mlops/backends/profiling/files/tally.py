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
    frequent,
    numbers_of,
    validity,
)
from airflow_mlops.backends.profiling.files.grid import Grid
from airflow_mlops.core.data.profile.bins import keys_of, place_bins
from airflow_mlops.core.data.profile.column import Column, Kind
from airflow_mlops.core.data.profile.sketch import (
    FNV,
    REGISTERS,
    VALUES_SAMPLED,
    join_heavy_hitters,
    pack_registers,
)

_ONCE = np.zeros(0, np.int64)


def tally(empty: Column, *, own_bins: bool = False) -> NullTally:
    """Return the tally for a column of this kind.

    :param empty: the column without counts; of text with the bins to count in.
    :param own_bins: whether bins of text may be exchanged for those that all values show to be better.
    """
    if empty.kind.is_numeric:
        return NumberTally(empty)
    if empty.kind is Kind.STRING:
        return TextTally(empty, own_bins=own_bins)
    return FlagTally(empty) if empty.kind is Kind.BOOLEAN else NullTally(empty)


class NullTally:
    """Counts values and nulls: all that can be said of a type without an order or names."""

    def __init__(self, empty: Column) -> None:
        self.empty, self.nulls, self.other = empty, 0, 0

    def add(self, values: Any) -> None:
        """Count one batch."""
        self.nulls += values.null_count
        self.other += len(values) - values.null_count

    def join(self, other: Any) -> None:
        """Count what another tally of the same column has counted."""
        self.nulls, self.other = self.nulls + other.nulls, self.other + other.other

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

    def join(self, other: Any) -> None:
        """Count what another tally of the same column has counted."""
        super().join(other)
        self.true += other.true

    def column(self) -> Column:
        """Return what was counted."""
        return replace(
            self.empty, nulls=self.nulls, categories={"false": self.other - self.true, "true": self.true}
        )


class NumberTally(NullTally):
    """Counts numbers and datetimes in cells, adds up moments, notes distinct integers."""

    def __init__(self, empty: Column) -> None:
        super().__init__(empty)
        self.grid, self.rows = Grid(), 0
        self.sums = np.array([math.inf, -math.inf, 0.0, 0.0, math.nan])
        self.seen = np.zeros(4, np.int64)
        self.registers = np.zeros(REGISTERS, np.uint8)

    def add(self, values: Any) -> None:
        """Count one batch."""
        if pa.types.is_null(values.type):
            self.seen[0] += len(values)
            return
        values = decode_dictionary(values)
        (numbers, whole), bits = numbers_of(values, self.empty.kind), validity(values)
        self._count(numbers, bits, values.offset)
        if whole is not None:
            kernels.tally_distinct(whole, bits, values.offset, self.registers)

    def _count(self, numbers: Any, bits: Any, offset: int) -> None:
        grid, passed, done = self.grid, np.empty(len(numbers), np.int64), 0
        self.rows += len(numbers)
        grid.expect(self.rows)
        if math.isnan(self.sums[4]):
            self.sums[4] = _amid(numbers[_there(numbers, bits, offset)])
        keys = numbers.view(np.int64)
        while done < len(numbers):
            done = kernels.tally_numbers(
                numbers, keys, bits, offset, done, grid.cells, grid.state, passed, self.sums, self.seen
            )
            given = passed[: grid.state[4]]
            grid.pass_on(given, np.ones(len(given), np.int64))
            if done < len(numbers):
                before = keys_of(numbers[:done][_there(numbers, bits, offset)[:done]])
                key = int(keys_of(numbers[done : done + 1])[0])
                grid.make_room(key, before, np.ones(len(before), np.int64))

    def join(self, other: Any) -> None:
        """Count what another tally of the same column has counted."""
        if math.isnan(self.sums[4]):
            self.sums[4] = other.sums[4]
        total, squares = _about(self.sums[4], other)
        self.sums[:4] = [*_ends(self.sums, other.sums), self.sums[2] + total, self.sums[3] + squares]
        self.rows, self.seen = self.rows + other.rows, self.seen + other.seen
        self.registers = np.maximum(self.registers, other.registers)
        self.grid.join(other.grid)

    def column(self) -> Column:
        """Return what was counted."""
        nulls, nans, above, below = self.seen.tolist()
        least, greatest = self.sums[:2].tolist()
        edges, counts = self._bins()
        if above or below:
            edges, counts = edges or (0.0,), counts or (0, 0)
            counts = (counts[0] + below, *counts[1:-1], counts[-1] + above)
        placed = replace(self.empty, edges=edges, counts=counts)
        total, squares = _about(placed.origin, self)
        return replace(
            placed,
            nulls=nulls + nans,
            nans=nans,
            infinite=above + below,
            minimum=least if least <= greatest else None,
            maximum=greatest if least <= greatest else None,
            total=finite(total),
            total_squares=finite(squares),
            registers=pack_registers(self.registers),
        )

    def _bins(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        lows, highs, counts = self.grid.leaves()
        if not len(lows):
            return (), ()
        return place_bins((lows, highs), counts, whole=self.empty.kind is Kind.INTEGER)


def _there(numbers: Any, bits: Any, offset: int) -> Any:
    """Say which values are finite and not null."""
    if not bits.size:
        return np.isfinite(numbers)
    valid = np.unpackbits(bits, count=offset + len(numbers), bitorder="little")[offset:]
    return np.isfinite(numbers) & valid.astype(bool)


def _amid(numbers: Any) -> float:
    """Return a value amid others, which is subtracted before they are added up; NaN if there is none."""
    some = np.sort(numbers[:: max(1, len(numbers) // 1000)])
    return float(some[len(some) // 2]) if len(some) else math.nan


def _about(origin: float, tally: NumberTally) -> tuple[float, float]:
    """Return sum and sum of squares about an origin."""
    _, _, total, squares, before = tally.sums.tolist()
    count, moved = tally.rows - int(tally.seen.sum()), before - origin
    if not count or math.isnan(before):
        return 0.0, 0.0
    return total + count * moved, squares + moved * (2 * total + count * moved)


class TextTally(NullTally):
    """Counts texts: those with a bin exactly, the heavy hitters of the others within a stated error."""

    def __init__(self, empty: Column, *, own_bins: bool) -> None:
        super().__init__(empty)
        self.own_bins = own_bins
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

    def join(self, other: Any) -> None:
        """Count what another tally of the same column has counted."""
        self._flush()
        other._flush()
        bins, entries = other.seen[4], other.seen[2]
        self.sums[:] = [*_ends(self.sums, other.sums), *(self.sums[2:] + other.sums[2:])]
        sums, values = self.sums.copy(), self.seen[1] + other.seen[1]
        if entries > bins:
            names = [other.names[key] for key in other.keys[bins:entries].tolist()]
            self._count(pa.array(names, pa.large_string()), other.counts[bins:entries].copy())
        self.counts[:bins] += other.counts[:bins]
        self.sums[:], self.seen[1] = sums, values
        self.seen[[0, 3]] += other.seen[[0, 3]]
        self.registers = np.maximum(self.registers, other.registers)

    def column(self) -> Column:
        """Return what was counted."""
        self._flush()
        nulls, values, entries, cut, bins, _ = self.seen.tolist()
        counts, keys = self.counts.tolist(), self.keys.tolist()
        places = {name: i for i, name in enumerate(self.empty.categories or ())}
        places |= {self.names[keys[i]]: i for i in range(bins, entries)}
        binned, listed_above = list(self.empty.categories or ()), self.empty.listed_above
        if self.own_bins and not cut and entries <= kernels.TEXTS_COUNTED:
            names, listed_above = frequent({name: counts[i] for name, i in places.items()}, values)
            binned = list(names)
        chosen = set(binned)
        found = {name: counts[i] for name, i in places.items() if counts[i] and name not in chosen}
        heavy_hitters, left_out = join_heavy_hitters(found, {})
        sampled = sorted(
            (keys[i], counts[i]) for name, i in places.items() if counts[i] and name not in chosen
        )[:VALUES_SAMPLED]
        return replace(
            self.empty,
            nulls=nulls,
            minimum=self.sums[0].item() if values else None,
            maximum=self.sums[1].item() if values else None,
            total=self.sums[2].item(),
            total_squares=self.sums[3].item(),
            categories={name: counts[places[name]] for name in binned},
            other=values - sum(counts[places[name]] for name in binned),
            heavy_hitters=heavy_hitters,
            heavy_hitters_error=cut + left_out,
            listed_above=listed_above,
            value_sample={f"{key:016x}": count for key, count in sampled},
            value_hash=FNV,
            registers=pack_registers(self.registers),
        )


def _ends(one: Any, other: Any) -> tuple[float, float]:
    return min(one[0], other[0]), max(one[1], other[1])
