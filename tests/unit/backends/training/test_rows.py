from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from airflow_mlops.backends.training.rows import held_back_rows, read_rows
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError
from airflow_mlops.core.training.job import DatasetSpec

ROWS = 400
SPEC = DatasetSpec(target="y", key=("id",))
DAYS = pa.array(np.arange("2024-01-01", "2025-02-04", dtype="datetime64[D]"))
HOURS = pa.array(np.arange("2024-01-01T00", "2024-01-17T16", dtype="datetime64[h]").astype("datetime64[s]"))
NUMBERS = pa.array(range(ROWS))
STORED = {
    "numbers": (
        NUMBERS,
        [pa.int32(), pa.int16(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(25, 2)],
    ),
    "cents": (
        pa.array([n / 100 + 0.001 for n in range(ROWS)]),
        [pa.float32(), pa.decimal128(10, 3)],
    ),
    "text": (
        pa.array([f"flight-{n}" for n in range(ROWS)]),
        [pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
    ),
    "days": (
        DAYS,
        [
            pa.date64(),
            pa.timestamp("s"),
            pa.timestamp("ns"),
            pa.timestamp("us", "UTC"),
            pa.timestamp("ms", "Asia/Tokyo"),
        ],
    ),
    "hours": (
        HOURS,
        [
            pa.timestamp("ms"),
            pa.timestamp("ns"),
            pa.timestamp("s", "UTC"),
            pa.timestamp("us", "Europe/Zurich"),
        ],
    ),
    "flags": (pa.array([n % 2 == 0 for n in range(ROWS)]), [pa.int8(), pa.float64()]),
}


def table(ids):
    return pa.table({"id": ids, "x": np.arange(ROWS) / 7, "y": np.arange(ROWS) % 2})


def held(rows_table, spec=SPEC):
    return held_back_rows(rows_table, spec).tolist()


@pytest.mark.parametrize(
    ("ids", "kind"),
    [pytest.param(ids, kind, id=f"{name}-{kind}") for name, (ids, kinds) in STORED.items() for kind in kinds],
)
def test_rows_held_back_are_the_same_in_every_storage_type_and_beside_nulls(ids, kind):
    expected = held(table(ids))
    stored = ids.dictionary_encode() if pa.types.is_dictionary(kind) else pc.cast(ids, kind, safe=False)
    assert held(table(stored)) == expected
    holed = pc.if_else(pa.array([n == 5 for n in range(ROWS)]), pa.scalar(None, ids.type), ids)
    holed = holed.dictionary_encode() if pa.types.is_dictionary(kind) else pc.cast(holed, kind, safe=False)
    assert held(table(holed)) == [place != 5 and is_held for place, is_held in enumerate(expected)]
    assert held(table(holed).to_pandas()) == held(table(holed))


@pytest.mark.parametrize("name", STORED)
def test_rows_held_back_are_the_same_in_csv_and_parquet(tmp_path, name):
    rows_table = table(STORED[name][0])
    pq.write_table(rows_table, tmp_path / "p.parquet")
    (tmp_path / "text").mkdir()
    pacsv.write_csv(rows_table, tmp_path / "text" / "p.csv")
    parquet = read_rows(Window(uri=str(tmp_path / "p.parquet")), SPEC) if name != "flags" else None
    if parquet is None:  # a key of two values holds all rows back, or none
        both = pacsv.read_csv(tmp_path / "text" / "p.csv")
        assert held(both) == held(rows_table)
        return
    csv = read_rows(Window(uri=str(tmp_path / "text" / "p.csv")), SPEC)
    assert parquet.held_back.tolist() == csv.held_back.tolist() == held(rows_table)


def test_one_null_key_holds_back_no_row_that_a_champion_was_trained_on(tmp_path):
    """Nullable integers are doubles as soon as one is null: that made a new split of all rows."""
    rng = np.random.default_rng(0)
    for month, first, nulls in (
        ("2026-01", 0, 0),
        ("2026-02", 1000, 0),
        ("2026-03", 2000, 1),
        ("2026-04", 3000, 0),
    ):
        ids = pd.array(range(first, first + 1000), dtype="Int64")
        ids[:nulls] = pd.NA
        frame = pd.DataFrame({"id": ids, "x": rng.normal(size=1000), "y": rng.integers(0, 2, 1000)})
        frame.to_parquet(tmp_path / f"{month}.parquet")

    def rows(*months):
        return read_rows(Window(uri=str(tmp_path), partitions=months), SPEC)

    champion = rows("2026-01", "2026-02")
    learnt, judged = set(champion.training["id"]), set(champion.holdout["id"])
    for later in ("2026-04", "2026-03"):
        more = rows("2026-01", "2026-02", later)
        held_back = set(more.holdout["id"])
        assert not held_back & learnt
        assert judged < held_back
    assert (more.unkeyed, int(more.training["id"].isna().sum())) == (1, 1)


@pytest.mark.parametrize(
    ("key", "rows_table", "places"),
    [
        (("id",), {"id": range(24)}, [0, 2, 4, 13, 14, 20]),
        (("id",), {"id": [f"flight-{n}" for n in range(24)]}, [6, 8, 9, 11, 20, 21]),
        (("m", "c"), {"m": ["2026-01"] * 12 + ["2026-02"] * 12, "c": range(24)}, [2, 3, 23]),
        (
            (),
            {"m": ["2026-01"] * 12 + ["2026-02"] * 12, "c": range(24), "y": [0, 1] * 12},
            [0, 2, 3, 5, 10, 15, 19],
        ),
    ],
    ids=["integers", "text", "both", "whole row"],
)
def test_splits_of_integers_and_text_are_those_of_the_first_release(key, rows_table, places):
    """A change would put rows that champions were trained on among those they are judged on."""
    assert np.flatnonzero(held(pa.table(rows_table), DatasetSpec(target="y", key=key))).tolist() == places


def test_row_with_half_a_key_is_trained_on_and_never_held_back():
    spec = DatasetSpec(target="y", key=("day", "id"))
    whole = pa.table({"day": ["d"] * ROWS, "id": NUMBERS, "y": np.arange(ROWS) % 2})
    half = whole.set_column(0, "day", pa.array([None if n % 3 else "d" for n in range(ROWS)]))
    assert held(half, spec) == [h and n % 3 == 0 for n, h in enumerate(held(whole, spec))]


def test_without_key_columns_nulls_are_values_of_the_row():
    spec = DatasetSpec(target="y")
    with_nulls = table(pa.array([None] * ROWS, pa.int64()))
    assert held(with_nulls, spec) == held(table(pa.array([None] * ROWS, pa.string())), spec)
    assert 0.15 < np.mean(held(with_nulls, spec)) < 0.35


def test_window_whose_keys_are_all_null_is_refused_with_their_number(tmp_path):
    pq.write_table(table(pa.nulls(ROWS, pa.string())), tmp_path / "p.parquet")
    with pytest.raises(InvalidDataError, match="400 labelled rows, 400 of them without a whole key"):
        read_rows(Window(uri=str(tmp_path / "p.parquet")), SPEC)


def column(values, kind=None):
    return pa.array([*values, *[values[-1]] * (ROWS - len(values))], kind)


def features_of(tmp_path, feature, target=None):
    target = pa.array(np.arange(ROWS) % 2) if target is None else target
    pq.write_table(pa.table({"id": NUMBERS, "self": feature, "y": target}), tmp_path / "p.parquet")
    return read_rows(Window(uri=str(tmp_path / "p.parquet")), SPEC).frame


NAN = float("nan")


FEATURES = {
    "boolean": (column([True, False]), [1.0, 0.0]),
    "boolean with nulls": (column([True, None]), [1.0, NAN]),
    "boolean without values": (column([None, None], pa.bool_()), [NAN, NAN]),
    "integer with nulls": (column([None, 3]), [NAN, 3.0]),
    "unsigned": (column([2**63 + 2048], pa.uint64()), [2.0**63 + 2048]),
    "decimal with nulls": (column([Decimal("1.50"), None]), [1.5, NAN]),
    "decimal": (column([Decimal("0.10")]), [0.1]),
    "half": (column([1.5], pa.float16()), [1.5]),
    "codes of integers": (column([7, None]).dictionary_encode(), [7.0, NAN]),
    "nulls without type": (pa.nulls(ROWS), [NAN]),
    "text": (column(["a", None]), ["a", None]),
    "large text": (column(["a", None], pa.large_string()), ["a", None]),
    "view": (column(["a", None], pa.string_view()), ["a", None]),
    "codes of text": (column(["a", None]).dictionary_encode(), ["a", None]),
    "text without values": (column([None, None], pa.string()), [None, None]),
}


@pytest.mark.parametrize("name", FEATURES)
def test_feature_is_numbers_or_text_by_its_arrow_type(tmp_path, name):
    feature, first = FEATURES[name]
    found = features_of(tmp_path, feature)["self"]
    assert found.dtype == (object if None in first else float)
    if None in first:
        assert found[: len(first)].tolist() == first
    else:
        np.testing.assert_array_equal(found[: len(first)], first)


@pytest.mark.parametrize(
    ("feature", "named"),
    [
        (HOURS.cast(pa.timestamp("us", "Europe/Zurich")), r"'self' is timestamp\[us, tz=Europe/Zurich\]"),
        (DAYS, r"'self' is date32\[day\], allowed: numbers, booleans, text; derive numbers from it"),
        (column([[1, 2]]), r"'self' is list<.*>, allowed: .*; name it in data\.exclude"),
        (column([b"x"]), "'self' is binary"),
    ],
    ids=["timestamp", "date", "list", "binary"],
)
def test_other_feature_is_refused_by_the_type_in_the_file_with_what_to_do(tmp_path, feature, named):
    with pytest.raises(InvalidDataError, match=named):
        features_of(tmp_path, feature)


@pytest.mark.parametrize(
    ("target", "kind", "first"),
    [
        (column([True, None, False]), "bool", [True, False]),
        (column([3, None, 4]), "int64", [3, 4]),
        (column([Decimal("1.50"), None, Decimal("2.00")]), "float64", [1.5, 2.0]),
        (column([0.5, NAN, 1.0], pa.float16()), "float64", [0.5, 1.0]),
        (column(["a", None, "b"]).dictionary_encode(), "object", ["a", "b"]),
    ],
    ids=["boolean", "integer", "decimal", "half", "codes"],
)
def test_target_with_nulls_keeps_its_kind_and_unlabelled_rows_are_left_out(tmp_path, target, kind, first):
    found = features_of(tmp_path, column([1.0]), target)["y"]
    assert (str(found.dtype), found[:2].tolist(), len(found)) == (kind, first, ROWS - 1)


def test_target_that_is_a_time_is_refused(tmp_path):
    with pytest.raises(InvalidDataError, match=r"target 'y' is timestamp\[ms\], allowed: numbers"):
        features_of(tmp_path, column([1.0]), HOURS)
