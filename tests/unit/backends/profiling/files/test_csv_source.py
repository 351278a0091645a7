"""A csv is read once, in blocks of whole rows; digest and end check come from the same pass."""

from __future__ import annotations

import datetime as dt
import hashlib
import random

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fuzz
from windows import count_reads, lay

from airflow_mlops.backends.profiling.comparison import compare_windows
from airflow_mlops.backends.profiling.files import csv_source
from airflow_mlops.backends.profiling.files.arrow import profile_files, profile_table, profile_window
from airflow_mlops.backends.profiling.files.csv import file
from airflow_mlops.backends.profiling.files.dataset import (
    describe_window,
    open_window,
    read_files,
    read_window,
    window_bytes,
)
from airflow_mlops.core.data.window import Window
from airflow_mlops.core.errors import InvalidDataError, MlopsError

LAKE = "memory://lake/flights"


def table(rows, seed=0):
    rng = np.random.default_rng(seed)
    texts = np.char.add("flight, ", rng.integers(0, 10**6, rows).astype(str))
    return pa.table({"x": rng.normal(size=rows), "n": rng.integers(0, 9, rows), "c": texts})


def text(rows, seed=0):
    out = pa.BufferOutputStream()
    csv.write_csv(table(rows, seed), out)
    return out.getvalue().to_pybytes()


FILES = {
    "of_several_blocks": [text(60_000)],
    "of_one_row": [b"x\n1\n"],
    "several": [text(40_000, seed) for seed in range(3)],
    "many_small": [text(20, seed) for seed in range(200)],
}


@pytest.fixture
def lake(monkeypatch):
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield memory
    memory.store.clear()


