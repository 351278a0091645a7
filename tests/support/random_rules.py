"""Random tables with random rules, for the test that compares evaluation from a profile with that on rows."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from airflow_mlops.core.data.expectations.evaluate import COLUMN_EVALUATORS, TABLE_EVALUATORS
from airflow_mlops.core.data.expectations.rule import Rule
from airflow_mlops.core.data.expectations.types import KNOWN_TYPES, TYPE_NAMES

WORDS = ["", "a", "b", "ab", "é", "日本", "👍🏽", "true", "1", " a", "A", "nan"]
MOMENTS = [
    dt.datetime.fromisoformat(f"2013-01-{d}T{t}") for d in ("01", "02", "31") for t in ("00:00", "23:00:59")
]
MOMENTS += [dt.datetime.fromisoformat(text) for text in ("1970-01-01", "2013-01-01T00:00:00.000001")]
SINGLE = [
    (st.floats(-50, 50, width=32), pa.float32()),
    (st.floats(-50, 50, width=16), pa.float16()),
]
WHOLE = [(st.integers(-50, 50), kind) for kind in (pa.int64(), pa.int32(), pa.int16(), pa.int8())]
WHOLE += [(st.integers(0, 50), kind) for kind in (pa.uint64(), pa.uint32(), pa.uint16(), pa.uint8())]
TEXTS = [pa.string(), pa.string(), pa.large_string(), pa.string_view()]
CODES = [pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string(), ordered=True)]
DECIMALS = [pa.decimal128(10, 2), pa.decimal256(40, 2), pa.decimal32(5, 2), pa.decimal64(12, 2)]
NESTED = [
    (st.lists(st.integers(-3, 5), max_size=2), pa.list_(pa.int64())),
    (st.binary(max_size=2), pa.binary()),
    (st.times(), pa.time64("us")),
    (st.timedeltas(dt.timedelta(-9), dt.timedelta(9)), pa.duration("us")),
]
NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.1, 0.3, 2.5, 1e9, -1e9, 1e-9, 1e300, math.nan]


def _column(draw, values, kind, rows):
    strategy = draw(
        st.sampled_from(
            [values, values, st.one_of(st.none(), values), st.one_of(st.none(), st.none(), values), st.none()]
        )
    )
    if draw(st.booleans()):
        few = draw(st.lists(strategy, min_size=1, max_size=3))
        strategy = st.sampled_from(few)
    return pa.array(draw(st.lists(strategy, min_size=rows, max_size=rows)), kind)


@st.composite
def tables(draw):
    """A table with a column of each kind; few rows, so that every count matters."""
    rows = draw(st.sampled_from([1, 2, 3, 7, 12, 30]))
    numbers = st.one_of(st.sampled_from(NUMBERS), st.floats(-50, 50))
    infinite = st.sampled_from([math.inf, -math.inf, 1.0, math.nan])
    small = st.integers(-3, 5)
    moment = st.sampled_from(MOMENTS)
    zoned = moment.map(lambda m: m.replace(tzinfo=dt.UTC))
    decimals = st.sampled_from([decimal.Decimal("0.10"), decimal.Decimal("2.50")])
    unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
    cut = moment if unit in ("us", "ns") else moment.map(lambda m: m.replace(microsecond=0))
    kinds = {
        "number": (numbers, pa.float64()),
        "infinite": (st.one_of(infinite, numbers), pa.float64()),
        "single": draw(st.sampled_from(SINGLE)),
        "whole": draw(st.sampled_from(WHOLE)),
        "flag": (st.integers(0, 1), pa.int64()),
        "code": (small, pa.int64()),
        "big": (st.sampled_from([2**53 - 1, 2**53, -(2**53), 3]), pa.int64()),
        "truth": (st.booleans(), pa.bool_()),
        "text": (st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), draw(st.sampled_from(TEXTS))),
        "word": (st.sampled_from(WORDS[:4]), draw(st.sampled_from(CODES))),
        "moment": (cut, pa.timestamp(unit)),
        "zoned": (zoned, pa.timestamp("us", "UTC")),
        "date": (moment.map(lambda m: m.date()), draw(st.sampled_from([pa.date32(), pa.date64()]))),
        "money": (decimals, draw(st.sampled_from(DECIMALS))),
        "nothing": (st.none(), pa.null()),
        "pairs": draw(st.sampled_from(NESTED)),
    }
    return pa.table({name: _column(draw, values, kind, rows) for name, (values, kind) in kinds.items()})


def _near(values):
    """Limits that lie on, just beside and far from values of the column."""
    finite = [v for v in values if isinstance(v, int | float) and math.isfinite(v)] or [0]
    on = st.sampled_from(finite)
    return st.one_of(
        on, on, st.integers(-60, 60), st.floats(-60, 60), on.map(lambda v: math.nextafter(v, 9e9)), st.none()
    )


def _limits(draw, table, name, *, whole=False):
    values = table.column(name).to_pylist() if name in table.column_names else [0]
    if name in ("moment", "zoned", "date"):
        shape = draw(st.sampled_from(["date", "moment", "zoned", name, name, name]))
        drawn = [draw(st.one_of(st.none(), st.sampled_from(MOMENTS))) for _ in range(2)]
        texts = [None if m is None else _text(m, shape) for m in drawn]
        low, high = sorted(texts) if None not in texts else texts
    else:
        near = st.one_of(st.none(), st.integers(0, 31)) if whole else _near(values)
        pair = [draw(near), draw(near)]
        low, high = sorted(pair) if None not in pair else pair
    found = {"min_value": low, "max_value": high}
    found |= {"strict_min": draw(st.booleans()), "strict_max": draw(st.booleans())}
    keep = draw(st.sampled_from([{"min_value", "max_value"}, set(found)]))
    return {key: value for key, value in found.items() if key in keep and value is not None}


def _text(moment, shape):
    if shape == "date":
        return moment.date().isoformat()
    return (moment.replace(tzinfo=dt.UTC) if shape == "zoned" else moment).isoformat()


def _set(draw, table, name, least):
    values = [v for v in table.column(name).to_pylist() if v is not None and not isinstance(v, list)]
    there = st.sampled_from(values) if values else st.just(0)
    own = st.lists(there, min_size=least if values else 0, max_size=6, unique=True)
    kind = draw(st.sampled_from(["own", "own", "more", "mixed"]))
    found = draw(own)
    if kind == "more":
        found += draw(st.lists(st.sampled_from(WORDS if name in ("text", "word") else [0, 1, 7]), max_size=4))
    if kind == "mixed":
        found += draw(st.lists(st.sampled_from([0, "a", True, 1.0, 2.5]), max_size=2))
    return [
        v.isoformat() if isinstance(v, dt.date) else float(v) if isinstance(v, decimal.Decimal) else v
        for v in found
    ]


VALUED = ("word", "text", "flag", "code", "truth")
FITTING = {
    "_set": VALUED,
    "unique": (*VALUED, "whole"),
    "lengths": ("word", "text"),
    "between": ("number", "whole", "single", "code", "moment", "zoned", "date", "infinite", "money"),
}
MOSTLY = ({}, {}, {"mostly": 1.0}, {"mostly": 0.5}, {"mostly": 0.95}, {"mostly": 0})


def _about_table(draw, table, kind):
    there = table.column_names
    if "columns_to_match" in kind:
        names = draw(st.sampled_from([there, there[:-1], [*there, "z"], there[::-1]]))
        exact = draw(st.sampled_from([{}, {"exact_match": False}, {"exact_match": True}]))
        return {"column_list": names} if kind.endswith("list") else {"column_set": names, **exact}
    if kind.endswith("equal"):
        return {"value": draw(st.sampled_from([table.num_rows, table.num_columns, 5]))}
    found = _limits(draw, table, "row", whole=True)
    return found if "row_count" in kind else {k: v for k, v in found.items() if "value" in k}


def _existence(draw, name):
    index = draw(st.sampled_from([None, 0, 1, -1, 99]))
    column = {"column": draw(st.sampled_from([name, "absent"]))}
    return column if index is None else column | {"column_index": index}


def _types(draw, kind):
    if kind.endswith("of_type"):
        return {"type_": draw(st.sampled_from([*sorted(KNOWN_TYPES), "Timestamp"]))}
    some = st.lists(st.sampled_from(sorted(KNOWN_TYPES)), min_size=1, max_size=3)
    return {"type_list": draw(st.one_of(st.none(), st.sampled_from([*TYPE_NAMES.values()]), some))}


def _share_limits(draw):
    low, high = sorted(draw(st.sampled_from([0, 0.5, 1 / 3, 1])) for _ in range(2))
    return {"min_value": low, "max_value": high}


def _arguments(draw, table, name, kind):
    if kind.endswith("_set"):
        ties = {"ties_okay": draw(st.booleans())} if "most_common" in kind else {}
        least = int("distinct_values_to_be_in_set" in kind)  # of an empty set the rows decide
        return ties | {"value_set": _set(draw, table, name, least)}
    if "proportion" in kind:
        return _share_limits(draw)
    if kind.endswith("lengths_to_equal"):
        return {"value": draw(st.integers(0, 4))}
    if "lengths" in kind or "count" in kind:
        return _limits(draw, table, "row", whole=True)
    return _limits(draw, table, name) if "between" in kind else {}


def _kwargs(draw, table, kind):
    if kind.startswith("expect_table_"):
        return _about_table(draw, table, kind)
    fitting = next((names for part, names in FITTING.items() if part in kind), tuple(table.column_names))
    name = draw(st.sampled_from([*fitting * 6, *table.column_names]))
    if kind == "expect_column_to_exist":
        return _existence(draw, name)
    asked = _types(draw, kind) if "type" in kind else _arguments(draw, table, name, kind)
    per_row = kind.startswith(("expect_column_values_", "expect_column_value_"))
    return {"column": name} | asked | (draw(st.sampled_from(MOSTLY)) if per_row else {})


@st.composite
def large_tables(draw):
    """The same columns with so many values that cells hold several and not every text is named."""
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    rows = draw(st.sampled_from([2000, 5000]))
    numbers, seconds = rng.normal(size=rows) * 20, rng.integers(0, 10**8, rows)
    words = np.minimum(rng.zipf(1.5, rows), 4000)
    texts = {"text": [f"k{n}" for n in rng.integers(0, 3000, rows)], "word": [f"w{n}" for n in words]}
    found = {
        "number": numbers,
        "infinite": np.where(rng.random(rows) < 0.01, np.inf, numbers),
        "single": numbers.astype(np.float32),
        "whole": rng.integers(-500, 500, rows),
        "flag": rng.integers(0, 2, rows),
        "code": rng.integers(-3, 6, rows),
        "big": rng.integers(-(2**62), 2**62, rows),
        "truth": rng.random(rows) < 0.3,
        **texts,
        "moment": (seconds * 10**6 + rng.integers(0, 10**6, rows)).astype("datetime64[us]"),
        "date": (seconds // 86400).astype("datetime64[D]"),
        "money": [decimal.Decimal(int(n)) / 100 for n in rng.integers(0, 999, rows)],
    }
    missing = rng.random(rows) < draw(st.sampled_from([0.0, 0.1]))
    table = pa.table({name: pa.array(values, mask=missing) for name, values in found.items()})
    table = table.append_column("zoned", table["moment"].cast(pa.timestamp("us", "UTC")))
    empty = {"nothing": pa.nulls(rows), "pairs": [[1]] * rows}
    return pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **empty})


@st.composite
def tables_with_rules(draw, each=1, tables=tables):
    """A table and so many rules of each type that a profile may answer."""
    table = draw(tables())
    kinds = sorted([*COLUMN_EVALUATORS, *TABLE_EVALUATORS]) * each
    return table, [Rule(type=kind, kwargs=_kwargs(draw, table, kind)) for kind in kinds]
