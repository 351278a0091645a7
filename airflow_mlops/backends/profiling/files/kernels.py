"""Compiled loops of the profile pass: each reads a value once and touches nothing that grows with the rows.

They run without Python's global lock, so that row groups are scanned in parallel. Arrow's validity bitmaps
are read as they are: bit i set means value i is there; an empty bitmap means all are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from airflow_mlops.core.data.profile.sketch import VALUES_SAMPLED

if TYPE_CHECKING:
    AnyArray = np.ndarray[Any, Any]

TEXTS_CUT = 1 << 12
"""Text values without a bin whose counts are cut when there are too many (Misra-Gries)."""
_NEVER_CUT = 2 * VALUES_SAMPLED
TEXTS_COUNTED = TEXTS_CUT + _NEVER_CUT
"""Text values without a bin that are counted at a time: those, and the sampled ones."""
TEXT_SLOTS = 1 << 14
"""Slots of the index of a text table: a power of two, at least twice its entries."""
VALUE_START, VALUE_PLAIN, VALUE_QUOTED, VALUE_CLOSED = 0, 1, 2, 3
"""Where in a csv value a byte stands; after ``VALUE_CLOSED`` another quote goes on with the same value."""
_LEAST = np.int64(np.iinfo(np.int64).min)
_LINE_FEED, _RETURN = 10, 13
_PLUS, _MINUS, _COMMA, _POINT, _ZERO, _NINE = 43, 45, 44, 46, 48, 57


def compiled(function: Any) -> Any:
    """Compile on first use, and keep the result beside the file or in the user's cache where that can be."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to write: compile in each process
        return njit(nogil=True)(function)


@compiled
def tally_numbers(  # noqa: PLR0913, PLR0915 - one pass does it all
    values: AnyArray,
    bits: AnyArray,
    bitmap: AnyArray,
    offset: int,
    first: int,
    cells: AnyArray,
    state: AnyArray,
    passed: AnyArray,
    sums: AnyArray,
    seen: AnyArray,
) -> int:
    """Count values in cells and add up the sums for the moments; return how far it came.

    It stops at a value that needs a new cell when there is no room, or one in a cell that is full.

    :param values: float64. ``bits``: the same memory as int64. ``first``: where to begin.
    :param cells: open-addressed table of key and count. A count of 0 is a free slot; a negative one, -1 - n,
        a cell with n values whose further ones are passed on, to be counted in finer cells.
    :param state: shift from a value's key to its cell, cells in use, most cells, most values of a cell (any
        number if there is no shift), values passed on.
    :param passed: receives the keys passed on.
    :param sums: minimum, maximum, total, squares, origin; moments are about the origin.
    :param seen: nulls, NaN, positive infinity, negative infinity.
    """
    shift, used, most, large, given = state[0], state[1], state[2], state[3], 0
    least, greatest, total, squares, origin = sums[0], sums[1], 0.0, 0.0, sums[4]
    done = values.size
    for i in range(first, values.size):
        if bitmap.size and not (bitmap[(offset + i) >> 3] >> ((offset + i) & 7)) & 1:
            seen[0] += 1
            continue
        x = values[i]
        if not x - x == 0.0:  # noqa: SIM201 - NaN and infinity in one comparison
            seen[1 if x != x else (2 if x > 0 else 3)] += 1
            continue
        key = bits[i] if bits[i] >= 0 else _LEAST - bits[i]
        slot = _cell(cells, key >> shift)
        held = cells[slot, 1]
        if 0 < held < large:
            cells[slot, 1] = held + 1
        elif held < 0:
            passed[given] = key
            given += 1
        elif held and shift == 0:
            cells[slot, 1] = held + 1
        elif held or used == most:
            done = i
            break
        else:
            cells[slot, 0], cells[slot, 1] = key >> shift, 1
            used += 1
        least, greatest = min(least, x), max(greatest, x)
        about = x - origin
        total += about
        squares += about * about
    state[1], state[4] = used, given
    sums[0], sums[1] = least, greatest
    sums[2] += total
    sums[3] += squares
    return done


@compiled
def count_keys(
    keys: AnyArray, weights: AnyArray, first: int, cells: AnyArray, state: AnyArray, passed: AnyArray
) -> int:
    """Count keys as :func:`tally_numbers` does values; ``passed`` receives the places of those passed on."""
    shift, used, most, large, given = state[0], state[1], state[2], state[3], 0
    i = first
    while i < keys.size:
        slot = _cell(cells, keys[i] >> shift)
        held = cells[slot, 1]
        if held < 0:
            passed[given] = i
            given += 1
        elif (held == 0 and used == most) or (held and shift and held + weights[i] > large):
            break
        else:
            if held == 0:
                cells[slot, 0] = keys[i] >> shift
                used += 1
            cells[slot, 1] = held + weights[i]
        i += 1
    state[1], state[4] = used, given
    return i