READERS = {
    "profile_files": lambda: profile_files(LAKE),
    "profile_window": lambda: profile_window(Window(uri=LAKE)),
    "describe_window": lambda: describe_window(LAKE),
    "read_files": lambda: read_files(LAKE, columns=["x"]),
    "read_window": lambda: read_window(Window(uri=LAKE)),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_every_byte_is_read_once(lake, monkeypatch, files, read):
    for i, data in enumerate(files):
        lake.pipe_file(f"/lake/flights/{i:03}.csv", data)
    reads = count_reads(monkeypatch)
    read()
    assert reads == {f"/lake/flights/{i:03}.csv": len(data) for i, data in enumerate(files)}


def test_first_blocks_beyond_what_memory_may_hold_are_read_again(lake, monkeypatch):
    monkeypatch.setattr(csv_source, "_HELD_BYTES", 1 << 20)
    lake.pipe_file("/lake/flights/a.csv", text(20_000))
    lake.pipe_file("/lake/flights/b.csv", text(40_000))
    whole, reads = window_bytes(Window(uri=LAKE)), count_reads(monkeypatch)
    assert profile_files(LAKE)[0].rows == 60_000
    assert whole < reads.total() <= whole + 2 * file.BLOCK_BYTES


@pytest.mark.parametrize("by_blocks", [False, True])
def test_comparison_reads_each_window_once(lake, monkeypatch, by_blocks):
    for i in range(4):
        lake.pipe_file(f"/lake/flights/2013-0{i}.csv", text(20_000, i))
    reference = Window(uri=LAKE, partitions=("2013-00", "2013-01", "2013-02"))
    reads = count_reads(monkeypatch)
    compare_windows(reference, Window(uri=LAKE, partitions=("2013-03",)), by_blocks=by_blocks)
    assert reads.total() == window_bytes(Window(uri=LAKE))


def test_digest_is_of_the_names_and_the_bytes_of_the_files(tmp_path):
    one, other = b"x,c\n1,a\n", '\ufeffx,c\r\n2,"b ""é"""\r\n'.encode()
    uri = lay(tmp_path, {"a.csv": one, "b.csv": other})
    contents = b"a.csv" + hashlib.sha256(one).digest() + b"b.csv" + hashlib.sha256(other).digest()
    digest = f"sha256:{hashlib.sha256(contents).hexdigest()}"
    found = (describe_window(uri), profile_files(uri)[0], read_files(uri)[0])
    assert {(window.digest, window.rows) for window in found} == {(digest, 2)}


def test_digest_of_a_window_written_before_is_still_the_same(tmp_path):
    uri = lay(tmp_path, {"rows.csv": b'x,c\n1,"a, b"\n2,cc\n'})
    kept = "sha256:8382834f6dcaf9dd67394531201f9797b17ffd69d281efa4d46483e46bdd0a1b"
    assert profile_files(uri)[0].digest == kept


def test_content_tag_of_a_store_stands_for_the_bytes(lake, monkeypatch):
    lake.pipe_file("/lake/flights/a.csv", b"x\n1\n")
    monkeypatch.setattr(type(lake), "info", lambda self, path, **_: TAGGED | {"name": path})
    tagged = profile_files(LAKE)[0].digest
    assert tagged == f"sha256:{hashlib.sha256(b'a.csv' + b'abc:4').hexdigest()}"


TAGGED = {"type": "file", "size": 4, "ETag": "abc"}


def test_profile_of_a_csv_is_that_of_its_rows(tmp_path):
    uri = lay(tmp_path, {"rows.csv": text(60_000)})
    window, profile = profile_files(uri)
    assert profile.columns == profile_table(read_window(window)).columns
    assert profile == profile_window(window)


def test_file_reads_short_are_put_together(lake, monkeypatch):
    lake.pipe_file("/lake/flights/a.csv", text(60_000))
    whole = profile_files(LAKE)
    reads, chance = count_reads(monkeypatch), random.Random(0)  # noqa: S311 - lengths of reads
    monkeypatch.setattr("windows.CountedFile.read", short_reads(chance))
    assert profile_files(LAKE) == whole
    assert reads.total() == window_bytes(Window(uri=LAKE))


def short_reads(chance):
    def read(self, size):
        return self.counted(super(type(self), self).read(min(size, chance.randint(1, 200_000))))

    return read


def test_types_of_files_that_differ_are_joined(tmp_path):
    uri = lay(tmp_path, {"a.csv": b"x,c\n1,\n2,\n", "b.csv": b"x,c,d\n1.5,a,2020-01-01\n"})
    rows = read_window(Window(uri=uri))
    assert rows.to_pydict() == {"x": [1.0, 2.0, 1.5], "c": [None, None, "a"], "d": [None, None, DAY]}
    assert profile_files(uri)[1].column("x").maximum == 2


DAY = dt.date(2020, 1, 1)


def test_row_of_an_error_is_counted_from_the_start_of_the_file(tmp_path):
    rows = [b"x,c"] + [b"%d,name" % i for i in range(300_000)]
    rows[250_000] = b"1,2,3"
    uri = lay(tmp_path, {"a.csv": b"x,c\n1,a\n", "b.csv": b"\n".join(rows) + b"\n"})
    with pytest.raises(InvalidDataError, match=r"b\.csv: .*Row #250001: Expected 2 columns, got 3: 1,2,3"):
        profile_files(uri)


def test_cut_explains_more_than_what_the_parser_says_of_the_last_row(tmp_path):
    data = text(60_000)
    uri = lay(tmp_path, {"a.csv": data[: data.rindex(b",") - 20]})
    with pytest.raises(InvalidDataError, match=r"a\.csv: .*(cut|quote)"):
        profile_files(uri)


def test_line_break_in_a_value_may_lie_between_two_blocks(tmp_path):
    value = "line\nbreak " * 1000
    uri = lay(tmp_path, {"a.csv": ("x\n" + f'"{value}"\n' * 1000).encode()})
    column = profile_files(uri)[1].column("x")
    assert column.named == {value: 1000}


def test_reading_that_is_given_up_closes_the_file(lake, monkeypatch):
    lake.pipe_file("/lake/flights/a.csv", b"x,n,c\n" + b"1,2,flight\n" * 500_000)
    count_reads(monkeypatch)
    closed = []
    monkeypatch.setattr("windows.CountedFile.close", lambda self: closed.append(self.path))
    source = open_window(Window(uri=LAKE))
    batches = source.batches(source.schema)
    next(batches)
    assert closed == []
    batches.close()
    assert set(closed) == {"/lake/flights/a.csv"}


CLEAN = ["a", "bb", '"a"', '"a,b"', '"a\nb"', '"q""q"', 'a"b', '5" x', '"x"y']
ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n"])
WILD = st.lists(st.sampled_from([*CLEAN, '"', ",", "\n", "\r"]), max_size=20).map("".join)
ROWS = st.lists(st.tuples(st.sampled_from(CLEAN), st.sampled_from(CLEAN), ENDS), max_size=8)
TEXTS = ROWS.map(lambda rows: "h,k\nz,z\n" + "".join(f"{one},{other}{end}" for one, other, end in rows))


@fuzz(1500)
@given(TEXTS | WILD.map(lambda wild: f"h\nz\n{wild}\n"), st.integers(8, 40))
def test_blocks_end_where_the_parser_ends_rows(tmp_path_factory, data, block):
    uri = lay(tmp_path_factory.mktemp("csv"), {"rows.csv": data.encode()})
    whole = outcome(uri, 1 << 20)
    in_blocks = outcome(uri, block)
    assert in_blocks == whole


def outcome(uri, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "BLOCK_BYTES", block)
        try:
            return str(read_window(Window(uri=f"{uri}#delimiter=,&quote=%22")).to_pydict())
        except MlopsError as error:
            return str(error)
