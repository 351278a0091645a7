from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.backends.columns.canonical import canonical, is_missing, row_hashes

MOMENT = pd.Timestamp("2026-03-01 05:00:07")
MIDNIGHT = pd.Timestamp("2026-03-01")
ZURICH = pa.timestamp("us", "Europe/Zurich")
INTEGERS = [pa.int64(), pa.int32(), pa.int16(), pa.float64(), pa.float32(), pa.decimal128(22, 2), pa.uint16()]
SAME = {
    "7": [
        *(pa.array([7]).cast(kind) for kind in INTEGERS),
        pa.array([7], pa.uint64()),
        pa.array([Decimal(7)], pa.decimal128(38, 0)),
        pa.array([Decimal("7.00")], pa.decimal256(70, 30)),
        pa.array([7]).dictionary_encode(),
        pa.array([7.0], pa.float16()),
        pd.Series([7, None])[:1],
        pd.array([7], dtype="Int64"),
        np.array([7], dtype="int8"),
    ],
    "0.1": [[0.1], pa.array([Decimal("0.10")]), pd.Series([0.1, None])[:1], np.array([0.1])],
    "1": [[True], [1], [1.0], np.array([True]), pd.array([True], dtype="boolean")],
    "-9223372036854775808": [[-(2**63)], [-(2.0**63)], pa.array([Decimal(-(2**63))], pa.decimal128(38, 0))],
    "18446744073709551615": [
        pa.array([2**64 - 1], pa.uint64()),
        pa.array([Decimal(2**64 - 1)], pa.decimal128(38, 0)),
    ],
    "9007199254740993": [[2**53 + 1], pa.array([Decimal(2**53 + 1)], pa.decimal128(38, 4))],
    "öl 7": [
        *(
            pa.array(["öl 7"], kind)
            for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary())
        ),
        pa.array(["öl 7"]).dictionary_encode(),
        pd.Series(["öl 7"], dtype="category"),
        pd.Series(["öl 7"], dtype=object),
        pd.Series(["öl 7"], dtype="str"),
    ],
    "2026-03-01": [
        pa.array([dt.date(2026, 3, 1)], pa.date32()),
        pa.array([dt.date(2026, 3, 1)], pa.date64()),
        *(pa.array([MIDNIGHT], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
        pa.array([MIDNIGHT], ZURICH),
        pd.Series([pd.Timestamp("2026-03-01 01:00", tz="Europe/Zurich")]),
        pd.Series([dt.date(2026, 3, 1)]),
        ["2026-03-01"],
    ],
    "2026-03-01 05:00:07": [
        *(pa.array([MOMENT], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
        *(pa.array([MOMENT], pa.timestamp(unit, "UTC")) for unit in ("s", "ns")),
        pa.array([MOMENT], pa.timestamp("ns", "+02:00")),
        pd.Series([pd.Timestamp("2026-03-01 06:00:07+01:00")]),
    ],
}


@pytest.mark.parametrize(
    ("text", "values"), [(text, values) for text, each in SAME.items() for values in each]
)
def test_one_value_has_one_form_and_one_hash_whatever_stores_it(text, values):
    assert canonical(values).to_pylist() == [text]
    first = SAME[text][0]
    column = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    assert row_hashes(pa.table({"a": column})) == row_hashes(pa.table({"a": pa.array(first)}))


FROZEN = [
    ([0, 1, -1, 5, 2**62 + 1], [3430018387555, 11358988112447789330, 1334179124670874820]),
    (["x", "7", "é", ""], [4571117630369529765, 4303726761666185682, 17206676911514689939]),
    (["x", None, "nan"], [4571117630369529765, 18446740643690359120, 11768654513550472899]),
    ([True, False], [11358988112447789330, 3430018387555]),
]


@pytest.mark.parametrize(("values", "hashes"), FROZEN)
def test_hashes_of_integers_and_text_stay_those_of_the_first_release(values, hashes):
    assert row_hashes(pa.table({"a": values})).tolist()[: len(hashes)] == hashes


def test_hash_of_two_columns_stays_too():
    found = row_hashes(pa.table({"a": ["x", "7"], "b": [1, 2]}))
    assert found.tolist() == [5044737865458762508, 18212092358216422078]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**52), 2**52)), min_size=1))
def test_a_hash_depends_on_no_other_value_of_the_column(values):
    alone = [row_hashes(pa.table({"a": pa.array([value], pa.int64())}))[0] for value in values]
    for kind in (pa.int64(), pa.float64(), pa.decimal128(38, 3)):
        column = pa.array(values, pa.int64()).cast(kind)
        assert row_hashes(pa.table({"a": column})).tolist() == alone
        assert canonical(column).to_pylist() == [None if v is None else str(v) for v in values]


@given(st.floats(width=32, allow_nan=False))
def test_single_and_double_precision_agree(value):
    hashes = {
        int(row_hashes(pa.table({"a": pa.array([value], kind)}))[0]) for kind in (pa.float32(), pa.float64())
    }
    assert len(hashes) == 1


def test_decimal_in_a_file_and_the_double_of_a_csv_agree():
    values = ["0.10", "12345.67", "-3.30", "4.00"]
    decimals = pa.array([Decimal(v) for v in values])
    doubles = pa.array([float(v) for v in values])
    singles = doubles.cast(pa.float32())
    hashes = [row_hashes(pa.table({"a": column})).tolist() for column in (decimals, doubles, singles)]
    assert hashes[0] == hashes[1] == hashes[2]
    assert canonical(decimals).equals(canonical(doubles))


@pytest.mark.parametrize(
    "values",
    [
        pa.nulls(1),
        pa.array([None], pa.int64()),
        pa.array([float("nan")]),
        pa.array([float("nan")], pa.float16()),
        pa.array([None], pa.string()),
        pa.array([None], pa.timestamp("us", "UTC")),
        pa.array([None], pa.decimal128(5, 1)),
        pa.array([None], pa.string()).dictionary_encode(),
        pa.array([None], pa.bool_()),
    ],
)
def test_null_is_null_and_has_one_hash(values):
    assert canonical(values).to_pylist() == [None]
    assert is_missing(values).all()
    assert row_hashes(pa.table({"a": values})).tolist() == [18446740643690359120]


def test_values_of_several_types_are_taken_one_by_one():
    assert canonical(["a", 1, None, 2.5, True, 2**70]).to_pylist() == [
        "a",
        "1",
        None,
        "2.5",
        "1",
        "1180591620717411303424",
    ]


def test_odd_values_have_a_form_too():
    assert canonical([b"x", b"\xff"]).to_pylist() == ["x", "ff"]
    assert canonical([[1, 2]]).to_pylist() == ["[1, 2]"]
    assert canonical([1e20, float("inf"), -0.0]).to_pylist() == ["100000000000000000000", "inf", "0"]
    assert canonical(pa.array([Decimal(1000)], pa.decimal128(5, -2))).to_pylist() == ["1000"]
    assert canonical(pa.array([b"\x01" * 16], pa.uuid())).to_pylist() == [
        "01010101-0101-0101-0101-010101010101"
    ]
    assert canonical(pa.chunked_array([["a"], ["b"]])).to_pylist() == ["a", "b"]
    assert canonical(pa.chunked_array([], pa.int8())).to_pylist() == []