@compiled
def _cell(cells: AnyArray, key: np.int64) -> np.int64:
    """Return the slot of a cell, or the free one where it belongs (linear probing)."""
    last = len(cells) - 1
    slot = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & last
    while cells[slot, 1] != 0 and cells[slot, 0] != key:
        slot = (slot + 1) & last
    return slot


@compiled
def tally_codes(codes: AnyArray, bitmap: AnyArray, offset: int, counts: AnyArray) -> int:
    """Count dictionary codes; return how many are null."""
    nulls = 0
    for i in range(codes.size):
        if bitmap.size and not (bitmap[(offset + i) >> 3] >> ((offset + i) & 7)) & 1:
            nulls += 1
        else:
            counts[codes[i]] += 1
    return nulls


@compiled
def follow_quotes(text: AnyArray, state: int, quote: int, delimiter: int) -> tuple[int, int]:
    """Return where in a csv value a text ends, and where the last row ends that ends in it, 0 if none does.

    :param state: where in a value the text begins: one of the ``VALUE_`` constants, as the first result.
    :param quote: the byte that quotes values; ``delimiter``: the one that separates them.
    """
    end = 0
    for i in range(text.size):
        byte = text[i]
        if state == VALUE_QUOTED:
            state = VALUE_CLOSED if byte == quote else VALUE_QUOTED
        elif byte == delimiter:
            state = VALUE_START
        elif byte in (_LINE_FEED, _RETURN):
            state, end = VALUE_START, i + 1
        elif byte == quote and state != VALUE_PLAIN:
            state = VALUE_QUOTED
        else:
            state = VALUE_PLAIN
    return state, end


@compiled
def has_leading_zeros(text: AnyArray, quote: int, delimiter: int) -> bool:
    """Say whether some csv value looks like a number with zeros before it: 00123, -01.5.

    :param text: whole rows. ``quote``: the delimiter too if values are not quoted.
    """
    if not _may_have_zeros(text, np.uint8(quote), np.uint8(delimiter)):
        return False
    for i in range(text.size - 1):
        if text[i] != _ZERO or not _ZERO <= text[i + 1] <= _NINE:
            continue
        before = i - 1
        before -= before >= 0 and (text[before] in (_PLUS, _MINUS))
        if before >= 0 and text[before] not in (quote, delimiter, _LINE_FEED, _RETURN):
            continue
        end = i + 1
        while end < text.size and (
            _ZERO <= text[end] <= _NINE or (text[end] in (_POINT, _COMMA) and text[end] != delimiter)
        ):
            end += 1
        if end == text.size or text[end] in (quote, delimiter, _LINE_FEED, _RETURN):
            return True
    return False


@compiled
def _may_have_zeros(text: AnyArray, quote: np.uint8, delimiter: np.uint8) -> bool:
    """Say whether a zero and a digit follow what may begin a value; without branches, for many at a time."""
    found = np.uint8(text.size > 1 and text[0] == _ZERO)
    for i in range(1, text.size - 1):
        before = text[i - 1]
        begins = np.uint8(before == delimiter) | np.uint8(before == quote)
        begins |= np.uint8(before == np.uint8(10)) | np.uint8(before == np.uint8(13))
        begins |= np.uint8(before == np.uint8(43)) | np.uint8(before == np.uint8(45))
        digit = np.uint8(np.uint8(text[i + 1] - np.uint8(48)) < np.uint8(10))
        found |= begins & np.uint8(text[i] == np.uint8(48)) & digit
    return bool(found)


