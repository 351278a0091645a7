from __future__ import annotations

import decimal

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.backends.profiling.files.dataset import describe_window, list_partitions, read_window
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError

TABLE = pa.table({"x": [1, 2, 3], "c": ["a", "b", "a"]})


@pytest.fixture(params=["files", "folders", "hive", "csv"])
def dataset(request, tmp_path):
    for key in ("2013-02", "2013-01"):
        if request.param == "files":
            pq.write_table(TABLE, tmp_path / f"{key}.parquet")
        elif request.param == "csv":
            pc.write_csv(TABLE, tmp_path / f"{key}.csv")
        else:
            folder = tmp_path / (key if request.param == "folders" else f"month={key}")
            folder.mkdir()
            pq.write_table(TABLE, folder / "part-0.parquet")
    return tmp_path


def test_partitions_are_found_in_every_layout(dataset):
    assert list_partitions(str(dataset)) == ["2013-01", "2013-02"]
    window = describe_window(dataset.as_uri(), ["2013-01", "2013-02"])
    assert (window.rows, window.label) == (6, "2013-01..2013-02")
    assert read_window(window, ["x"]).column_names == ["x"]
    assert profile_window(window).partitions == ("2013-01", "2013-02")


def test_digest_follows_the_content_not_the_clock(dataset):
    before = describe_window(str(dataset), ["2013-01"]).digest
    assert describe_window(str(dataset), ["2013-01"]).digest == before
    assert describe_window(str(dataset)).digest != before


def test_one_file_is_a_dataset(tmp_path):
    pq.write_table(TABLE, tmp_path / "all.parquet")
    assert describe_window(str(tmp_path / "all.parquet")).rows == 3
    assert list_partitions(str(tmp_path / "all.parquet")) == []


@pytest.mark.parametrize(
    ("uri", "keys", "named"),
    [
        ("nowhere", [], "no such file"),
        ("ftp://lake/x", [], "scheme 'ftp' is not supported, allowed: a path or file"),
        ("data", ["2013-09"], "no partition '2013-09'; partitions: 2013-01"),
        ("data", ["../2013-01"], "no partition"),
        ("data", ["a\n"], "no control characters"),
        ("empty", [], "none; allowed"),
        ("zero", ["2013-01"], "0 rows, allowed: 1 or more"),
        ("corrupt", [], "cannot be read"),
        ("mixed", [], "mixed .csv, .parquet"),
    ],
)
def test_data_that_cannot_be_used_is_named(tmp_path, monkeypatch, uri, keys, named):
    monkeypatch.chdir(tmp_path)
    for name in ("data", "empty", "zero", "corrupt", "mixed"):
        (tmp_path / name).mkdir()
    pq.write_table(TABLE, tmp_path / "data" / "2013-01.parquet")
    pq.write_table(TABLE.slice(0, 0), tmp_path / "zero" / "2013-01.parquet")
    (tmp_path / "corrupt" / "a.parquet").write_bytes(b"PAR1 this is none PAR1")
    pq.write_table(TABLE, tmp_path / "mixed" / "a.parquet")
    pc.write_csv(TABLE, tmp_path / "mixed" / "b.csv")
    with pytest.raises(InvalidDataError, match=named):
        describe_window(uri, keys)


def test_missing_column_is_named_with_those_there(dataset):
    with pytest.raises(InvalidDataError, match="lacks column y; columns: x, c"):
        read_window(describe_window(str(dataset), ["2013-01"]), ["x", "y"])


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.int64(), pa.uint64()])
def test_integers_beside_decimals_are_decimals_with_room_for_both(tmp_path, kind):
    whole, parts = (
        pa.table({"x": pa.array([1, 127], kind)}),
        [decimal.Decimal("1.25"), decimal.Decimal("99.5")],
    )
    pq.write_table(whole, tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": pa.array(parts, pa.decimal128(4, 2))}), tmp_path / "b.parquet")
    assert read_window(Window(uri=str(tmp_path))).column("x").to_pylist() == [1, 127, *parts]


def test_columns_that_some_files_lack_are_noted(tmp_path):
    for name, columns in {"a": "xy", "b": "xz", "c": "xy"}.items():
        pq.write_table(pa.table({column: [1] for column in columns}), tmp_path / f"{name}.parquet")
        (tmp_path / f"csv-{name}.csv").write_text(f"{','.join(columns)}\n1,1\n")
    notes = profile_window(Window(uri=str(tmp_path), partitions=("a", "b", "c"))).notes
    assert notes == ("y: no such column in b.parquet", "z: no such column in a.parquet, c.parquet")
    keys = ("csv-a", "csv-b", "csv-c")
    notes = profile_window(Window(uri=str(tmp_path), partitions=keys)).notes
    assert notes[1:] == ("y: no such column in csv-b.csv", "z: no such column in csv-a.csv, csv-c.csv")


def test_types_that_differ_over_files_are_named(tmp_path):
    pq.write_table(TABLE, tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [{"deep": 1}], "c": ["a"]}), tmp_path / "b.parquet")
    with pytest.raises(InvalidDataError, match=r"b.parquet: column 'x' is struct.*, in a.parquet int64"):
        describe_window(str(tmp_path))


def test_column_that_stands_twice_is_named(tmp_path):
    pq.write_table(
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), tmp_path / "a.parquet"
    )
    with pytest.raises(InvalidDataError, match="'x'"):
        describe_window(str(tmp_path))
