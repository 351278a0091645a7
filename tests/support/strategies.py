"""Random tables of every Arrow type, and random damage to files."""

from __future__ import annotations

import datetime as dt
import string
from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

ROWS = 12
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
FEW = st.sampled_from(["a", "b", "", "long " * 20])


SMALL = pa.table(
    {
        "x": [1, 2, None, 4] * 8,
        "y": [0.5, 1.5, 2.5, float("nan")] * 8,
        "c": pa.array(["a", "b", "cc", None] * 8),
        "t": pa.array([0, 1, 2, 3] * 8, pa.timestamp("us", "UTC")),
        "n": [[1], [2, 3], None, []] * 8,
    }
)


def fuzz(examples):
    """Settings of a test with so many examples; how long one takes does not matter."""
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None)


WHOLE = [
    (kind(), st.integers(low, high) | st.sampled_from([low, high, 0, 1]))
    for bits, signed, unsigned in (
        (8, pa.int8, pa.uint8),
        (16, pa.int16, pa.uint16),
        (32, pa.int32, pa.uint32),
        (64, pa.int64, pa.uint64),
    )
    for kind, low, high in (
        (signed, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        (unsigned, 0, 2**bits - 1),
    )
]
FLOATS = [
    (pa.float16(), st.floats(width=16).map(np.float16)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats() | st.sampled_from([0.0, 1.0, 1e9])),
    (pa.decimal128(38, 10), st.decimals(-(10**20), 10**20, places=10)),
    (pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal)),
    (pa.decimal256(76, 3), st.decimals(-(10**30), 10**30, places=3)),
]
TEXTS = [(kind(), FEW | WORDS) for kind in (pa.string, pa.large_string, pa.string_view)]
MOMENTS = [
    (pa.timestamp(unit, zone), st.integers(-(2**62), 2**62) if unit == "us" else st.integers(0, 10**9))
    for unit in ("s", "ms", "us", "ns")
    for zone in (None, "UTC", "Europe/Berlin")
]
OTHERS = [
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates()),
    (pa.time64("us"), st.times()),
    (pa.duration("us"), st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000))),
    (pa.binary(), st.binary(max_size=5)),
    (pa.binary(2), st.binary(min_size=2, max_size=2)),
    (pa.null(), st.none()),
]
LEAVES = [*WHOLE, *FLOATS, *TEXTS, *MOMENTS, *OTHERS]
CODED = [(pa.dictionary(pa.int32(), kind), values) for kind, values in (TEXTS[0], WHOLE[6], FLOATS[2])]
NESTED = [
    (pa.list_(pa.int64()), st.lists(st.integers(0, 9) | st.none(), max_size=3)),
    (
        pa.struct([("a", pa.string()), ("b", pa.float64())]),
        st.fixed_dictionaries({"a": FEW, "b": st.floats()}),
    ),
    (pa.map_(pa.string(), pa.int64()), st.lists(st.tuples(FEW, st.integers(0, 9)), max_size=2)),
    (pa.list_(pa.struct([("x", pa.list_(pa.string()))])), st.just([{"x": ["deep"]}])),
]


@st.composite
def columns(draw, kinds=(*LEAVES, *CODED, *NESTED), rows=ROWS):
    arrow_type, values = draw(st.sampled_from(kinds))
    drawn = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
    if pa.types.is_dictionary(arrow_type):
        return pa.array(drawn, arrow_type.value_type).dictionary_encode()
    return pa.array(drawn, arrow_type)


@st.composite
def tables(draw, kinds=(*LEAVES, *CODED, *NESTED)):
    """A table of 1 to 4 columns and 1 to 12 rows."""
    rows = draw(st.integers(1, ROWS))
    names = draw(st.lists(WORDS | st.sampled_from(["x", "a.b"]), min_size=1, max_size=4, unique=True))
    return pa.table({name: draw(columns(kinds, rows)) for name in names})


@st.composite
def damage(draw, data):
    """Cut, overwrite, insert or repeat bytes; sometimes the file's own."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        new = draw(st.binary(max_size=6) | st.sampled_from([b'"', b",", b"\n", b"\0", b"\xff\xff\xff\x7f"]))
        how = draw(st.sampled_from(["overwrite", "insert", "cut", "repeat"]))
        if how == "overwrite":
            data = data[:at] + new + data[at + len(new) :]
        elif how == "insert":
            data = data[:at] + new + data[at:]
        elif how == "cut":
            data = data[:at]
        else:
            data = data[:at] + data[max(0, at - 20) :]
    return data


@st.composite
def edits(draw, text):
    """What a person may do to a file by mistake: lose, repeat, retype parts of lines."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        line = lines[at] if lines else ""
        key, colon, value = line.partition(":")
        how = draw(st.sampled_from(["drop", "twice", "indent", "value", "key", "character"]))
        odd = draw(st.sampled_from(ODD) | st.text(string.printable, max_size=5))
        new = {
            "drop": [],
            "twice": [line, line],
            "indent": ["  " + line],
            "value": [f"{key}{colon} {odd}"],
            "key": [f"{key}{odd}{colon}{value}"],
            "character": [line[: len(line) // 2] + odd + line[len(line) // 2 + 1 :]],
        }[how]
        lines[at : at + 1] = new
    return "\n".join(lines) + "\n"


ODD = [
    "",
    "null",
    "[]",
    "{}",
    "-1",
    "1e999",
    ".nan",
    "yes",
    "[a, {b: c}]",
    "&x *x",
    "2020-01-01",
    "!!binary x",
]