@compiled
def _mix(h: np.uint64) -> np.uint64:
    """Spread every input bit over all output bits (the finaliser of splitmix64)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@compiled
def _register(h: np.uint64, registers: AnyArray) -> None:
    """Note a hash in a HyperLogLog sketch of 2048 registers: 1 + zeros before its first one, up to 54."""
    place, rest = h >> np.uint64(53), h << np.uint64(11)
    run = np.uint64(registers[place])
    if run and rest >> (np.uint64(64) - run):
        return  # a one too early: the register stays
    while run < np.uint64(53) and not rest >> (np.uint64(63) - run):
        run += np.uint64(1)
    registers[place] = max(np.uint64(registers[place]), run + np.uint64(1))


@compiled
def tally_distinct(values: AnyArray, bitmap: AnyArray, offset: int, registers: AnyArray) -> None:
    """Note 64-bit integers in a distinct sketch."""
    for i in range(values.size):
        if not bitmap.size or (bitmap[(offset + i) >> 3] >> ((offset + i) & 7)) & 1:
            _register(_mix(np.uint64(values[i]) + np.uint64(0x9E3779B97F4A7C15)), registers)


@compiled
def measure_text(starts: AnyArray, data: AnyArray, hashes: AnyArray, lengths: AnyArray) -> None:
    """Hash UTF-8 texts (FNV-1a, mixed) and count their characters; text i is data[starts[i]:starts[i+1]]."""
    for i in range(hashes.size):
        h, characters = np.uint64(0xCBF29CE484222325), 0
        for j in range(starts[i], starts[i + 1]):
            h = (h ^ np.uint64(data[j])) * np.uint64(0x100000001B3)
            characters += (data[j] & 0xC0) != 0x80
        hashes[i] = _mix(h)
        lengths[i] = characters


@compiled
def tally_text(
    hashes: AnyArray,
    lengths: AnyArray,
    weights: AnyArray,
    bitmap: AnyArray,
    offset: int,
    table: tuple[AnyArray, AnyArray, AnyArray, AnyArray],
    registers: AnyArray,
    sums: AnyArray,
    seen: AnyArray,
) -> None:
    """Count texts in a table of bounded size, with a distinct sketch and the moments of their lengths.

    :param weights: how often each text occurs; empty for once each. Weight 0 is passed over.
    :param table: slot to entry (-1 if free), then by entry: hash, count, row of this batch in which it was
        first met. The first ``seen[4]`` entries are those of the bins and never given up.
    :param seen: nulls, values, entries, what was cut off each entry without a bin, bins, half the hash up to
        which entries are never cut.
    """
    index, keys, counts, rows = table
    for i in range(hashes.size):
        weight = weights[i] if weights.size else 1
        if bitmap.size and not (bitmap[(offset + i) >> 3] >> ((offset + i) & 7)) & 1:
            seen[0] += weight
            continue
        if weight == 0:
            continue
        seen[1] += weight
        _register(hashes[i], registers)
        length = float(lengths[i])
        sums[0], sums[1] = min(sums[0], length), max(sums[1], length)
        sums[2] += weight * length
        sums[3] += weight * length * length
        slot = _slot(index, keys, hashes[i])
        if index[slot] < 0:
            if seen[2] == len(keys):
                _shrink(index, keys, counts, rows, seen)
                slot = _slot(index, keys, hashes[i])
            index[slot] = entry = seen[2]
            keys[entry], counts[entry], rows[entry] = hashes[i], 0, i
            seen[2] += 1
        counts[index[slot]] += weight


@compiled
def _slot(index: AnyArray, keys: AnyArray, key: np.uint64) -> np.int64:
    """Return the slot of a key, or the free one where it belongs (linear probing)."""
    slot = np.int64(key & np.uint64(len(index) - 1))
    while index[slot] >= 0 and keys[index[slot]] != key:
        slot = (slot + 1) & (len(index) - 1)
    return slot


@compiled
def _shrink(index: AnyArray, keys: AnyArray, counts: AnyArray, rows: AnyArray, seen: AnyArray) -> None:
    """Cut so much off the entries without a bin that half of TEXTS_CUT are left, the sampled ones apart.

    Misra-Gries: each cut takes as much from at least TEXTS_CUT / 2 values, so no value loses more than all
    values / (TEXTS_CUT / 2). The values with the smallest hashes are kept whole. A value among the smallest
    in the end was among the smallest at every cut, so that its count is exact.
    """
    cut, bins = 1, seen[4]
    halves = (keys[bins : seen[2]] >> np.uint64(1)).astype(np.int64)
    if (halves <= seen[5]).sum() > _NEVER_CUT:
        seen[5] = np.sort(halves)[VALUES_SAMPLED - 1]
    over = seen[2] - bins
    while over > TEXTS_CUT // 2:
        over = 0
        for entry in range(bins, seen[2]):
            over += counts[entry] > cut and halves[entry - bins] > seen[5]
        cut = cut if over <= TEXTS_CUT // 2 else cut + 1 if cut < 64 else cut * 2
    left = bins
    for entry in range(bins, seen[2]):
        whole = halves[entry - bins] <= seen[5]
        if whole or counts[entry] > cut:
            keys[left], rows[left] = keys[entry], rows[entry]
            counts[left] = counts[entry] if whole else counts[entry] - cut
            left += 1
    index[:] = -1
    for entry in range(left):
        index[_slot(index, keys, keys[entry])] = entry
    seen[2] = left
    seen[3] += cut
