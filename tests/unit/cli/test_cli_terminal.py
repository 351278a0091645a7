from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from windows import count_reads

from airflow_mlops.backends.profiling.files.arrow import profile_window
from airflow_mlops.cli import main, terminal
from airflow_mlops.core.data.window import Window


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pa.table({"x": np.arange(200_000.0), "c": ["a"] * 200_000})
    pq.write_table(table, "rows.parquet")
    csv.write_csv(table, "rows.csv")
    return tmp_path


def test_long_reading_is_shown_on_a_terminal_and_nowhere_else(lake, monkeypatch):
    for screen, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", screen)
        monkeypatch.setattr(terminal, "_LONG_BYTES", 1)
        assert main(["profile", "rows.parquet"]) == 0
        assert (" MB" in screen.getvalue()) is shown


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_all_bytes_are_told_to_whoever_watches(lake, name):
    told = []
    profile_window(Window(uri=name), on_bytes=told.append)
    assert len(told) > 1
    assert sum(told) == pytest.approx((lake / name).stat().st_size)


COMMANDS = {
    "profile": (["profile", "memory://lake/a.csv"], 1),
    "check": (["check", "memory://lake/a.csv", "--schema", "s.yaml"], 1),
    "skew": (["skew", "memory://lake/a.csv", "memory://lake/b.csv"], 2),
}


@pytest.mark.parametrize(("argv", "files"), COMMANDS.values(), ids=COMMANDS)
def test_command_reads_a_csv_once(lake, monkeypatch, argv, files):
    data, memory = (lake / "rows.csv").read_bytes(), fsspec.filesystem("memory")
    for name in "ab":
        memory.pipe_file(f"/lake/{name}.csv", data)
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}}
    (lake / "s.yaml").write_text(json.dumps({"name": "s", "expectations": [rule]}))
    reads = count_reads(monkeypatch)
    assert main(argv) == 0
    assert reads == {f"/lake/{name}.csv": len(data) for name in "ab"[:files]}


def test_table_of_a_database_is_profiled_by_its_uri(lake, capsys):
    import duckdb

    with duckdb.connect("shop.duckdb") as shop:
        shop.sql("CREATE TABLE sales AS SELECT * FROM 'rows.parquet'")
    assert main(["profile", f"duckdb://{lake}/shop.duckdb#table=sales"]) == 0
    assert "200000 rows" in capsys.readouterr().out


def test_reader_that_had_enough_is_no_error(tmp_path):
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "a.parquet")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "airflow_mlops.cli", "profile", str(tmp_path / "a.parquet")]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
